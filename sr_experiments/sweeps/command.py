"""A sweep as the command line and the config describe it: its axes, and the overrides of all jobs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from sr_experiments.errors import UserError

GRID = "sweep.grid."

# Overrides that say how a sweep is run, not what is trained.
ABOUT_THE_COMMAND = ("resume", "dry_run")


@dataclass(frozen=True)
class Axis:
    """One key of a sweep with its values.

    Attributes:
        name: its name in tables and folders.
        override: the override with all its values, as Hydra parsed it.
    """

    name: str
    override: Override

    @property
    def key(self) -> str:
        """The key as an override names it."""
        return self.override.get_key_element()

    def values(self) -> list[str]:
        """All values, written as in an override.

        Raises:
            UserError: the axis is continuous.
        """
        if not self.override.is_discrete_sweep():
            raise UserError(
                f"{self.override.input_line} has no end of values: list them (KEY=A,B,C), or search with "
                "hydra/sweeper=optuna."
            )
        return [str(value) for value in self.override.sweep_string_iterator()]


@dataclass(frozen=True)
class Command:
    """A sweep as it was requested.

    Attributes:
        name: the preset, `sweep=NAME`; None: all axes come from the command line.
        fixed: overrides that every job gets.
        axes: what differs between the jobs, the slowest first.
    """

    name: str | None
    fixed: tuple[str, ...]
    axes: tuple[Axis, ...]

    def key(self) -> str:
        """A digest of everything but the values of the axes: two commands with the same key are the same sweep."""
        base = sorted(word for word in self.fixed if not word.startswith("sweep."))
        return hashlib.sha256(json.dumps([base, sorted(axis.key for axis in self.axes)]).encode()).hexdigest()[:16]

    def points(self) -> list[dict[str, str]]:
        """The value of every axis, for every combination."""
        names = [axis.name for axis in self.axes]
        return [dict(zip(names, values, strict=True)) for values in product(*(axis.values() for axis in self.axes))]

    def overrides(self, point: dict[str, str]) -> list[str]:
        """The overrides of the job at a point."""
        return [*self.fixed, *(f"{axis.key}={point[axis.name]}" for axis in self.axes)]


def read_command(arguments: Sequence[str], config: DictConfig) -> Command:
    """Put the axes of a preset and of the command line together; the command line wins.

    Args:
        arguments: the overrides of the command line, without Hydra's own.
        config: the composed config with its `sweep` part and `hydra.runtime.choices`.

    Raises:
        UserError: an axis is empty, or a short name stands for no key.
    """
    keys: dict[str, str] = OmegaConf.to_container(config.sweep["keys"])  # type: ignore[assignment]
    grid: dict[str, Any] = OmegaConf.to_container(config.sweep.grid)  # type: ignore[assignment]
    names = {key: name for name, key in keys.items()}
    parser = OverridesParser.create()
    axes: dict[str, Override] = {}
    for name, values in grid.items():
        axes[keys.get(name, name)] = parser.parse_override(f"{keys.get(name, name)}={_written(name, values)}")
    fixed: dict[str, str] = {}
    for override in parser.parse_overrides(list(arguments)):
        key = override.get_key_element()
        if key.startswith(GRID):
            if override.is_sweep_override():
                name = key.removeprefix(GRID)
                value = str(override.input_line).partition("=")[2]
                axes[keys.get(name, name)] = parser.parse_override(f"{keys.get(name, name)}={value}")
        elif override.is_sweep_override():
            fixed.pop(key, None)
            axes[key] = override
        elif key not in ABOUT_THE_COMMAND:
            axes.pop(key, None)
            fixed[key] = str(override.input_line)
    name = config.hydra.runtime.choices.get("sweep")
    found = tuple(Axis(names.get(key, key), override) for key, override in axes.items())
    return Command(None if name in (None, "null") else name, tuple(fixed.values()), found)


def _written(name: str, values: Any) -> str:
    """The values of an axis in a config, as a sweep in the grammar of overrides."""
    if isinstance(values, str):
        return values  # already in that grammar: range(1,4), interval(0,1), a,b
    values = values if isinstance(values, list) else [values]
    if not values:
        raise UserError(f"sweep.grid.{name} has no value: list some, as in sweep.grid.{name}=[A,B].")
    return f"choice({','.join(as_override(value) for value in values)})"


def as_override(value: Any) -> str:
    """A plain value as the command line would write it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(as_override(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{as_override(item)}' for key, item in value.items())}}}"
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w./-]*", value):
        return quoted(value)
    return str(value)


def quoted(text: str) -> str:
    """A text in quotes, valid in an override whatever it contains."""
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", text) + "'"
