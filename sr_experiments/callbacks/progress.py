"""The progress of a training: a bar on a terminal, lines at intervals in a log file."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class TrainingProgress(ProgressBar):
    """Shows generator updates, loss, PSNR and speed.

    Args:
        every_seconds: time between two lines where the output is not a terminal.
    """

    def __init__(self, every_seconds: float = 10.0) -> None:
        super().__init__()
        self.every_seconds = every_seconds
        self.enabled = True
        self.console = Console()
        self.bar: Progress | None = None
        self.started = (0.0, 0)
        self.last_line = 0.0

    def disable(self) -> None:
        """Lightning calls this on all ranks but the first."""
        self.enabled = False

    def enable(self) -> None:
        """The opposite of `disable`."""
        self.enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        self.started = (time.monotonic(), trainer.global_step)
        self.last_line = time.monotonic()
        if not self.enabled or not self.console.is_terminal:
            return
        total = trainer.max_steps if trainer.max_steps > 0 else None
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.bar.add_task("training", total=total, completed=trainer.global_step, text="")
        self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Advance the bar, or print a line when it is time."""
        if not self.enabled:
            return
        step = trainer.global_step
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=step, text=self.text(trainer))
        elif time.monotonic() - self.last_line >= self.every_seconds:
            self.last_line = time.monotonic()
            print(f"step {step}/{trainer.max_steps}  {self.text(trainer)}", flush=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the message that follows can be read."""
        self.close()

    def close(self) -> None:
        """Close the bar's display."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def text(self, trainer: pl.Trainer) -> str:
        """Loss, PSNR of the last validation, and generator updates per second."""
        began, at = self.started
        metrics = trainer.progress_bar_metrics
        parts = [f"loss {metrics['loss']:.4f}"] if "loss" in metrics else []
        parts += [f"PSNR {metrics['psnr']:.2f} dB"] if "psnr" in metrics else []
        parts.append(f"{(trainer.global_step - at) / max(time.monotonic() - began, 1e-9):.1f} steps/s")
        return "  ".join(parts)
