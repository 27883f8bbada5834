"""Checkpoints: written atomically, and never with weights that are not finite."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from sr_experiments.callbacks.csv_log import CSVLog
from sr_experiments.callbacks.evaluation import mode_for
from sr_experiments.errors import UserError
from sr_experiments.pixels.atomic import replacing
from sr_experiments.runs.folder import BEST, LAST, checkpoint_file

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under another name first, so that a reader finds the old file or the complete new one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save tensors and plain values.

        Raises:
            UserError: the file could not be written (a full disk, say); the earlier file is unchanged.
        """
        path = Path(path)
        try:
            with replacing(path) as unfinished:
                torch.save(checkpoint, unfinished)
        except (OSError, RuntimeError) as error:
            kept = f"the last good one, {path}, is untouched" if path.exists() else "none was written before"
            raise UserError(
                f"The checkpoint {path} could not be written ({error}); {kept}. Make room on the disk and go on with "
                "resume=auto."
            ) from error


class Checkpoints(Checkpoint):
    """Keeps `last.ckpt` and `best.ckpt` in a folder.

    `last.ckpt` is written every so many generator updates, before and after every validation and at the end of
    training. A checkpoint written before a validation records this, and a run that is resumed from it validates first.

    Args:
        folder: where the files go.
        every: generator updates from one `last.ckpt` to the next.
        monitor: the logged value that decides about `best.ckpt`.
        mode: whether the `max` or the `min` of that value is best; None: the score's own direction.

    Raises:
        UserError: `every` is not positive, or `mode` is neither.
    """

    def __init__(self, folder: str, every: int = 1000, monitor: str = "val/psnr", mode: str | None = None) -> None:
        if every < 1:
            raise UserError(f"callbacks.checkpoints.every must be at least 1 generator update, not {every}.")
        if mode not in ("max", "min", None):
            raise UserError(f"callbacks.checkpoints.mode={mode} is unknown: use max, min or null.")
        self.last_path = checkpoint_file(Path(folder), LAST)
        self.best_path = checkpoint_file(Path(folder), BEST)
        self.every = every
        self.monitor = monitor
        self.mode = mode
        self.best_score: float | None = None
        self.validation_pending = False
        self.last_saved: Path | None = None
        self.last_saved_step = -1
        self.has_trained = False

    def state_dict(self) -> dict[str, Any]:
        """The best score so far, and whether these weights are still to be validated."""
        return {"best_score": self.best_score, "validation_pending": self.validation_pending}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a resumed run."""
        self.best_score = state_dict["best_score"]
        self.validation_pending = state_dict.get("validation_pending", False)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find out whether a higher value is better.

        Raises:
            UserError: that is not known.
        """
        if stage == "fit" and self.mode is None:
            self.mode = mode_for(trainer, self.monitor, "callbacks.checkpoints.mode")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the checkpoint that the run resumes from, drop rows logged after it, and validate if that is due."""
        self.last_saved_step = trainer.global_step
        self.has_trained = True
        for logger in trainer.loggers:
            if isinstance(logger, CSVLog):
                logger.start_at(trainer.global_step)
        if trainer.ckpt_path:
            self.last_saved = Path(trainer.ckpt_path)
            log.info("Going on from step %d of %s.", trainer.global_step, trainer.max_steps)
        if self.validation_pending:
            # As Lightning's training loop does it.
            loop = trainer.fit_loop.epoch_loop.val_loop
            loop.restarting = False
            trainer.validating = True
            loop.run()
            trainer.training = True

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Save, also where a validation follows, so that nothing is lost if the run ends in it."""
        step = trainer.global_step
        if step % self.every == 0 or self.validation_follows(trainer, step):
            self.save_last(trainer, pl_module)

    def validation_follows(self, trainer: pl.Trainer, step: int) -> bool:
        """Whether Lightning validates after this generator update."""
        interval = trainer.val_check_interval
        has_images = bool(trainer.datamodule.set_names) and trainer.limit_val_batches != 0  # type: ignore[attr-defined]
        return has_images and isinstance(interval, int) and step % interval == 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, and keep a copy if this is the best so far."""
        if trainer.sanity_checking or (trainer.state.fn != "fit" and not self.validation_pending):
            return
        self.validation_pending = False
        score = trainer.callback_metrics.get(self.monitor)
        if score is None:
            known = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
            raise UserError(f"callbacks.checkpoints.monitor={self.monitor} is not logged; what is logged: {known}.")
        value = float(score)
        better = self.best_score is None or (value > self.best_score if self.mode == "max" else value < self.best_score)
        if better:
            self.best_score = value
        self.write_last(trainer, pl_module)
        if better:
            trainer.save_checkpoint(self.best_path)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the end of the training."""
        self.save_last(trainer, pl_module)

    def save_last(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write `last.ckpt` after an update, unless it has been written since.

        Raises:
            UserError: weights are not finite; the file of before is kept.
        """
        if trainer.global_step != self.last_saved_step:
            self.validation_pending = self.validation_follows(trainer, trainer.global_step)
            self.write_last(trainer, pl_module)

    def write_last(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write `last.ckpt`.

        Raises:
            UserError: weights are not finite; the file of before is kept.
        """
        for name, value in pl_module.state_dict().items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                kept = f"the last good checkpoint is {self.last_saved}" if self.last_saved else "none was written yet"
                raise UserError(
                    f"At step {trainer.global_step} the weights are not finite ({name}); {kept}. Try a smaller "
                    "learning rate or trainer.gradient_clip_val."
                )
        trainer.save_checkpoint(self.last_path)
        self.last_saved = self.last_path
        self.last_saved_step = trainer.global_step
