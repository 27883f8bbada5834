"""Training curves from the log of a run, reduced to the points that a screen can show."""

from __future__ import annotations

import csv
import math
from itertools import pairwise
from pathlib import Path

# Points of a curve that the page keeps: each is the mean of its share of the logged rows.
POINTS = 200


def read_curves(path: Path, notes: list[str], points: int = POINTS) -> dict[str, list[list[float]]]:
    """Read the log; it may be read while it is written.

    Cells that are no finite numbers are skipped; so is a row whose step cannot be read.

    Args:
        path: the file; none gives no curves.
        notes: a sentence is added here if the file cannot be read.
        points: the most points a curve has.

    Returns:
        Column -> [steps, values]; the scores of the test are no curves and are left out.
    """
    if not path.exists():
        return {}
    columns: dict[str, list[tuple[int, float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            names = next(rows, [])
            for row in rows:
                if len(row) != len(names):
                    continue  # the last row of a file that is being written
                cells = dict(zip(names, row, strict=True))
                step = cells.pop("step", "")
                if step.isdecimal():
                    for name, text in cells.items():
                        value = _finite(text)
                        if value is not None and not name.startswith("test/"):
                            columns.setdefault(name, []).append((int(step), value))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        notes.append(f"{path.name} cannot be read ({error}): curves are left out.")
    return {name: thin(pairs, points) for name, pairs in columns.items()}


def thin(pairs: list[tuple[int, float]], points: int) -> list[list[float]]:
    """Average neighbours so that at most `points` are left; the last one keeps its own step and value."""
    pairs = sorted(pairs, key=lambda pair: pair[0])
    if len(pairs) > points:
        body, last = pairs[:-1], pairs[-1]
        edges = [len(body) * index // (points - 1) for index in range(points)]
        shares = [body[start:stop] for start, stop in pairwise(edges)]
        pairs = [
            (share[len(share) // 2][0], math.fsum(value for _, value in share) / len(share)) for share in shares
        ] + [last]
    return [[step for step, _ in pairs], [short(value) for _, value in pairs]]


def short(value: float, digits: int = 6) -> float:
    """Round to significant digits, for a shorter text."""
    return float(f"{value:.{digits}g}")


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
