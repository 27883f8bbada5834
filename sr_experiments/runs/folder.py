"""What lies where in a run folder, and what Hydra wrote there. Nothing else knows these names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from sr_experiments.errors import UserError
from sr_experiments.runs.moved import with_todays_keys
from sr_experiments.runs.plain import MOST_LEVELS

LAST, BEST = "last", "best"

LARGEST_YAML = 1024 * 1024  # bytes; the configs of this project have some 10,000

# What a run folder contains is not searched for further runs.
NOT_SEARCHED = ("checkpoints", "images", "progress", "wandb")


class RunFolder:
    """The paths of a run folder, whether or not anything is there yet.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.results = self.path / "results.json"
        self.metrics = self.path / "metrics.csv"
        self.images = self.path / "images"
        self.pruned = self.path / "pruned.json"  # the mark of a job that was stopped, as others had done better
        self.lock = self.path / "run.lock"
        self.progress = self.path / "progress"
        self.draws = self.path / "degradations.csv"
        self.output_log = self.path / "output.log"
        self.wandb_id = self.path / "wandb" / "run_id"
        self.config_file = self.path / ".hydra" / "config.yaml"
        self.overrides_file = self.path / ".hydra" / "overrides.yaml"
        self.hydra_file = self.path / ".hydra" / "hydra.yaml"
        self.checkpoints = self.path / "checkpoints"
        self.last_checkpoint = checkpoint_file(self.checkpoints, LAST)
        self.best_checkpoint = checkpoint_file(self.checkpoints, BEST)
        self.sweep_record = sweep_record(self.path.parent)  # where this run is a job of a sweep

    @classmethod
    def around(cls, checkpoint: Path) -> RunFolder:
        """The run folder that a checkpoint lies in, if it lies in one."""
        return cls(checkpoint.parent.parent)

    def checkpoint(self, name: str) -> Path:
        """`last` or `best`."""
        return checkpoint_file(self.checkpoints, name)

    def log(self, job: str = "train") -> Path:
        """What Hydra logs; `job` is its `hydra.job.name`."""
        return self.path / f"{job}.log"

    def worker_log(self, rank: int) -> Path:
        """What a process of a run prints, where that does not go to the terminal."""
        return self.path / "logs" / f"rank_{rank}.log"

    def has_checkpoints(self) -> bool:
        """Whether a training has saved anything here."""
        return self.last_checkpoint.exists() or self.best_checkpoint.exists()

    def is_run(self) -> bool:
        """Whether a run has begun here: its config is there."""
        return self.config_file.is_file()

    def read_config(self) -> dict[str, Any]:
        """The composed config, plain, with its interpolations as they were written, under today's keys.

        Raises:
            OSError: it cannot be opened.
            ValueError: it is no mapping, or no YAML.
        """
        config = read_yaml(self.config_file)
        if not isinstance(config, dict):
            raise ValueError("it holds no mapping")
        return with_todays_keys(config)

    def read_overrides(self) -> list[str] | None:
        """The overrides of the command line, without Hydra's own; None where they cannot be read."""
        try:
            words = read_yaml(self.overrides_file)
        except (OSError, ValueError):
            return None
        return [str(word) for word in words] if isinstance(words, list) else []

    def read_hydra(self) -> dict[str, Any]:
        """Hydra's own part of the config; empty where it cannot be read."""
        try:
            return read_yaml(self.hydra_file)["hydra"] or {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def changed_at(self) -> float:
        """When a run that is at work was last heard of, in seconds since the epoch; 0 where it never was."""
        files = (self.metrics, self.last_checkpoint, self.config_file)
        return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def checkpoint_file(folder: Path, name: str) -> Path:
    """A checkpoint in the folder of a run's checkpoints."""
    return folder / f"{name}.ckpt"


def sweep_record(folder: Path) -> Path:
    """What a sweep keeps about its jobs, in the folder around theirs."""
    return folder / "sweep.json"


def run_folders(root: Path) -> Iterator[RunFolder]:
    """The folders of runs at any depth, in order."""
    for current, folders, _ in os.walk(root):
        found = RunFolder(current)
        if found.is_run():
            yield found
        folders[:] = sorted(name for name in folders if name not in NOT_SEARCHED and not name.startswith("."))


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint file that `path` means: the file itself, or the last one of a run folder.

    Raises:
        UserError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        inside = RunFolder(path).last_checkpoint
        if not inside.is_file():
            raise UserError(f"{path} is not a run folder with a checkpoint: {inside} does not exist.")
        return inside
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}: give a run folder or a .ckpt file.")
    return path


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as OmegaConf writes it; libyaml, where PyYAML has it, reads the configs of a large sweep ten times faster.

    YAML 1.1 takes 1e-3 for a text and 2024-01-01 for a date; OmegaConf takes them for a number and a text. A merge key,
    `<<`, is a text like any other: merging may double a mapping again and again.
    """


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":float", ":merge"))]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?(?:(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*)(?:[eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


def read_yaml(source: Path | str) -> Any:
    """What a YAML file, or a text of YAML, says.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no YAML, is larger or nested more deeply than any config, or repeats parts by aliases.
    """
    if isinstance(source, Path) and source.stat().st_size > LARGEST_YAML:
        raise ValueError(f"it is larger than {LARGEST_YAML // 1024} kB")
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    try:
        _check_events(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _check_events(text: str) -> None:
    """Refuse what libyaml would build without bounds: it nests by recursion in C, and an alias may repeat aliases."""
    level = 0
    for event in yaml.parse(text, Loader=_Loader):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > MOST_LEVELS:
            raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it repeats a part by a YAML alias, which is not allowed")
