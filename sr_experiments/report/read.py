"""Reads run folders: finished, failed, or still being written."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sr_experiments.errors import UserError
from sr_experiments.pixels.below import below, is_plain
from sr_experiments.report.curves import read_curves
from sr_experiments.runs.folder import RunFolder, read_yaml, run_folders
from sr_experiments.runs.moved import todays_key
from sr_experiments.runs.plain import resolved
from sr_experiments.runs.results import as_number, read_results

# A run without results whose files changed less than this many seconds ago counts as running.
FRESH = 900

# Overrides that say where and how a run was made, not what was trained.
NOT_IDENTITY = re.compile(r"(seed|resume|hydra|paths|logger)([./@]|$)")


@dataclass
class Run:
    """One run as its folder describes it.

    Attributes:
        folder: the run folder, absolute.
        label: its path below the folder that was asked for.
        status: finished, failed, interrupted, running or unfinished.
        error: why it failed, if that is recorded.
        config: the composed config, plain, with its interpolations as they were written.
        overrides: of the command line, without those of Hydra and of resuming.
        choices: the options chosen from the config groups, if they are recorded.
        command: the command that reproduces the run, and its folder `cwd`.
        results: what `results.json` holds; empty where there is none.
        tests: set -> metric -> mean; of the last validation where there is no test yet.
        are_final: whether `tests` comes from the test.
        curves: logged value -> [steps, values].
        images: set -> names of the images that are there.
        notes: what could not be read of its files.
    """

    folder: Path
    label: str
    status: str
    error: str
    config: dict[str, Any]
    overrides: dict[str, Any]
    choices: dict[str, Any]
    command: str
    cwd: str
    results: dict[str, Any]
    tests: dict[str, dict[str, float | None]]
    are_final: bool
    curves: dict[str, list[list[float]]]
    images: dict[str, list[str]]
    notes: list[str] = field(default_factory=list)

    @property
    def scale(self) -> Any:
        """The enlargement."""
        return self.results.get("scale", resolved(self.config, "scale"))

    @property
    def protocol(self) -> dict[str, Any]:
        """The protocol of its numbers; of a run without results, what its config asks for."""
        stamp = self.results.get("protocol")
        if isinstance(stamp, dict):
            return stamp
        asked = {key: resolved(self.config, f"metrics.{key}") for key in ("channel", "border", "gray")}
        return {**asked, "rounding": "8bit"}

    @property
    def seed(self) -> Any:
        """The seed; runs of one row differ in it alone."""
        return self.config.get("seed")

    @property
    def steps(self) -> int | None:
        """Generator updates: in the end, or so far."""
        logged = [int(steps[-1]) for steps, _ in self.curves.values() if steps]
        return self.results.get("steps", max(logged, default=None))

    def image(self, of: str, name: str) -> Path:
        """The file of an image of a set.

        Raises:
            UserError: it would lie outside the run folder.
        """
        return below(RunFolder(self.folder).images, f"{of}/{name}", ".png")


def find_runs(folders: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Read all runs at any depth below some folders.

    Returns:
        The runs in the order of their paths, each once, and what could not be read, a sentence each.
    """
    runs: dict[Path, Run] = {}
    notes: list[str] = []
    for given in folders:
        root = given.expanduser().resolve()
        if not root.is_dir():
            notes.append(f"{given} is no folder: left out.")
            continue
        found = list(run_folders(root))
        if not found:
            notes.append(f"{given} is no run folder and holds none (no .hydra/config.yaml at any depth): left out.")
        for of in found:
            folder = of.path
            label = folder.relative_to(root).as_posix() if folder != root else root.name
            try:
                runs.setdefault(folder, read_run(folder, label))
            except (OSError, ValueError) as error:
                reason = " ".join(str(error).split())
                notes.append(f"{label}: its .hydra/config.yaml cannot be read ({reason}): left out.")
    return list(runs.values()), notes


def read_run(folder: Path, label: str) -> Run:
    """Read one run folder.

    Raises:
        ValueError: the config is no mapping, or no YAML.
        OSError: the config cannot be opened.
    """
    notes: list[str] = []
    of = RunFolder(folder)
    config = of.read_config()
    results = _results(of, notes)
    words = _overrides(of, results, notes)
    hydra = of.read_hydra()
    curves = read_curves(of.metrics, notes)
    tests = _test_means(results)
    means = tests or _validation_means(curves)
    name = hydra.get("job", {}).get("config_name", "train")
    program = {"train": "sr-train", "eval": "sr-eval"}.get(name, f"sr-{name}")
    kept = [word for word in words if not re.match(r"[+~]*(resume|hydra\.)", word)]
    status, error = _status(of, results)
    return Run(
        folder=folder,
        label=label,
        status=status,
        error=error,
        config=config,
        overrides=dict(_key_and_value(word) for word in kept),
        choices=hydra.get("runtime", {}).get("choices") or {},
        command=shlex.join([program, *kept]),
        cwd=str(hydra.get("runtime", {}).get("cwd") or ""),
        results=results,
        tests=means,
        are_final=bool(tests),
        curves=curves,
        images=_images(of.images, means, notes),
        notes=notes,
    )


def is_identity(key: str) -> bool:
    """Whether a key of the config is part of what a run is: neither its seed nor where its files go."""
    return not NOT_IDENTITY.match(key)


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> plain value of nested mappings; lists stay whole."""
    if not isinstance(config, dict) or not config:
        return {prefix: config}
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def _results(folder: RunFolder, notes: list[str]) -> dict[str, Any]:
    if not folder.results.exists():
        return {}
    results = read_results(folder.path)
    if results is None:
        notes.append(f"{folder.results.name} is damaged or half-written: its numbers are left out.")
    return results or {}


def _overrides(folder: RunFolder, results: dict[str, Any], notes: list[str]) -> list[str]:
    words = folder.read_overrides()
    if words is None:
        words = results.get("overrides")
        if words is None:
            notes.append(f"{folder.overrides_file.relative_to(folder.path)} cannot be read: the command is not known.")
    return [str(word) for word in words] if isinstance(words, list) else []


def _key_and_value(word: str) -> tuple[str, Any]:
    key, separator, text = word.partition("=")
    if word.startswith("~"):
        return key[1:], "(left out)"
    try:
        value = read_yaml(text) if separator else None
    except ValueError:
        value = text
    key = key.lstrip("+")
    return todays_key(key) or key, value


def _status(folder: RunFolder, results: dict[str, Any]) -> tuple[str, str]:
    if results:
        return str(results["status"]), str(results.get("error") or "")
    return ("running" if time.time() - folder.changed_at() < FRESH else "unfinished"), ""


def _test_means(results: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    test = results.get("test")
    if not isinstance(test, dict):
        return {}
    return {
        str(name): {key: as_number(value) for key, value in of.items() if not isinstance(value, dict | list)}
        for name, of in test.items()
        if isinstance(of, dict)
    }


def _validation_means(curves: dict[str, list[list[float]]]) -> dict[str, dict[str, float | None]]:
    """The means of the last validation, set by set: `val/SET/METRIC`, where SET may have slashes in it."""
    means: dict[str, dict[str, float | None]] = {}
    for name, (_, values) in curves.items():
        kind, _, rest = name.partition("/")
        of, _, metric = rest.rpartition("/")
        if kind == "val" and of and values:
            means.setdefault(of, {})[metric] = values[-1]
    return means


def _images(root: Path, sets: Iterable[str], notes: list[str]) -> dict[str, list[str]]:
    """The images of sets that have numbers, and of the other folders of images; a set's name may have slashes.

    Those that lie outside the run folder, by a set's name or by a link, are left out.
    """
    others = [path.name for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []
    known = {name for name in sets if is_plain(name)}
    found: dict[str, list[str]] = {}
    outside = len(set(sets)) - len(known)
    for of in sorted(known | {name for name in others if not any(of.startswith(f"{name}/") for of in known)}):
        paths = (path.relative_to(root / of).with_suffix("") for path in (root / of).rglob("*.png"))
        names = sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))
        inside = [name for name in names if _is_inside(root, f"{of}/{name}")]
        outside += len(names) - len(inside)
        if inside:
            found[of] = inside
    if outside:
        notes.append(f"{outside} names of sets or images lead out of the run folder: their images are left out.")
    return found


def _is_inside(root: Path, name: str) -> bool:
    try:
        return below(root, name, ".png").is_file()
    except UserError:
        return False
