"""Packages of users that bring own parts.

A package names itself in the entry points of its pyproject.toml:

    [project.entry-points."sr_experiments.parts"]
    my_parts = "my_parts"

Its folder `conf` then lies beside the shipped configs, and what its configs name may be named by a checkpoint, too: who
has installed a package trusts it.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from sr_experiments.shipped import conf_dir

GROUP = "sr_experiments.parts"


def config_folders() -> list[Path]:
    """The folders with groups of configs: the shipped one, and those of users' packages."""
    return [conf_dir(), *own_packages().values()]


@cache
def own_packages() -> dict[str, Path]:
    """Name of an installed package that brings parts -> its folder of configs; packages without one are left out."""
    found = {}
    for entry in entry_points(group=GROUP):
        spec = find_spec(entry.module)
        for place in (spec.submodule_search_locations or []) if spec is not None else []:
            if (Path(place) / "conf").is_dir():
                found[entry.module] = Path(place) / "conf"
    return found
