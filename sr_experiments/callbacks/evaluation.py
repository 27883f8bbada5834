"""Scores of every image of every set, during training and at its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.matching.precision import full_precision
from sr_experiments.metrics import ImageScores, Protocol
from sr_experiments.metrics.directions import higher_is_better
from sr_experiments.metrics.distributions import PatchFeatures
from sr_experiments.metrics.recognition import backbones_of_loss
from sr_experiments.metrics.scores import Pair, Scores

# How similar an image is to its references: the mean cosine of the best matches.
SIMILARITY = ("similarity",)


def takes_references(pl_module: pl.LightningModule) -> bool:
    """Whether the evaluated network takes reference images."""
    return pl_module.stages.matching is not None  # type: ignore[union-attr]


class Evaluation(pl.Callback):
    """Measures under one protocol: `val/SET/psnr` while training, a whole table with the bicubic baseline in the test.

    Args:
        protocol: how an image is scored.
        scores: the scores beside PSNR and SSIM; None for none.

    Attributes:
        results: after a test: set -> means, the bicubic baseline's means, and the scores of every image by name; with
            references also how similar they are. A score that could not be computed is None; if it is missing in the
            whole run, `unavailable` holds the reason. Where `limit_test_batches` left images out, `coverage` says how
            many of how many were scored.
        image_scores: after a validation or test, in every process: set -> score -> its value of each image, None for
            an image without.
    """

    def __init__(self, protocol: Protocol, scores: Scores | None = None) -> None:
        self.protocol = protocol
        self.scores = Scores({}) if scores is None else scores
        self.tables: list[ImageScores] = []
        self.patches: list[tuple[PatchFeatures, PatchFeatures]] = []  # of SR and of bicubic enlargement, for every set
        self.results: dict[str, Any] = {}
        self.image_scores: dict[str, dict[str, list[float | None]]] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Read the weights that scores need, before anything is trained."""
        if not trainer.datamodule.set_names:  # type: ignore[attr-defined]
            return
        self.scores.check_backbones(backbones_of_loss(pl_module.loss))  # type: ignore[arg-type]
        strategy = trainer.strategy
        # The first process of a machine downloads, the others find the files.
        if trainer.local_rank == 0:
            self.scores.load(strategy.root_device)
        strategy.barrier("weights of scores")
        if trainer.local_rank != 0:
            self.scores.load(strategy.root_device)
        for logger in trainer.loggers:
            if hasattr(logger, "higher_is_better"):
                logger.higher_is_better = self.scores.higher_is_better
        self.scores.drop_unavailable(lambda mine: bool(strategy.reduce_boolean_decision(mine, all=True)))

    def start(self, trainer: pl.Trainer, loaders: Any, limit: int | float, names: tuple[str, ...]) -> None:
        """Make an empty table for every set.

        Args:
            trainer: Lightning's.
            loaders: one for each set.
            limit: `limit_val_batches` or `limit_test_batches`: an int is a number of images, a float a fraction.
            names: the scores in the table.
        """
        is_partial = trainer.sanity_checking or isinstance(limit, int) or limit < 1
        device = trainer.strategy.root_device
        dtype = torch.float32 if device.type == "mps" else torch.float64
        counts = [len(loader.dataset) for loader in loaders or []]
        self.tables = [ImageScores(count, names=names, partial=is_partial, dtype=dtype).to(device) for count in counts]
        self.patches = [(PatchFeatures(), PatchFeatures()) for _ in counts]

    def names(self, beside: Sequence[str]) -> tuple[str, ...]:
        """Names of the protocol's scores and of those beside them."""
        return (*self.protocol.metrics, *beside)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a validation."""
        self.start(trainer, trainer.val_dataloaders, trainer.limit_val_batches, self.names(self.scores.validation))

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a test."""
        names = self.names(self.scores.test)
        names += tuple(f"bicubic_{name}" for name in names)
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
        patches, _ = self.patches[dataloader_idx]
        row = self.score(pl_module, outputs, outputs["sr"], self.scores.validation, dataloader_idx, patches)
        self.tables[dataloader_idx].update(int(outputs["index"]), row)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score one image and its bicubic enlargement."""
        height, width = outputs["hr"].shape[-2:]
        enlarged = bicubic_upsample(outputs["lr"], size=(height, width))
        row, baseline = (
            self.score(pl_module, outputs, image, self.scores.test, dataloader_idx, patches)
            for image, patches in zip((outputs["sr"], enlarged), self.patches[dataloader_idx], strict=True)
        )
        row.update({f"bicubic_{name}": value for name, value in baseline.items()})
        if takes_references(pl_module):
            row["similarity"] = float(outputs["similarity"].mean())
        self.tables[dataloader_idx].update(int(outputs["index"]), row)

    def score(
        self,
        pl_module: pl.LightningModule,
        outputs: dict[str, Any],
        image: torch.Tensor,
        beside: Sequence[str],
        dataloader_idx: int,
        patches: PatchFeatures,
    ) -> dict[str, float | None]:
        """Scores of one enlarged image, (1, 3, H, W), against the HR image of the same batch.

        Args:
            pl_module: made the image, and has the degradation that made LR.
            outputs: the batch.
            image: the enlarged image.
            beside: names of the scores beside the protocol's.
            dataloader_idx: the number of the set.
            patches: collects the features for scores of the whole set.
        """
        row: dict[str, float | None] = {}
        row.update(self.protocol.score(image[0], outputs["hr"][0], is_gray=bool(outputs["gray"])))
        if beside:
            pair = Pair(image, outputs, self.protocol, pl_module.degradation)  # type: ignore[arg-type]
            with torch.no_grad(), full_precision(image.device):
                index = int(outputs["index"])
                row.update(self.scores(beside, pair, place=(dataloader_idx, index)))
                patches.add(index, self.scores.patch_features(beside, pair, place=(dataloader_idx, index)))
        return row

    def of_sets(self, beside: Sequence[str], bicubic: bool = False) -> list[dict[str, float | None]]:
        """Scores of whole sets, set by set; all processes must call this."""
        if not self.scores.over_sets(beside):
            return [{} for _ in self.patches]
        return [self.scores.of_set(beside, pair[bicubic].gathered()) for pair in self.patches]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the means of every set, and of all sets together."""
        names = trainer.datamodule.set_names  # type: ignore[attr-defined]
        means = {name: table.means() for name, table in zip(names, self.tables, strict=True)}
        self.image_scores = {name: table.compute() for name, table in zip(names, self.tables, strict=True)}
        if not means:
            return
        for of, whole in zip(means.values(), self.of_sets(self.scores.validation), strict=True):
            of.update({metric: value for metric, value in whole.items() if value is not None})
        row = {f"val/{name}/{metric}": value for name, of in means.items() for metric, value in of.items()}
        for metric in self.names(self.scores.validation):
            row[f"val/{metric}"] = sum(of[metric] for of in means.values()) / len(means)
        # A score that no image has is left out; PSNR or SSIM that is not a number is shown.
        kept = tuple(f"/{metric}" for metric in self.protocol.metrics)
        row = {name: value for name, value in row.items() if name.endswith(kept) or not math.isnan(value)}
        pl_module.log_dict(row, logger=False, rank_zero_only=False)
        trainer.progress_bar_metrics["psnr"] = row["val/psnr"]
        for logger in trainer.loggers:
            logger.log_metrics(row, step=trainer.global_step)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fill `results` and log the means."""
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        metrics = self.names(self.scores.test)
        whole, of_bicubic = self.of_sets(self.scores.test), self.of_sets(self.scores.test, bicubic=True)
        for place, ((name, photos), table) in enumerate(zip(datamodule.sets.items(), self.tables, strict=True)):
            means, values = table.means(), table.compute()
            self.image_scores[name] = values
            for prefix, of in (("", whole[place]), ("bicubic_", of_bicubic[place])):
                means.update({f"{prefix}{metric}": value for metric, value in of.items() if value is not None})
            of_images = {
                photo.name: {metric: column[index] for metric, column in values.items()}
                for index, photo in enumerate(photos)
                if values[self.protocol.metrics[0]][index] is not None
            }
            coverage = {"scored": len(of_images), "of": len(photos)}
            self.results[name] = {
                **{metric: means[metric] for metric in (*metrics, *SIMILARITY) if metric in means},
                **({"coverage": coverage} if len(of_images) < len(photos) else {}),
                "bicubic": {metric: means[f"bicubic_{metric}"] for metric in metrics},
                **({"unavailable": self.scores.unavailable} if self.scores.unavailable else {}),
                "images": of_images,
            }
            row = {f"test/{name}/{metric}": value for metric, value in means.items() if math.isfinite(value)}
            for logger in trainer.loggers:
                logger.log_metrics(row, step=trainer.global_step)


def mode_for(trainer: pl.Trainer, monitor: str, setting: str) -> str:
    """Whether the `max` or the `min` of a logged score is better.

    Args:
        trainer: whose evaluation takes the score.
        monitor: as it is logged, such as `val/psnr`.
        setting: the config key that can set it, for the message.

    Raises:
        UserError: it is not known whether a higher value is better.
    """
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    own = next((callback.scores.higher_is_better for callback in callbacks if isinstance(callback, Evaluation)), {})
    is_higher = higher_is_better(monitor, own)
    if is_higher is None:
        raise UserError(f"It is not known whether a higher {monitor} is better: give {setting}=max or {setting}=min.")
    return "max" if is_higher else "min"


def evaluation_of(trainer: pl.Trainer) -> Evaluation:
    """The trainer's `Evaluation` callback.

    Raises:
        UserError: there is none.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Evaluation):
            return callback
    raise UserError("callbacks.crops and callbacks.best_and_worst need callbacks.evaluation, which measures.")
