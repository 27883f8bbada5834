"""Scores of every image of every set, during training and at its end."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.metrics import ImageScores, Protocol

# How well an image's textures are found in its references: the mean cosine of the best matches.
SIMILARITY = ("similarity",)


def takes_references(pl_module: pl.LightningModule) -> bool:
    """Whether what is evaluated looks for textures in reference images."""
    return getattr(pl_module, "matching", None) is not None


class Evaluation(pl.Callback):
    """Measures under one protocol: `val/SET/psnr` while training, a whole table with the bicubic baseline in the test.

    Args:
        protocol: how an image is scored.

    Attributes:
        results: after a test: set -> means, the bicubic baseline's means, and the scores of every image by name; with
            references also how similar they are.
    """

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.scores: list[ImageScores] = []
        self.results: dict[str, Any] = {}

    def start(self, trainer: pl.Trainer, loaders: Any, limit: float, names: tuple[str, ...]) -> None:
        """Make an empty table for every set."""
        device = trainer.strategy.root_device
        dtype = torch.float32 if device.type == "mps" else torch.float64
        counts = [len(loader.dataset) for loader in loaders or []]
        self.scores = [
            ImageScores(count, names=names, partial=limit != 1.0, dtype=dtype).to(device) for count in counts
        ]

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a validation."""
        self.start(trainer, trainer.val_dataloaders, trainer.limit_val_batches, self.protocol.metrics)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a test."""
        names = self.protocol.metrics + tuple(f"bicubic_{name}" for name in self.protocol.metrics)
        names += SIMILARITY if takes_references(pl_module) else ()
        self.start(trainer, trainer.test_dataloaders, trainer.limit_test_batches, names)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score one image."""
        self.scores[dataloader_idx].update(int(outputs["index"]), self.score(outputs, outputs["sr"]))

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score one image, and what bicubic enlargement makes of it."""
        height, width = outputs["hr"].shape[-2:]
        enlarged = bicubic_upsample(outputs["lr"], size=(height, width))
        baseline = {f"bicubic_{name}": value for name, value in self.score(outputs, enlarged).items()}
        row = {**self.score(outputs, outputs["sr"]), **baseline}
        if takes_references(pl_module):
            row["similarity"] = float(outputs["similarity"].mean())
        self.scores[dataloader_idx].update(int(outputs["index"]), row)

    def score(self, outputs: dict[str, Any], image: torch.Tensor) -> dict[str, float]:
        """Scores of one enlarged image, (1, 3, H, W), against the HR image of the same batch."""
        return self.protocol.score(image[0], outputs["hr"][0], is_gray=bool(outputs["gray"]))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the means of every set, and of all sets together."""
        names = trainer.datamodule.set_names  # type: ignore[attr-defined]
        means = {name: scores.means() for name, scores in zip(names, self.scores, strict=True)}
        if not means:
            return
        row = {f"val/{name}/{metric}": value for name, of in means.items() for metric, value in of.items()}
        for metric in self.protocol.metrics:
            row[f"val/{metric}"] = sum(of[metric] for of in means.values()) / len(means)
        pl_module.log_dict(row, logger=False, rank_zero_only=False)
        trainer.progress_bar_metrics["psnr"] = row["val/psnr"]
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fill `results` and log the means."""
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        for (name, photos), scores in zip(datamodule.sets.items(), self.scores, strict=True):
            means, values = scores.means(), scores.compute()
            of_images = {
                photo.name: {metric: column[index] for metric, column in values.items()}
                for index, photo in enumerate(photos)
                if values[self.protocol.metrics[0]][index] is not None
            }
            self.results[name] = {
                **{metric: means[metric] for metric in (*self.protocol.metrics, *SIMILARITY) if metric in means},
                "bicubic": {metric: means[f"bicubic_{metric}"] for metric in self.protocol.metrics},
                "images": of_images,
            }
            row = {f"test/{name}/{metric}": value for metric, value in means.items() if math.isfinite(value)}
            for logger in trainer.loggers:
                logger.log_metrics(row, step=trainer.global_step)
