"""Checkpoints that survive: written beside the old one and renamed, never when the weights are spoilt."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from sr_experiments.callbacks.csv_log import CSVLog
from sr_experiments.errors import UserError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under another name first, so that a reader finds the old file or the whole new one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save tensors and plain values.

        Raises:
            UserError: the file could not be written (a full disk, say); what was there before is untouched.
        """
        path = Path(path)
        partial = path.with_name(f"{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            kept = f"the last good one, {path}, is untouched" if path.exists() else "none was written before"
            raise UserError(
                f"The checkpoint {path} could not be written ({error}); {kept}. Make room on the disk and go on with "
                "resume=auto."
            ) from error


class Checkpoints(Checkpoint):
    """Keeps `last.ckpt` and `best.ckpt` in a folder.

    `last.ckpt` is written every so many generator updates, after every validation and at the end of training. Where a
    validation follows an update, the file is written after it, so that a resumed run does not miss it.

    Args:
        folder: where the files go.
        every: generator updates from one `last.ckpt` to the next.
        monitor: the logged value that decides about `best.ckpt`.
        mode: whether that value should be at its `max` or `min`.

    Raises:
        UserError: `every` is not positive, or `mode` is neither.
    """

    def __init__(self, folder: str, every: int = 1000, monitor: str = "val/psnr", mode: str = "max") -> None:
        if every < 1:
            raise UserError(f"callbacks.checkpoints.every must be at least 1 generator update, not {every}.")
        if mode not in ("max", "min"):
            raise UserError(f"callbacks.checkpoints.mode={mode} is unknown: use max or min.")
        self.last_path = Path(folder) / "last.ckpt"
        self.best_path = Path(folder) / "best.ckpt"
        self.every = every
        self.monitor = monitor
        self.mode = mode
        self.best_score: float | None = None
        self.last_saved: Path | None = None
        self.last_saved_step = -1

    def state_dict(self) -> dict[str, Any]:
        """The best score so far."""
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best score of the run that is continued."""
        self.best_score = state_dict["best_score"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember the file that a resumed run came from, and drop what was logged after it."""
        self.last_saved_step = trainer.global_step
        for logger in trainer.loggers:
            if isinstance(logger, CSVLog):
                logger.start_at(trainer.global_step)
        if trainer.ckpt_path:
            self.last_saved = Path(trainer.ckpt_path)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Save, unless a validation follows."""
        step = trainer.global_step
        if step % self.every == 0 and not self.validation_follows(trainer, step):
            self.save_last(trainer, pl_module)

    def validation_follows(self, trainer: pl.Trainer, step: int) -> bool:
        """Whether Lightning validates after this generator update."""
        interval = trainer.val_check_interval
        has_images = bool(trainer.datamodule.set_names) and trainer.limit_val_batches != 0  # type: ignore[attr-defined]
        return has_images and isinstance(interval, int) and step % interval == 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, and keep a copy if this is the best so far."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        score = trainer.callback_metrics.get(self.monitor)
        if score is None:
            known = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
            raise UserError(f"callbacks.checkpoints.monitor={self.monitor} is not logged; what is logged: {known}.")
        value = float(score)
        better = self.best_score is None or (value > self.best_score if self.mode == "max" else value < self.best_score)
        if better:
            self.best_score = value
        self.save_last(trainer, pl_module)
        if better:
            trainer.save_checkpoint(self.best_path)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the end of the training."""
        if trainer.global_step != self.last_saved_step:
            self.save_last(trainer, pl_module)

    def save_last(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
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
