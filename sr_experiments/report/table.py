"""The leaderboard: which runs may be ranked together, in which keys they differ, and their means over seeds."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sr_experiments.report.read import Run, flat, is_identity
from sr_experiments.report.statistics import paired_differences
from sr_experiments.runs.results import as_number

# Keys about how a run was made rather than what was trained: they come last in the name of a row.
TECHNICAL = re.compile(r"trainer(?!\.max_steps)|callbacks|debug|data\.(num_workers|cache)|compile|channels_last")

# Keys of a set's results that are no mean of a metric.
NOT_METRICS = ("images", "bicubic")

# The metric by which the best row is chosen for comparisons.
LEADING = "psnr"


@dataclass
class Row:
    """Runs that differ in their seed alone.

    Attributes:
        name: the keys in which it differs from other rows, as `key=value, ...`.
        group: index of its group in the list of groups.
        runs: indices of its runs in the list of runs.
        values: column -> value.
        sets: set -> its numbers; see `set_numbers`.
    """

    name: str
    group: int
    runs: list[int]
    values: dict[str, Any]
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Group:
    """Rows that may stand in one ranking.

    Attributes:
        scale: the enlargement.
        protocol: how all of its numbers were measured.
        label: both in words.
    """

    scale: Any
    protocol: dict[str, Any]

    @property
    def label(self) -> str:
        """Scale and protocol in words."""
        words = {"channel": "{}", "border": "border {}", "gray": "gray {}", "rounding": "rounded to {}"}
        parts = [words.get(key, key + " {}").format(value) for key, value in self.protocol.items()]
        return f"x{self.scale}, {', '.join(parts)}"


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """Keys that command lines set and that do not have one value in all runs; the seed is none of them.

    Where overrides are the same but configs differ (because the shipped ones changed, say), the keys of the config in
    which runs differ are added.
    """
    flats = [flat(run.config) for run in runs]
    keys = dict.fromkeys(key for run in runs for key in run.overrides if is_identity(key))
    found = [
        key for key in keys if len({_plain(value_of(run, key, of)) for run, of in zip(runs, flats, strict=True)}) > 1
    ]
    covered: dict[str, set[str]] = {}
    for run, of in zip(runs, flats, strict=True):
        told = json.dumps([_plain(value_of(run, key, of)) for key in found])
        covered.setdefault(told, set()).add(row_key(run))
    if any(len(identities) > 1 for identities in covered.values()):
        chosen = tuple(found)
        for key in dict.fromkeys(key for of in flats for key in of if is_identity(key)):
            apart = len({_plain(of.get(key)) for of in flats}) > 1
            inside = any(key.startswith(f"{part.split('@')[-1]}.") for part in chosen)
            if apart and key not in found and not inside:
                found.append(key)
    return sorted(found, key=_is_technical)


def value_of(run: Run, key: str, flat_config: dict[str, Any]) -> Any:
    """What a run has for a key of any command line: said there, chosen from a group, or in its config."""
    if key in run.overrides:
        return run.overrides[key]
    if key in run.choices:
        return run.choices[key]
    return flat_config.get(key)


def row_key(run: Run) -> str:
    """The config of a run without its seed and without where its files go, as text."""
    return json.dumps(
        {key: value for key, value in run.config.items() if is_identity(key)}, sort_keys=True, default=str
    )


def make_groups(runs: Sequence[Run]) -> tuple[list[Group], list[int]]:
    """Group runs by scale and protocol.

    Returns:
        The groups, the largest first, and the index of each run's group.
    """
    keys = [json.dumps([run.scale, run.protocol], sort_keys=True, default=str) for run in runs]
    order = [key for key, _ in Counter(keys).most_common()]
    first = {key: runs[keys.index(key)] for key in order}
    return [Group(first[key].scale, first[key].protocol) for key in order], [order.index(key) for key in keys]


def make_rows(runs: Sequence[Run], columns: Sequence[str], group_of: Sequence[int]) -> list[Row]:
    """Make one row of all seeds of a config, and name the rows."""
    together: dict[tuple[int, str], list[int]] = {}
    for place, run in enumerate(runs):
        together.setdefault((group_of[place], row_key(run)), []).append(place)
    tables = {key: values_of(runs[places[0]], columns) for key, places in together.items()}
    telling = {
        group: telling_columns([table for (of, _), table in tables.items() if of == group], columns)
        for group in set(group_of)
    }
    short = short_names(columns)
    rows = []
    for key, places in together.items():
        values = tables[key]
        told = [f"{short[column]}={show(values[column])}" for column in telling[key[0]] if values[column] is not None]
        rows.append(Row(", ".join(told) or runs[places[0]].label, key[0], places, values))
    repeated = {of for of, times in Counter((row.group, row.name) for row in rows).items() if times > 1}
    for row in rows:
        if (row.group, row.name) in repeated:
            row.name = f"{row.name} ({runs[row.runs[0]].label})"
    return rows


def values_of(run: Run, columns: Sequence[str]) -> dict[str, Any]:
    """Column -> value."""
    of = flat(run.config)
    return {key: value_of(run, key, of) for key in columns}


def telling_columns(tables: Sequence[dict[str, Any]], columns: Sequence[str]) -> list[str]:
    """As few columns as distinguish all rows, so that names stay short.

    Greedy: the column that distinguishes most rows comes first; among equals an option of a group, as in `loss=l1`.
    """
    chosen: list[str] = []

    def kinds(keys: Sequence[str]) -> int:
        return len({tuple(_plain(values[key]) for key in keys) for values in tables})

    for candidates in ([key for key in columns if not _is_technical(key)], columns):
        while kinds(chosen) < kinds([*chosen, *candidates]):
            left = [key for key in candidates if key not in chosen]
            chosen.append(max(left, key=lambda key: (kinds([*chosen, key]), "." not in key)))
    return [key for key in columns if key in chosen]


def _is_technical(key: str) -> bool:
    return bool(TECHNICAL.match(key))


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each dotted key; more parts where several would share it."""
    found = {}
    for key in keys:
        parts = key.split(".")
        for number in range(1, len(parts) + 1):
            name = ".".join(parts[-number:])
            if sum(other == key or other.endswith(f".{name}") for other in keys) == 1:
                break
        found[key] = name
    return found


def show(value: Any) -> str:
    """A value of a config as a command line says it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)


def fill_rows(rows: Sequence[Row], runs: Sequence[Run]) -> None:
    """Average the numbers of each row over its seeds, and compare the rows of a group and set with the best."""
    for row in rows:
        of_row = [runs[place] for place in row.runs]
        tested = [run for run in of_row if run.are_final] or of_row
        for name in dict.fromkeys(name for run in tested for name in run.tests):
            row.sets[name] = set_numbers(name, [run for run in tested if name in run.tests])
    for group in {row.group for row in rows}:
        for name in {name for row in rows if row.group == group for name in row.sets}:
            _compare([row.sets[name] for row in rows if row.group == group and name in row.sets])


def set_numbers(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """The numbers of one row on one set.

    Returns:
        `mean` and `spread` (standard deviation over seeds; None for one seed) of every metric, `bicubic`, `seeds`,
        whether the numbers are `final`, and `images`: name -> metric -> mean over the seeds.
    """
    metrics = dict.fromkeys(metric for run in runs for metric in run.tests[name] if metric not in NOT_METRICS)
    mean, spread = {}, {}
    for metric in metrics:
        values = [value for run in runs if (value := run.tests[name].get(metric)) is not None]
        mean[metric] = math.fsum(values) / len(values) if values else None
        spread[metric] = float(np.std(values, ddof=1)) if len(values) > 1 and np.isfinite(values).all() else None
    tables = [of for run in runs if run.are_final and isinstance(of := run.results["test"].get(name), dict)]
    bicubic: dict[str, Any] = next((of["bicubic"] for of in tables if isinstance(of.get("bicubic"), dict)), {})
    images: dict[str, dict[str, list[float]]] = {}
    for of in tables:
        listed = of.get("images")
        for image, scores in listed.items() if isinstance(listed, dict) else []:
            for metric, value in scores.items() if isinstance(scores, dict) else []:
                if (read := as_number(value)) is not None:
                    images.setdefault(image, {}).setdefault(metric, []).append(read)
    means = {
        image: {metric: math.fsum(values) / len(values) for metric, values in scores.items()}
        for image, scores in images.items()
    }
    final = all(run.are_final for run in runs)
    return {"mean": mean, "spread": spread, "bicubic": bicubic, "seeds": len(runs), "final": final, "images": means}


def _compare(numbers: list[dict[str, Any]]) -> None:
    """Add `against_best`: the leading metric minus that of the best row, with its interval."""
    tested = [of for of in numbers if of["final"] and of["images"] and of["mean"].get(LEADING) is not None]
    if not tested:
        return
    names = sorted({name for of in tested for name in of["images"]})
    values = np.array([[of["images"].get(name, {}).get(LEADING, np.nan) for name in names] for of in tested])
    best = max(range(len(tested)), key=lambda place: tested[place]["mean"][LEADING])
    for place, (of, interval) in enumerate(zip(tested, paired_differences(values, best), strict=True)):
        of["against_best"] = None if place == best or interval is None else list(interval)
        of["is_best"] = place == best


def _plain(value: Any) -> str:
    return json.dumps(float(value) if isinstance(value, int) and not isinstance(value, bool) else value, default=str)
