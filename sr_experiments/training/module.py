"""The LightningModule of every training: it counts, cuts, logs and saves; what an update does is its recipe's."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sr_experiments.errors import UserError
from sr_experiments.inference.colour import is_on_luma
from sr_experiments.losses import WeightedSum
from sr_experiments.models.weights import describe_mismatch
from sr_experiments.pixels.eightbit import full_precision
from sr_experiments.training.checks import check_parts
from sr_experiments.training.nonfinite import NonFinite
from sr_experiments.training.old_checkpoints import with_new_names
from sr_experiments.training.play import Play, UnderLightning
from sr_experiments.training.recipe import Recipe
from sr_experiments.training.stages import Stages
from sr_experiments.training.stages.luma import Luma
from sr_experiments.training.terms import Batch, Values


class Training(pl.LightningModule):
    """Trains the players of a recipe on batches that stages have prepared; it is not made to be subclassed.

    One loader batch is one generator update. Optimization is manual so that all recipes count, clip and accumulate
    alike: `trainer.global_step` is the number of generator updates, whatever else is updated between them.

    Args:
        recipe: what an update does, and how an image is enlarged.
        stages: what is done to a batch before.
        accumulate_grad_batches: parts into which a loader batch is cut, each with a backward pass of its own.
        on_nonfinite: `stop` the run at a loss that is not finite, or `skip` that update and count it.

    Raises:
        UserError: an option is unknown, or recipe and stages do not belong together.
    """

    skipped_updates: Tensor

    def __init__(
        self, recipe: Recipe, stages: Stages, accumulate_grad_batches: int = 1, on_nonfinite: str = "stop"
    ) -> None:
        super().__init__()
        check_parts(recipe, stages)
        self.automatic_optimization = False
        self.recipe = recipe
        self.stages = stages
        if is_on_luma(recipe.player.network):
            self.stages["luma"] = Luma()
        self.accumulate_grad_batches = accumulate_grad_batches
        self.nonfinite = NonFinite(on_nonfinite)
        self.backend = UnderLightning(self)
        self.register_buffer("skipped_updates", torch.zeros((), dtype=torch.long))

    @property
    def loss(self) -> WeightedSum | None:
        """What the recipe trains with, if that is a weighted sum of terms."""
        return self.recipe.loss

    @property
    def degradation(self) -> nn.Module:
        """What LR images are made with in evaluations."""
        return self.stages.degradation

    def configure_optimizers(self) -> Any:
        """Begin all players: their optimizers and schedules, that of the counting player first."""
        # A fused optimizer takes fp16 gradients to their true size within its step, too late for clipping.
        options = {"fused": False} if self.trainer.precision == "16-mixed" else {}
        made = []
        for player in self.recipe.players():
            player.begin(**options)
            schedule = {} if player.schedule is None else {"lr_scheduler": player.schedule}
            made.append({"optimizer": player.optimizer, **schedule})
        return made if len(made) > 1 else made[0]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One generator update."""
        step = self.trainer.global_step
        play = Play(step, self.backend, self.nonfinite, self.logs_at(step + 1), self.skipped_updates)
        parts = [self.stages(part, step) for part in self.parts(batch)]
        values = self.recipe.update(parts, play)
        for schedule in self.trainer.lr_scheduler_configs:
            schedule.scheduler.step()  # type: ignore[call-arg]
        if play.is_logged:
            scale = {"scale": float(parts[0]["scale"])} if "scale" in parts[0] else {}
            self.log_training(values, {**scale, **self.recipe.facts(step)}, step + 1)

    def parts(self, batch: Batch) -> list[Batch]:
        """Cut a loader batch into the parts whose gradients are accumulated."""
        size = len(batch["hr"]) // self.accumulate_grad_batches
        starts = range(0, size * self.accumulate_grad_batches, size)
        return [{name: values[start : start + size] for name, values in batch.items()} for start in starts]

    def logs_at(self, step: int) -> bool:
        """Whether a row is logged after this generator update."""
        return step == 1 or step % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Let the update look at the gradients; Lightning calls this after fp16 gradients are unscaled."""
        before = self.backend.before
        for player in self.recipe.players():
            if before is not None and player.optimizer is optimizer:
                before(player)

    def log_training(self, values: Values, facts: dict[str, float], step: int) -> None:
        """Write the values of this step, averaged over the ranks, and facts to the progress bar and the loggers."""
        numbers = self.backend.mean(torch.stack([value.float() for value in values.values()])).tolist()
        row = {f"train/{name}": value for name, value in zip(values, numbers, strict=True)}
        row.update({f"train/{name}": value for name, value in facts.items()})
        if self.nonfinite.skips:
            row["train/skipped_updates"] = float(self.skipped_updates)
        self.trainer.progress_bar_metrics["loss"] = row["train/loss"]
        for logger in self.trainer.loggers:
            logger.log_metrics(row, step=step)

    def on_validation_start(self) -> None:
        """Give every process the running averages (batch norm) of the first, whose checkpoint they will be."""
        if self.trainer.world_size > 1:
            for buffer in self.recipe.player.evaluated.buffers():
                torch.distributed.broadcast(buffer, src=0)

    on_test_start = on_validation_start

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Enlarge one image in full precision; callbacks measure and keep it."""
        with full_precision(self.skipped_updates.device):
            images = self.stages(batch, self.trainer.global_step)
            return {**images, "sr": self.recipe.enlarge(images)}

    test_step = validation_step

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the pools of pairs of all processes."""
        self.stages.save(self.trainer, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what does not fit before torch says it at length; fill the pool of pairs again."""
        checkpoint["state_dict"] = with_new_names(checkpoint.get("state_dict", {}))
        problem = describe_mismatch(self.state_dict(), checkpoint["state_dict"])
        if problem:
            raise UserError(f"The checkpoint belongs to another network or configuration: {problem}.")
        self.stages.load(self.trainer, checkpoint)
