"""Stops a job of a sweep that is worse than earlier jobs."""

from __future__ import annotations

import csv
import statistics
from typing import Any

import pytorch_lightning as pl

from sr_experiments.callbacks.evaluation import mode_for
from sr_experiments.errors import UserError
from sr_experiments.runs.folder import RunFolder
from sr_experiments.runs.results import is_finished, write_json


class MedianPruning(pl.Callback):
    """Ends a training whose best value so far is worse than the median of what finished jobs had reached by then.

    The job is tested with its present weights, and its results say `pruned`, with the step and both values; it is not
    ranked.

    Args:
        folder: the run folder; the sweep's is around it.
        monitor: the logged value that is compared.
        mode: whether its `max` or its `min` is best; None: the score's own direction.
        after: generator updates before the first comparison.
        jobs: finished jobs that are needed for one.

    Raises:
        UserError: `mode` is unknown, or `after` or `jobs` is too small.
    """

    def __init__(
        self, folder: str, monitor: str = "val/psnr", mode: str | None = None, after: int = 1000, jobs: int = 3
    ) -> None:
        if mode not in ("max", "min", None):
            raise UserError(f"callbacks.pruning.mode={mode} is unknown: use max, min or null.")
        if after < 0 or jobs < 1:
            raise UserError("callbacks.pruning.after must not be negative, and callbacks.pruning.jobs at least 1.")
        self.run = RunFolder(folder)
        self.monitor = monitor
        self.mode = mode
        self.after = after
        self.jobs = jobs
        self.best: float | None = None

    def state_dict(self) -> dict[str, Any]:
        """The best value so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best value of a resumed run."""
        self.best = state_dict["best"]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the sweep, and whether a higher value is better.

        Raises:
            UserError: this run belongs to no sweep, or it is not known whether a higher value is better.
        """
        if stage != "fit":
            return
        if not self.run.sweep_record.exists():
            raise UserError("callbacks.pruning compares the jobs of a sweep: start it with sweep=NAME or -m KEY=A,B.")
        if self.mode is None:
            self.mode = mode_for(trainer, self.monitor, "callbacks.pruning.mode")

    def best_of(self, *values: float) -> float:
        """The best of some values."""
        return max(values) if self.mode == "max" else min(values)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare, and stop if the value is worse than the median.

        Raises:
            UserError: `monitor` is not logged.
        """
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:
            known = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
            raise UserError(f"callbacks.pruning.monitor={self.monitor} is not logged; what is logged: {known}.")
        self.best = float(value) if self.best is None else self.best_of(self.best, float(value))
        # One process decides, so that all of them stop or none.
        median = trainer.strategy.broadcast(self.median_at(trainer.global_step) if trainer.is_global_zero else None)
        if median is None or self.best_of(self.best, median) == self.best:
            return
        if trainer.is_global_zero:
            mark = {"step": trainer.global_step, self.monitor: self.best, "median": median}
            write_json(self.run.pruned, mark)
        trainer.should_stop = True

    def median_at(self, step: int) -> float | None:
        """The median of what finished jobs had reached at a step; None where there are too few."""
        if step < self.after:
            return None
        found = []
        for folder in self.run.path.parent.iterdir():
            best = self.best_until(RunFolder(folder), step) if is_finished(folder) else None
            if best is not None and folder != self.run.path:
                found.append(best)
        return statistics.median(found) if len(found) >= self.jobs else None

    def best_until(self, folder: RunFolder, step: int) -> float | None:
        """The best value that a job had logged up to a step."""
        try:
            with folder.metrics.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if (row["step"] or "").isdigit()]
        except OSError:
            return None
        values = [float(row[self.monitor]) for row in rows if int(row["step"]) <= step and row.get(self.monitor)]
        return self.best_of(*values) if values else None
