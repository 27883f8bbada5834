"""The ranking of a sweep's jobs: means over seeds, the gain over bicubic, the Pareto set of several metrics."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from sr_experiments.runs.results import as_number
from sr_experiments.sweeps.settings import Settings

# The axis that is averaged over.
SEED = "seed"


def score(job: dict[str, Any], metric: str, set_name: str | None) -> float | None:
    """A job's value of a metric; None where it has none.

    Args:
        job: with `test` and the other numbers of its results.json.
        metric: a metric of the test set, or another number.
        set_name: the test set; None for the first.
    """
    scores = test_set(job, set_name)
    value = scores[metric] if metric in scores else job.get(metric)
    return as_number(value)


def test_set(job: dict[str, Any], set_name: str | None) -> dict[str, Any]:
    """The scores of a job on a test set."""
    test = job.get("test") or {}
    return test.get(set_name or next(iter(test), ""), {})


def rank(jobs: Iterable[dict[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """Rank the results of the finished jobs, the best first.

    Args:
        jobs: as in sweep.json.
        settings: by which metrics.

    Returns:
        A row for every point apart from its seed: `point`, `jobs` (folders), `set`; `scores` with the `mean`, `spread`
        (the standard deviation over seeds) and `n` of every metric; `bicubic`, the baseline's scores; and `pareto`,
        whether no other row is at least as good in every metric and better in one.
    """
    groups: dict[tuple[tuple[str, str], ...], list[dict[str, Any]]] = {}
    for job in jobs:
        values = [score(job, metric, settings.set_name) for metric in settings.metrics]
        if job["status"] == "finished" and None not in values:
            point = tuple((name, value) for name, value in job["point"].items() if name != SEED)
            groups.setdefault(point, []).append(job)
    rows = []
    for point, members in groups.items():
        scores = {metric: _spread(members, metric, settings.set_name) for metric in _shown(members, settings)}
        bicubic = test_set(members[0], settings.set_name).get("bicubic", {})
        folders = [job["folder"] for job in members]
        set_name = settings.set_name or next(iter(members[0].get("test") or {}), None)
        rows.append({"point": dict(point), "jobs": folders, "set": set_name, "scores": scores, "bicubic": bicubic})
    rows.sort(key=lambda row: signed_scores(row, settings), reverse=True)
    for row in rows:
        row["pareto"] = not any(
            dominates(signed_scores(other, settings), signed_scores(row, settings)) for other in rows
        )
    return rows


def _shown(members: Sequence[dict[str, Any]], settings: Settings) -> list[str]:
    """The metrics that rank, then the others of the test set."""
    others = [
        name
        for name, value in test_set(members[0], settings.set_name).items()
        if as_number(value) is not None and name not in settings.metrics
    ]
    return [
        *settings.metrics,
        *(name for name in others if all(name in test_set(m, settings.set_name) for m in members)),
    ]


def _spread(members: Sequence[dict[str, Any]], metric: str, set_name: str | None) -> dict[str, Any]:
    values = [value for job in members if (value := score(job, metric, set_name)) is not None]
    if not values:
        return {"mean": None, "spread": None, "n": 0}
    spread = statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None
    return {"mean": statistics.fmean(values), "spread": spread, "n": len(values)}


def signed_scores(row: dict[str, Any], settings: Settings) -> tuple[float, ...]:
    """The metrics of a row, with their sign changed where lower is better."""
    return tuple(
        row["scores"][metric]["mean"] * (1 if direction == "max" else -1)
        for metric, direction in zip(settings.metrics, settings.directions, strict=True)
    )


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether `one` is at least as good in everything and better in something."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and any(a > b for a, b in zip(one, other, strict=True))


def ranking_table(rows: Sequence[dict[str, Any]], settings: Settings) -> Table:
    """The ranking for people: axes, metrics with their spread over seeds, the gain over bicubic.

    It shows the metrics that rank, PSNR and SSIM, since a terminal has no room for more; sweep.json has all of them.
    """
    metrics = [metric for metric in rows[0]["scores"] if metric in (*settings.metrics, "psnr", "ssim")]
    axes = list(rows[0]["point"])
    several = len(settings.metrics) > 1
    wanted = ", ".join(
        f"{metric} ({direction})" for metric, direction in zip(settings.metrics, settings.directions, strict=True)
    )
    title = f"Ranked by {wanted} on {rows[0]['set']}"
    table = Table(title=title, title_justify="left")
    table.add_column("", justify="right")
    for axis in axes:
        table.add_column(axis, overflow="fold")
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    table.add_column("over bicubic", justify="right")
    table.add_column("seeds", justify="right")
    if several:
        table.add_column("Pareto", no_wrap=True)
    for place, row in enumerate(rows, start=1):
        first = row["scores"][settings.metrics[0]]
        base = row["bicubic"].get(settings.metrics[0])
        cells = [_cell(row["scores"][metric], metric) if metric in row["scores"] else "" for metric in metrics]
        gain = _gain(first["mean"], base, settings.metrics[0])
        pareto = ["yes" if row["pareto"] else ""] if several else []
        points = [row["point"].get(axis, "") for axis in axes]
        table.add_row(str(place), *points, *cells, gain, str(first["n"]), *pareto)
    baselines = {tuple(sorted(row["bicubic"].items())) for row in rows}
    if len(baselines) == 1 and rows[0]["bicubic"]:
        bicubic = rows[0]["bicubic"]
        cells = [_cell({"mean": bicubic.get(metric), "spread": None}, metric) for metric in metrics]
        table.add_section()
        label = ["bicubic", *[""] * (len(axes) - 1)] if axes else []
        table.add_row("" if axes else "bicubic", *label, *cells, "", "", *([""] if several else []), style="dim")
    return table


def _cell(value: dict[str, Any], metric: str) -> str:
    if value["mean"] is None:
        return ""
    digits = _digits(metric, value["mean"])
    spread = f" ± {value['spread']:.{digits}f}" if value["spread"] is not None else ""
    return f"{value['mean']:.{digits}f}{spread}"


def _gain(value: float, base: float | None, metric: str) -> str:
    """The difference to bicubic; empty where it is undefined, as between two infinite values."""
    gain = math.nan if base is None else value - base
    return "" if math.isnan(gain) else f"{gain:+.{_digits(metric, value)}f}"


def _digits(metric: str, value: float) -> int:
    """Digits after the point, as papers print them."""
    if not math.isfinite(value) or (value == int(value) and abs(value) >= 1000):
        return 0
    return 2 if metric.endswith("psnr") or abs(value) >= 100 else 4
