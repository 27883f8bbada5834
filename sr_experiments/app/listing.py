"""The groups and their options as `--help` lists them: `${groups:}`, or `${groups:eval}`, in a help text."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import OmegaConf

from sr_experiments.app.packages import config_folders
from sr_experiments.shipped import conf_dir

WIDTH = 100  # columns of a line at most
NAMES = 18  # of which the names of groups take so many

# What is chosen most often comes first; a group that is not named here comes after these.
ORDER: tuple[str, ...] = ("experiment", "sweep", "model", "upsampler", "loss", "degradation", "data", "reference")
ORDER += ("discriminator", "objective", "feature_network", "matching", "optimizer", "scheduler", "metrics", "scores")
LAST = ("training", "trainer", "callbacks", "logger", "paths", "debug", "hydra/launcher", "hydra/sweeper")


def register_listing() -> None:
    """Let help texts refer to the list."""
    OmegaConf.register_new_resolver("groups", listing, replace=True)


def listing(config_name: str = "", width: int = WIDTH) -> str:
    """Groups with their options in columns.

    Args:
        config_name: a config, to whose defaults list the groups are restricted; empty for all groups.
        width: columns of a line at most.
    """
    folders = config_folders()
    files = sorted(file.relative_to(folder) for folder in folders for file in folder.rglob("*.yaml"))
    chosen = groups_of(config_name) if config_name else None
    groups: dict[str, list[str]] = {}
    for file in files:
        group = file.parent.as_posix()
        is_part = len(file.parts) == 1 or "common" in file.parts  # of other options
        if not is_part and (chosen is None or group in chosen):
            groups.setdefault(group, []).append(file.stem)
    first = [group for group in ORDER if group in groups]
    last = [group for group in LAST if group in groups]
    between = sorted(groups.keys() - {*first, *last})
    lines = []
    for group in [*first, *between, *last]:
        rows = in_columns(groups[group], width - NAMES)
        lines += [f"{group:{NAMES - 1}} {rows[0]}", *(f"{'':{NAMES}}{row}" for row in rows[1:])]
    return "\n".join(lines)


def groups_of(config_name: str) -> set[str]:
    """The groups in the defaults list of a config."""
    entries = OmegaConf.load(conf_dir() / f"{config_name}.yaml").defaults
    keys = [str(next(iter(entry))) for entry in entries if not isinstance(entry, str)]
    return {key.removeprefix("override ").partition("@")[0] for key in keys}


def in_columns(words: Sequence[str], width: int) -> list[str]:
    """Words in aligned columns, sorted line by line, in as few lines of `width` as their longest one allows."""
    column = max(map(len, words)) + 2
    count = max((width + 2) // column, 1)
    rows = [words[start : start + count] for start in range(0, len(words), count)]
    return ["".join(f"{word:{column}}" for word in row).rstrip() for row in rows]
