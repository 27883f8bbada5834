"""Replaces an earlier run in the folder, once nothing stands in the way of this one any more."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl

from sr_experiments.runs.owner import clear_run


class ReplaceRun(pl.Callback):
    """Removes what an earlier run left, after all data and parts were checked and before the first update.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove it."""
        clear_run(self.folder)
