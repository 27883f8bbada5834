"""results.json: what a run ends with."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only

from sr_experiments.errors import Preempted
from sr_experiments.pixels.atomic import remove_unfinished, replacing
from sr_experiments.runs.folder import RunFolder
from sr_experiments.runs.plain import check_tree

LIBRARIES = (
    "sr-experiments",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "torchmetrics",
    "numpy",
    "pillow",
)


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def write_results(folder: str | Path, results: dict[str, Any]) -> Path:
    """Write `results.json` in one go: a reader finds the whole file or none.

    JSON knows no infinite numbers: an infinite PSNR becomes the text "inf". What is not a number becomes null.
    """
    return write_json(RunFolder(folder).results, results)


def read_results(folder: str | Path) -> dict[str, Any] | None:
    """What `results.json` says, infinite scores as such; None where there is none that can be read."""
    file = RunFolder(folder).results
    if not file.is_file():
        return None
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        check_tree(results)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(results, dict) or "status" not in results:
        return None
    return {**results, "test": with_infinite(results["test"])} if "test" in results else results


def is_finished(folder: str | Path) -> bool:
    """Whether a run folder holds the results of a run that came to its end."""
    return (read_results(folder) or {}).get("status") == "finished"


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a JSON file in one go: a reader finds the whole file, the old one, or none."""
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def clear_results(folder: Path) -> None:
    """Take away what an earlier attempt ended with, or was writing when it was killed: only a run's owner may."""
    if is_first_process():
        of = RunFolder(folder)
        for file in (of.results, of.pruned):
            file.unlink(missing_ok=True)
        for place in (of.path, of.checkpoints):
            remove_unfinished(place)


def write_failure(folder: Path, error: BaseException, facts: dict[str, Any] | None = None) -> None:
    """Write how a run ended that did not finish, keeping what another of its processes has written of it.

    Args:
        folder: the run folder.
        error: what ended it: Ctrl-C and `Preempted` interrupt a run, anything else is a failure.
        facts: what else is known about it.
    """
    if not is_first_process():
        return
    status = "interrupted" if isinstance(error, KeyboardInterrupt | Preempted) else "failed"
    known = read_results(folder) or {}
    told = {"status": status, "error": f"{type(error).__name__}: {error}"}
    write_results(folder, {**known, **told, **(facts or {})})


def is_first_process() -> bool:
    """Whether this process is the one, among those of a run, that writes its files."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def as_number(value: Any) -> float | None:
    """A number as `write_json` wrote it, infinite ones among them; None for anything else."""
    if value in ("inf", "-inf"):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def with_infinite(scores: Any) -> Any:
    """Scores as `write_json` wrote them, with numbers for the texts "inf" and "-inf"."""
    if isinstance(scores, dict):
        return {key: with_infinite(value) for key, value in scores.items()}
    return float(scores) if scores in ("inf", "-inf") else scores
