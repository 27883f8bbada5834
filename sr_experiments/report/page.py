"""The review page: all results as JSON inside one HTML file that works offline."""

from __future__ import annotations

import base64
import html
import json
import math
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from sr_experiments.metrics.directions import higher_is_better, own_directions
from sr_experiments.pixels.atomic import replacing
from sr_experiments.pixels.below import below
from sr_experiments.report.curves import short
from sr_experiments.report.pictures import compare_images, write_anchors
from sr_experiments.report.read import Run, flat
from sr_experiments.report.table import Group, Row, differing_keys, fill_rows, make_groups, make_rows, short_names, show
from sr_experiments.runs.results import as_number

STYLES = ("tabulator_simple.min.css", "page.css")
SCRIPTS = (
    "plotly-cartesian.min.js",
    "tabulator.min.js",
    "openseadragon.min.js",
    "tools.js",
    "leaderboard.js",
    "charts.js",
    "images.js",
    "details.js",
    "page.js",
)

# JSON has no infinity; JavaScript reads this number, which exceeds its largest one, as Infinity.
INFINITE = 10**400


def build_page(runs: Sequence[Run], notes: Sequence[str], path: Path, title: str, embed: bool = False) -> None:
    """Write the page, and beside it the originals and bicubic images that it shows.

    Args:
        runs: the runs to show.
        notes: one sentence for everything that could not be read.
        path: the HTML file; images go to a folder of its name beside it.
        title: on top of the page.
        embed: whether all images go into the file itself.
    """
    columns = differing_keys(runs)
    groups, group_of = make_groups(runs)
    rows = make_rows(runs, columns, group_of)
    fill_rows(rows, runs)
    row_of = {place: number for number, row in enumerate(rows) for place in row.runs}
    flats = [{key: show(value) for key, value in flat(run.config).items()} for run in runs]
    common = {key: value for key, value in flats[0].items() if all(of.get(key) == value for of in flats)}
    axes: dict[str, int] = {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        beside = Path(scratch) if embed else below(path.parent, f"{path.stem}_files")
        pictures, anchors = _pictures(runs, len(groups), group_of, beside)
        data = {
            "title": title,
            "notes": [*notes, *_notes(runs, groups, rows), *_picture_notes(pictures)],
            "columns": [{"key": key, "name": name} for key, name in short_names(columns).items()],
            "metrics": _metrics(rows, runs),
            "groups": [group.label for group in groups],
            "rows": [_row(row, runs) for row in rows],
            "runs": [_run(run, rows, group_of[place], row_of[place], path, axes) for place, run in enumerate(runs)],
            "steps": [json.loads(axis) for axis in axes],
            "common": common,
            "configs": [{key: value for key, value in of.items() if key not in common} for of in flats],
            "pictures": pictures,
            "embedded": embed,
            "files": {} if embed else {name: _link(file, path) for name, file in anchors.items()},
        }
        images = _own_images(runs) | anchors if embed else {}
        with replacing(path) as unfinished:
            unfinished.write_text(assemble(title, data, images), encoding="utf-8")


def assemble(title: str, data: dict[str, Any], images: dict[str, Path]) -> str:
    """Put styles, scripts, data and images into the frame of the page.

    Data and names cannot end their element or become markup: `<` is written as JSON's escape of it, and scripts
    put texts into the page as texts.
    """
    assets = resources.files("sr_experiments.report") / "assets"
    parts = {name: (assets / name).read_text(encoding="utf-8") for name in ("page.html", *STYLES, *SCRIPTS)}
    styles = "\n".join(f"<style>\n{without_map(parts[name])}\n</style>" for name in STYLES)
    scripts = "\n".join(f"<script>\n{without_map(parts[name])}\n</script>" for name in SCRIPTS)
    content = f'<script type="application/json" id="data">{as_json(data)}</script>\n' + "\n".join(
        f'<script type="text/plain" data-image="{html.escape(name)}">{_base64(file)}</script>'
        for name, file in images.items()
    )
    page = parts["page.html"]
    for mark, text in (
        ("<!--title-->", html.escape(title)),
        ("<!--styles-->", styles),
        ("<!--scripts-->", scripts),
        ("<!--data-->", content),
    ):
        # The data is inserted last, so that marks inside it are not replaced.
        page = page.replace(mark, text, 1)
    return page


def as_json(data: Any) -> str:
    """JSON that can stand inside a script element: no `<`, and numbers that are infinite once they are read."""
    text = json.dumps(_plain(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def without_map(text: str) -> str:
    """A script or style without the pointer to its source map, which is not there."""
    lines = text.rstrip().splitlines()
    return "\n".join(line for line in lines if "sourceMappingURL=" not in line or len(line) > 200)


def _base64(file: Path) -> str:
    try:
        return base64.b64encode(file.read_bytes()).decode("ascii")
    except OSError:
        return ""


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return INFINITE if value > 0 else -INFINITE
    return None if isinstance(value, float) and math.isnan(value) else value


def _link(file: Path, page: Path) -> str:
    """The address of a file as the page's browser finds it."""
    try:
        return quote(Path(os.path.relpath(file, page.parent.resolve())).as_posix())
    except ValueError:  # another drive
        return file.resolve().as_uri()


def _metrics(rows: Sequence[Row], runs: Sequence[Run]) -> dict[str, Any]:
    """Every metric that any row has a number for: `better` is 1 where more is better, -1 where less is, else 0."""
    names = dict.fromkeys(
        metric
        for row in rows
        for numbers in row.sets.values()
        for metric, value in numbers["mean"].items()
        if value is not None
    )
    own = {name: better for run in runs for name, better in own_directions(run.results).items()}
    number = {True: 1, False: -1, None: 0}
    return {
        name: {"better": number[higher_is_better(name, own)], "digits": 2 if "psnr" in name else 4} for name in names
    }


def _row(row: Row, runs: Sequence[Run]) -> dict[str, Any]:
    of_row = [runs[place] for place in row.runs]
    seconds = [run.results["seconds"] for run in of_row if isinstance(run.results.get("seconds"), int | float)]
    states = [run.status for run in of_row]
    return {
        "name": row.name,
        "group": row.group,
        "runs": row.runs,
        "values": {
            key: value if value is None or isinstance(value, int | float) else show(value)
            for key, value in row.values.items()
        },
        "sets": row.sets,
        "status": " + ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        if len(set(states)) > 1
        else states[0],
        "parameters": next((run.results["parameters"] for run in of_row if "parameters" in run.results), None),
        "steps": max((run.steps for run in of_row if run.steps is not None), default=None),
        "seconds": math.fsum(seconds) / len(seconds) if seconds else None,
    }


def _run(run: Run, rows: Sequence[Row], group: int, row: int, page: Path, axes: dict[str, int]) -> dict[str, Any]:
    name = rows[row].name + (f", seed={run.seed}" if len(rows[row].runs) > 1 else "")
    curves: dict[str, list[Any]] = {}
    for curve, (steps, values) in run.curves.items():
        axis = axes.setdefault(json.dumps(steps, separators=(",", ":")), len(axes))
        curves[curve] = [axis, [short(value) for value in values]]
    tests = run.results.get("test") if run.are_final else {}
    return {
        "name": name,
        "label": run.label,
        "folder": _link(run.folder, page),
        "status": run.status,
        "error": run.error,
        "command": run.command,
        "cwd": run.cwd,
        "notes": run.notes,
        "group": group,
        "row": row,
        "steps": run.steps,
        "images": run.images,
        "scores": {
            of: {image: _scores(scores) for image, scores in numbers["images"].items()}
            for of, numbers in (tests or {}).items()
            if isinstance(numbers, dict) and isinstance(numbers.get("images"), dict)
        },
        "curves": curves,
    }


def _pictures(
    runs: Sequence[Run], n_groups: int, group_of: Sequence[int], folder: Path
) -> tuple[list[dict[str, Any]], dict[str, Path]]:
    """Compare the runs' images, and write the anchors (HR and bicubic).

    Returns:
        For every group: set -> image -> size, crops, number of runs compared, and which anchors there are; and the
        files of the anchors by the names that the page calls them.
    """
    files: dict[str, Path] = {}
    pictures: list[dict[str, Any]] = []
    for group in range(n_groups):
        members = [run for place, run in enumerate(runs) if group_of[place] == group]
        wanted: dict[str, dict[str, None]] = {}
        of_images: dict[tuple[str, str], list[Path]] = {}
        for run in members:
            for name, images in run.images.items():
                for image in images:
                    wanted.setdefault(name, {})[image] = None
                    of_images.setdefault((name, image), []).append(run.image(name, image))
        anchors = write_anchors(members, {name: list(images) for name, images in wanted.items()}, folder / f"{group}")
        facts = compare_images(of_images)
        found: dict[str, Any] = {}
        for (name, image), of in facts.items():
            for kind, paths in zip(("HR", "bicubic"), anchors, strict=True):
                file = paths.get(name, {}).get(image)
                of[kind] = file is not None
                if file is not None:
                    files[f"{group}/{kind}/{name}/{image}"] = file
            found.setdefault(name, {})[image] = of
        pictures.append(found)
    return pictures, files


def _own_images(runs: Sequence[Run]) -> dict[str, Path]:
    """The runs' image files by the names that the page calls them."""
    return {
        f"run{place}/{name}/{image}": run.image(name, image)
        for place, run in enumerate(runs)
        for name, images in run.images.items()
        for image in images
    }


def _notes(runs: Sequence[Run], groups: Sequence[Group], rows: Sequence[Row]) -> list[str]:
    notes = [f"{run.label}: {note}" for run in runs for note in run.notes]
    if len(groups) > 1:
        listed = "; ".join(group.label for group in groups)
        notes.append(
            f"The runs differ in scale or protocol, so their numbers cannot be ranked together: {listed}. Each group "
            "has a leaderboard of its own."
        )
    for number, group in enumerate(groups):
        lists: dict[str, set[frozenset[str]]] = {}
        for row in rows:
            for name, numbers in row.sets.items():
                if row.group == number and numbers["images"]:
                    lists.setdefault(name, set()).add(frozenset(numbers["images"]))
        notes += [
            f"{group.label}: not all runs were tested on the same images of {name}, so their means over it are not "
            "strictly comparable; differences of two runs are taken over the images that both have."
            for name, kinds in lists.items()
            if len(kinds) > 1
        ]
    notes += [
        f"{run.label}: only {coverage.get('scored')} of {coverage.get('of')} images of {name} were scored."
        for run in runs
        for name, of in (run.results.get("test") or {}).items()
        if run.are_final and isinstance(of, dict) and isinstance(coverage := of.get("coverage"), dict)
    ]
    if any(run.results.get("random_features") for run in runs):
        marked = ", ".join(run.label for run in runs if run.results.get("random_features"))
        notes.append(f"Trained with features of random weights, good for trying things out only: {marked}.")
    return notes


def _picture_notes(pictures: Sequence[dict[str, Any]]) -> list[str]:
    without = dict.fromkeys(
        name for group in pictures for name, of in group.items() if not all(i["HR"] for i in of.values())
    )
    if not without:
        return []
    return [
        f"The originals of {', '.join(without)} were not found where the runs' configs say, so these images are shown "
        "without HR, bicubic and error maps against HR."
    ]


def _scores(scores: Any) -> dict[str, float | None]:
    return {metric: as_number(value) for metric, value in scores.items()} if isinstance(scores, dict) else {}
