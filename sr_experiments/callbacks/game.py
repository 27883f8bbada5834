"""Watches an adversarial training: whether the discriminator overfits, and whether it wins or loses."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from sr_experiments.callbacks.evaluation import Evaluation
from sr_experiments.errors import UserError
from sr_experiments.metrics.psnr import psnr
from sr_experiments.training.critic import Critic
from sr_experiments.training.module import Training

log = logging.getLogger(__name__)

WINS_ABOVE = 0.98
LOSES_BELOW = 0.52

ADVICE = {
    "wins": "its opponent learns little from it: try label smoothing, r1, discriminator_steps=1, balance=0.9 or a "
    "smaller training.recipe.discriminator_optimizer.learning_rate.",
    "loses": "it teaches its opponent little: try discriminator_steps=2, a larger "
    "training.recipe.discriminator_optimizer.learning_rate or a smaller loss.adversarial.weight.",
}

# Identical images have an infinite PSNR, and no finite mean.
LARGEST_PSNR = 100.0


class GameWatch(pl.Callback):
    """Logs the discriminator's accuracy on images it was not trained on, and the consistency of SR with LR.

    After a validation: `val/d_accuracy_real` and `val/d_accuracy_fake`, on crops of validation images;
    `val/d_overfit`, by how much its accuracy on HR crops was higher in the training since the last validation; and
    `val/lr_psnr`, the PSNR between the degraded SR image and LR, in RGB, unless the evaluation takes it as a score.

    Args:
        crops: crops of validation images for the discriminator, in each process.
        patience: logged rows in a row in which it wins (mean accuracy above 0.98) or loses (below 0.52) before a
            warning; it is repeated only after the accuracy was between the two.

    Raises:
        UserError: a number is not positive.
    """

    def __init__(self, crops: int = 16, patience: int = 50) -> None:
        if min(crops, patience) < 1:
            raise UserError(f"callbacks.game.crops={crops} and patience={patience} must both be at least 1.")
        self.crops = crops
        self.recent: deque[float] = deque(maxlen=patience)
        self.warned = ""
        self.training_sums: Tensor | None = None
        self.held_out: list[tuple[Tensor, Tensor]] = []
        self.consistency: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """The state of the warning, and the sums since the last validation."""
        return {"recent": list(self.recent), "warned": self.warned, "training_sums": self.training_sums}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a resumed run."""
        self.recent.extend(state_dict["recent"])
        self.warned = state_dict["warned"]
        self.training_sums = state_dict["training_sums"]

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Add up the discriminator's accuracies; at logged steps check for a winner."""
        assert isinstance(pl_module, Training)
        verdict, mean = critic_of(pl_module).verdict, pl_module.backend.mean
        if not verdict:
            return
        on_real, on_fake = verdict["d_accuracy_real"], verdict["d_accuracy_fake"]
        # Over all processes: a checkpoint holds the sums of the first process alone.
        row = mean(torch.stack([on_real, torch.ones_like(on_real)]))
        self.training_sums = row if self.training_sums is None else self.training_sums.to(row.device) + row
        if pl_module.logs_at(trainer.global_step):
            self.recent.append(float(mean((on_real + on_fake) / 2)))
            self.warn(trainer.global_step)

    def warn(self, step: int) -> None:
        """Warn once of a discriminator that has been winning or losing for long."""
        if len(self.recent) < (self.recent.maxlen or 0):
            return
        standing = ""
        if min(self.recent) > WINS_ABOVE:
            standing = "wins"
        elif max(self.recent) < LOSES_BELOW:
            standing = "loses"
        elif LOSES_BELOW <= self.recent[-1] <= WINS_ABOVE:
            self.warned = ""
        if standing and standing != self.warned:
            log.warning(
                "Step %d: for %d logged steps the discriminator %s (mean accuracy %.2f), so %s",
                step,
                len(self.recent),
                standing,
                sum(self.recent) / len(self.recent),
                ADVICE[standing],
            )
            self.warned = standing

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a validation."""
        self.held_out.clear()
        self.consistency.clear()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep crops of one image for the discriminator, and measure its LR consistency."""
        assert isinstance(pl_module, Training)
        hr, lr, sr = outputs["hr"], outputs["lr"], outputs["sr"]
        with torch.autocast(pl_module.device.type, enabled=False):
            shrunk = pl_module.degradation(sr.clamp(0, 1), outputs.get("key"))
        self.consistency.append(psnr(shrunk[0], lr[0], peak=1.0).clamp(max=LARGEST_PSNR))
        self.held_out += corner_crops(hr, sr, critic_of(pl_module).crop_size)[: max(self.crops - len(self.held_out), 0)]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the means over all processes."""
        assert isinstance(pl_module, Training)
        critic = critic_of(pl_module)
        # Name -> (sum, count) of this process; every process must have the same names.
        nothing = torch.zeros(2, device=pl_module.device)
        sums = {
            "accuracy_real": nothing,
            "accuracy_fake": nothing,
            "training": nothing if self.training_sums is None else self.training_sums,
            "lr_psnr": nothing,
        }
        # Independent of the accuracies: a run that is resumed here has seen no batch yet.
        if self.held_out and critic.game.is_on(trainer.global_step - 1):
            count = nothing[0] + len(self.held_out)
            hr, sr = (torch.cat(crops) for crops in zip(*self.held_out, strict=True))
            on_real, on_fake = critic.accuracies(hr, sr)
            sums["accuracy_real"] = torch.stack([on_real * count, count])
            sums["accuracy_fake"] = torch.stack([on_fake * count, count])
        if self.consistency:
            values = torch.stack(self.consistency)
            sums["lr_psnr"] = torch.stack([values.sum(), nothing[0] + len(values)])
        self.held_out.clear()
        self.training_sums = None
        reduced = pl_module.backend.mean(torch.stack(list(sums.values()))).tolist()
        means = {name: total / count for name, (total, count) in zip(sums, reduced, strict=True) if count}
        self.log_row(trainer, pl_module, means)

    def log_row(self, trainer: pl.Trainer, pl_module: pl.LightningModule, means: dict[str, float]) -> None:
        """Log the values that are available."""
        row = {f"val/d_{name}": means[name] for name in ("accuracy_real", "accuracy_fake") if name in means}
        if "training" in means and "accuracy_real" in means:
            row["val/d_overfit"] = means["training"] - means["accuracy_real"]
        if "lr_psnr" in means and not evaluates_consistency(trainer):
            row["val/lr_psnr"] = means["lr_psnr"]
        if not row:
            return
        pl_module.log_dict(row, logger=False, rank_zero_only=False)
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)


def critic_of(module: Training) -> Critic:
    """The critic of a training's recipe.

    Raises:
        UserError: it has none.
    """
    critic = getattr(module.recipe, "critic", None)
    if not isinstance(critic, Critic):
        raise UserError("callbacks.game watches a discriminator, and this training has none: callbacks.game=null.")
    return critic


def evaluates_consistency(trainer: pl.Trainer) -> bool:
    """Whether the evaluation logs `val/lr_psnr` itself, of images rounded to 8 bits."""
    evaluations = [callback for callback in trainer.callbacks if isinstance(callback, Evaluation)]  # type: ignore[attr-defined]
    return any("lr_psnr" in evaluation.scores.validation for evaluation in evaluations)


def corner_crops(hr: Tensor, sr: Tensor, side: int) -> list[tuple[Tensor, Tensor]]:
    """The four corners of an image, (1, 3, H, W), and of its likeness; none where it is smaller than a crop."""
    height, width = hr.shape[-2:]
    if min(height, width) < side:
        return []
    places = [(top, left) for top in sorted({0, height - side}) for left in sorted({0, width - side})]
    return [
        (hr[..., top : top + side, left : left + side], sr[..., top : top + side, left : left + side])
        for top, left in places
    ]
