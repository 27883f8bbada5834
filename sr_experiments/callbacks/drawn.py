"""degradations.csv: the random draws of the degradation, for the first training samples and for every test image."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_only
from torch import Tensor

from sr_experiments.degradations import Degradation
from sr_experiments.errors import UserError
from sr_experiments.pixels.atomic import replacing
from sr_experiments.pixels.draws import rows

Row = dict[str, Any]

# Which sample a row is about: a training step's, or a set's image.
PLACE = ("split", "step", "image", "key")


class DrawnLog(pl.Callback):
    """Writes `degradations.csv` into the run folder: one row per sample, with all values drawn for it.

    A row begins with `split` (`train` or the name of a test set), the `step` of a training sample or the name of a test
    `image`, and the `key` from which the numbers follow. Training samples are those of the first process. Nothing is
    written where nothing is drawn.

    Args:
        folder: the run folder.
        samples: training samples that are written, the first ones of the run.

    Raises:
        UserError: `samples` is negative.
    """

    def __init__(self, folder: str, samples: int = 256) -> None:
        if samples < 0:
            raise UserError(f"callbacks.drawn.samples={samples} must not be negative.")
        self.path = Path(folder) / "degradations.csv"
        self.samples = samples
        self.rows: list[Row] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the rows of a resumed run up to the step from which it continues."""
        self.rows = [row for row in self.read() if row["step"] and int(row["step"]) <= trainer.global_step]
        if not self.rows and trainer.is_global_zero:
            self.path.unlink(missing_ok=True)  # of an earlier run in this folder, which this one replaces

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the samples of a batch whose LR images were made here."""
        room = self.samples - len(self.rows)
        if room > 0 and "lr" not in batch:
            place = {"split": "train", "step": trainer.global_step}
            self.add(pl_module, batch["key"][:room], [place] * len(batch["key"]))

    @rank_zero_only
    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write all test images, whichever process evaluates them."""
        self.rows = [row for row in self.rows or self.read() if row["step"]]
        for name, photos in trainer.datamodule.sets.items():  # type: ignore[attr-defined]
            # The key of an image is its place in the set.
            made = {index: photo.name for index, photo in enumerate(photos) if photo.lr is None}
            places = [{"split": name, "image": image} for image in made.values()]
            self.add(pl_module, torch.tensor(list(made), dtype=torch.int64), places)

    def add(self, pl_module: pl.LightningModule, keys: Tensor, places: list[Row]) -> None:
        """Add a row per key, and rewrite the file."""
        degradation = pl_module.degradation
        drawn = degradation.drawn(keys.cpu()) if isinstance(degradation, Degradation) else {}
        if not drawn or not len(keys):
            return
        numbers = rows(drawn)
        self.rows += [
            {**place, "key": key, **row} for place, key, row in zip(places, keys.tolist(), numbers, strict=False)
        ]
        with replacing(self.path) as unfinished, unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*PLACE, *drawn])
            writer.writeheader()
            writer.writerows(self.rows)

    def read(self) -> list[Row]:
        """The rows of the file; none where there is no file."""
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))
