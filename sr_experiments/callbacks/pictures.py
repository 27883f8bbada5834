"""Pictures while training: the same crops again and again, and the best and the worst images of an evaluation.

The first process alone enlarges, writes and logs, without communication with the others. Nothing here draws a random
number or changes a weight, so pictures do not change a run.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from sr_experiments.callbacks.evaluation import evaluation_of
from sr_experiments.callbacks.examples import extremes, first_images, make_example
from sr_experiments.callbacks.sheets import Example, draw_sheet
from sr_experiments.callbacks.wandb_log import WandbLog
from sr_experiments.data.images import write_png
from sr_experiments.errors import UserError
from sr_experiments.metrics.directions import higher_is_better

log = logging.getLogger(__name__)


class Album:
    """Writes pictures to files, and to W&B where it is on. A full disk stops the pictures, not the training.

    Args:
        folder: of the files; made when needed.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.failed = False

    def add(
        self, trainer: pl.Trainer, file: str, key: str, title: str, examples: Sequence[Example], to_wandb: bool = True
    ) -> None:
        """Write a sheet to `file`, and log it and a table of its examples under `key`."""
        sheet = draw_sheet(title, examples)
        try:
            if not self.failed:
                write_png(self.folder / file, sheet)
        except UserError as error:
            self.failed = True
            log.warning("No more pictures are written in this run, which goes on: %s", error)
        for logger in trainer.loggers if to_wandb else []:
            if isinstance(logger, WandbLog):
                logger.log_pictures(key, examples, sheet, step=trainer.global_step)


class CropsOverTime(pl.Callback):
    """Shows the same crops of validation images from before the first update to the last.

    Each sheet is `FOLDER/step_N.png`. Of each image it shows the crop where bicubic enlargement has the largest error.
    The number of files is bounded: when there are `keep` sheets, every other one is deleted and the interval doubles.
    W&B keeps all sheets: at most `keep`, and half of that for each further doubling of the steps.

    Args:
        folder: where the sheets are written.
        every: generator updates from one sheet to the next, at first.
        count: crops, each of another image, of all sets in turn.
        size: HR pixels a side of a crop.
        keep: the most sheets that lie on the disk.

    Raises:
        UserError: a number is too small.
    """

    def __init__(self, folder: str, every: int = 1000, count: int = 4, size: int = 96, keep: int = 20) -> None:
        if min(every, count) < 1 or size < 16 or keep < 3:
            raise UserError(
                f"callbacks.crops.every={every} and count={count} must be at least 1, size={size} at least 16 pixels, "
                f"keep={keep} at least 3 (the first, the last, and one between)."
            )
        self.album = Album(folder)
        self.every, self.count, self.size, self.keep = every, count, size, keep
        self.last_shown: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the crops before the first update."""
        if trainer.global_step == 0:
            self.show(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Show the crops when it is time."""
        if trainer.global_step % spacing(trainer.global_step, self.every, self.keep) == 0:
            self.show(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the crops after the last update."""
        self.show(trainer, pl_module)

    def show(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write and log a sheet of this step, unless that has been done."""
        step, datamodule = trainer.global_step, trainer.datamodule  # type: ignore[attr-defined]
        places = first_images(datamodule, self.count)
        if step == self.last_shown or not trainer.is_global_zero or not places:
            return
        self.last_shown = step
        protocol = evaluation_of(trainer).protocol
        examples = [make_example(pl_module, datamodule, place, self.size, protocol, by="bicubic") for place in places]
        title = f"step {step}. PSNR: of the whole image. Shown: where bicubic is furthest from HR."
        self.album.add(trainer, f"step_{step:08d}.png", "images/crops", title, examples)
        self.thin_out(step)

    def thin_out(self, step: int) -> None:
        """Delete sheets that are closer to each other than the interval."""
        apart = spacing(step, self.every, self.keep)
        for file in sorted(self.album.folder.glob("step_*.png")):
            number = re.fullmatch(r"step_(\d+)", file.stem)
            if number and int(number[1]) != step and int(number[1]) % apart:
                try:
                    file.unlink(missing_ok=True)
                except OSError as error:
                    log.info("%s cannot be deleted: %s", file, error)


class BestAndWorst(pl.Callback):
    """Shows the images with the best and the worst scores of a validation or test, each where SR has the largest error.

    The sheet is `FOLDER/best_and_worst.png`, always of the last evaluation. The scores are known after an evaluation
    in every process; only these few images are enlarged once more.

    Args:
        folder: where the sheet is written.
        count: images of each kind.
        size: HR pixels a side of what is shown of them.
        metric: the score that decides; an evaluation that does not take it shows nothing.
        keep: after so many validations W&B gets only every other one, and so on, as in `CropsOverTime`.

    Raises:
        UserError: a number is too small.
    """

    def __init__(self, folder: str, count: int = 2, size: int = 96, metric: str = "psnr", keep: int = 20) -> None:
        if count < 1 or size < 16 or keep < 3:
            raise UserError(
                f"callbacks.best_and_worst.count={count} must be at least 1, size={size} at least 16 pixels, "
                f"keep={keep} at least 3."
            )
        self.album = Album(folder)
        self.count, self.size, self.metric, self.keep = count, size, metric, keep

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Check that a validation or the test computes the score.

        Raises:
            UserError: neither a validation nor the test does.
        """
        evaluation = evaluation_of(trainer)
        taken = {*evaluation.names(evaluation.scores.validation), *evaluation.names(evaluation.scores.test)}
        if self.metric not in taken:
            raise UserError(
                f"callbacks.best_and_worst.metric={self.metric} is not measured: choose one of "
                f"{', '.join(sorted(taken))}, or add it to scores."
            )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the images of a validation."""
        if not trainer.sanity_checking:
            self.show(trainer, pl_module, "validation")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the images of the test."""
        self.show(trainer, pl_module, "test")

    def show(self, trainer: pl.Trainer, pl_module: pl.LightningModule, kind: str) -> None:
        """Write and log a sheet of the evaluation that has just ended."""
        evaluation = evaluation_of(trainer)
        scores = {name: of[self.metric] for name, of in evaluation.image_scores.items() if self.metric in of}
        is_better = higher_is_better(self.metric, evaluation.scores.higher_is_better)
        best, worst = extremes(scores, bool(is_better), self.count)
        if not trainer.is_global_zero or not best:
            return
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        examples = []
        for word, places in (("best", best), ("worst", worst)):
            for name, index in places:
                found = make_example(pl_module, datamodule, (name, index), self.size, evaluation.protocol, by="sr")
                value = scores[name][index]
                notes = {**found.notes, "LR": f"{word}: {found.name}"}
                if self.metric != "psnr":
                    notes["HR"] = f"{self.metric} {value:.4g}"
                values = {**found.values, self.metric: value}
                examples.append(Example(notes["LR"], found.panels, notes, values))
        title = (
            f"{kind} at step {trainer.global_step}: best and worst {self.metric}. Shown: where SR is furthest from HR."
        )
        self.album.add(
            trainer, "best_and_worst.png", "images/best_and_worst", title, examples, self.is_logged(trainer, kind)
        )

    def is_logged(self, trainer: pl.Trainer, kind: str) -> bool:
        """Whether W&B gets this evaluation: the test, and validations that lie further and further apart."""
        number = math.ceil(trainer.global_step / trainer.val_check_interval)
        return kind == "test" or number % spacing(number, 1, self.keep) == 0


def spacing(step: int, every: int, keep: int) -> int:
    """Generator updates between the sheets that are kept up to `step`: `every`, doubled as often as `keep` asks for.

    Of its multiples from 0 to `step`, and `step` itself, there are never more than `keep`.
    """
    apart = every
    while step > apart * (keep - 2):
        apart *= 2
    return apart
