"""metrics.csv: one row per logged step, kept when a run is resumed."""

from __future__ import annotations

import csv
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import Logger

from sr_experiments.pixels.atomic import replacing
from sr_experiments.runs.folder import RunFolder


class CSVLog(Logger):
    """Writes every row as soon as it is logged, so that a killed run loses none.

    Lightning's own CSV logger deletes the file of the run that is resumed; this one keeps it up to the step from which
    the run goes on.

    Args:
        folder: the run folder; the file is `metrics.csv` in it.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.path = RunFolder(folder).metrics
        self.columns: list[str] = ["step"]
        self.last_row: dict[str, Any] = {}
        if self.path.exists():
            self.remember(self.read())

    @property
    def name(self) -> str:
        """The name of this logger."""
        return "csv"

    @property
    def version(self) -> str:
        """There is one version a run folder."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The composed config lies beside the file already."""

    @rank_zero_only
    def start_at(self, step: int) -> None:
        """Drop the rows after `step`: the run goes on from there."""
        if self.path.exists():
            rows = [row for row in self.read() if (row["step"] or "").isdigit() and int(row["step"]) <= step]
            self.rewrite(rows)
            self.remember(rows)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a row for `step`, or add values to the row of that step."""
        new = [name for name in metrics if name not in self.columns]
        same_step = str(self.last_row.get("step")) == str(step)
        row = {**self.last_row, **metrics} if same_step else {"step": step, **metrics}
        if new or same_step or not self.path.exists():
            rows = self.read() if self.path.exists() else []
            self.columns += sorted(new)
            self.rewrite([*(rows[:-1] if same_step else rows), row])
        else:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self.columns).writerow(row)
        self.last_row = row

    def read(self) -> list[dict[str, Any]]:
        """The rows of the file, whose header becomes the columns."""
        with self.path.open(newline="") as file:
            reader = csv.DictReader(file)
            self.columns = list(reader.fieldnames or ["step"])
            return list(reader)

    def remember(self, rows: list[dict[str, Any]]) -> None:
        """Keep the last row, to which values may still be added."""
        self.last_row = dict(rows[-1]) if rows else {}

    def rewrite(self, rows: list[dict[str, Any]]) -> None:
        """Write the whole file beside the old one, then put it in its place."""
        with replacing(self.path) as unfinished, unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)
