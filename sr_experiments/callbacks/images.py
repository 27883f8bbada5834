"""SR images as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from sr_experiments.data.images import write_png
from sr_experiments.pixels.below import below
from sr_experiments.pixels.eightbit import to_pixels


class SaveImages(pl.Callback):
    """Writes the SR images of a test to SET/NAME.png, at full size.

    Args:
        folder: where the folders of the sets are made.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write one image; every process writes its own."""
        name = trainer.datamodule.set_names[dataloader_idx]  # type: ignore[attr-defined]
        path = below(self.folder, f"{name}/{outputs['name'][0]}", ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, to_pixels(outputs["sr"][0]))
