"""The scores of a test as tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from sr_experiments.metrics.directions import higher_is_better
from sr_experiments.metrics.protocol import Protocol

# Printed for a missing score.
MISSING = "-"

# Digits after the point; of other scores four.
DECIMALS = {"psnr": 2, "lr_psnr": 2, "niqe": 2, "fid": 2}

# Longer names of images are folded.
LONGEST_NAME = 24


def print_table(test: dict[str, Any], protocol: dict[str, Any], directions: Mapping[str, bool] | None = None) -> None:
    """Print one table per set: for every image bicubic, the network and further scores, then the means.

    Columns for which the terminal is too narrow go into further tables below. A missing score is a dash; the reason is
    printed once, under the tables.
    """
    console = Console()
    for name, of in test.items():
        coverage = of.get("coverage")
        part = f", only {coverage['scored']} of {coverage['of']} images" if coverage else ""
        title = f"{name} (protocol {protocol['channel']}, border {protocol['border']}{part})"
        for columns in _fitting(_columns(of, directions or {}), of, console.width):
            console.print(_table(title, columns, of))
            title = f"{name}, continued"
    reasons = {score: reason for of in test.values() for score, reason in of.get("unavailable", {}).items()}
    for score, reason in reasons.items():
        console.print(f"{score} is unavailable: {reason}", style="dim", markup=False, highlight=False)


@dataclass
class _Column:
    """One column: a heading of two lines, and its cells from the scores of an image, their mean, and bicubic's."""

    heading: str
    images: list[str]
    mean: str
    bicubic: str = ""

    @property
    def width(self) -> int:
        lines = (*self.heading.split("\n"), *self.images, self.mean, self.bicubic)
        return max(len(line) for line in lines) + 3


def _columns(of: dict[str, Any], directions: Mapping[str, bool]) -> list[_Column]:
    rows, bicubic = list(of["images"].values()), of["bicubic"]
    columns = []
    for score in Protocol.metrics:
        made = [_Column(f"bicubic\n{score.upper()}", _cells(rows, f"bicubic_{score}"), _cell(score, bicubic[score]))]
        made.append(_Column(f"network\n{score.upper()}", _cells(rows, score), _cell(score, of[score])))
        if score == "psnr":
            gains = [f"{row['psnr'] - row['bicubic_psnr']:+.2f}" for row in rows]
            made.append(_Column("\ngain", gains, f"{of['psnr'] - bicubic['psnr']:+.2f}"))
        columns += made
    for score in of:
        if score in (*Protocol.metrics, "bicubic", "images", "unavailable", "coverage"):
            continue
        cells = _cells(rows, score)
        if _is_number(of[score]) and set(cells) == {MISSING}:
            cells = [""] * len(rows)  # a score of the whole set
        arrow = {True: "↑", False: "↓", None: ""}[higher_is_better(score, directions)]
        baseline = _cell(score, bicubic[score]) if score in bicubic else ""
        whose = "network" if score in bicubic else ""
        columns.append(_Column(f"{whose}\n{score} {arrow}".rstrip(), cells, _cell(score, of[score]), baseline))
    return columns


def _fitting(columns: list[_Column], of: dict[str, Any], width: int) -> list[list[_Column]]:
    """Distribute columns over as few tables as the width needs."""
    names = min(max((len(image) for image in of["images"]), default=0), LONGEST_NAME)
    room = width - max(names, len("bicubic mean")) - 4
    tables: list[list[_Column]] = [[]]
    for column in columns:
        if tables[-1] and sum(one.width for one in (*tables[-1], column)) > room:
            tables.append([])
        tables[-1].append(column)
    return tables


def _table(title: str, columns: list[_Column], of: dict[str, Any]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("image", overflow="fold", vertical="bottom")
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for place, image in enumerate(of["images"]):
        table.add_row(image, *(column.images[place] for column in columns))
    table.add_section()
    table.add_row("mean", *(column.mean for column in columns), style="bold")
    if any(column.bicubic for column in columns):
        table.add_row("bicubic mean", *(column.bicubic for column in columns))
    return table


def _cells(rows: list[dict[str, Any]], score: str) -> list[str]:
    return [_cell(score, row.get(score)) for row in rows]


def _cell(score: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return MISSING
    return f"{value:.{DECIMALS.get(score.removeprefix('bicubic_'), 4)}f}"


def _is_number(value: float | None) -> bool:
    return value is not None and not math.isnan(value)
