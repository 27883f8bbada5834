"""What a run is called where it is shown beside others: `${run:name}`, `${run:sweep}` and `${run:tags}` in a config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from sr_experiments.runs.folder import RunFolder

# The groups whose options tell most about a run.
TOLD = ("model", "loss", "upsampler", "degradation")


def register_names() -> None:
    """Let configs refer to these names; outside of a Hydra app there are none."""
    OmegaConf.register_new_resolver("run", _resolve, replace=True)


def _resolve(what: str) -> Any:
    if not HydraConfig.initialized():
        return [] if what == "tags" else None
    return {"name": run_name, "sweep": sweep_name, "tags": tags}[what]()


def run_name() -> str | None:
    """In a sweep, what differs between its jobs."""
    folder = _folder()
    titles = {job["folder"]: job["title"] for job in _record(folder).get("jobs", [])}
    return titles.get(folder.name)


def sweep_name() -> str | None:
    """The sweep that a run belongs to: its preset and when it began."""
    folder = _folder()
    record = _record(folder)
    return " ".join([record["name"] or "sweep", "/".join(folder.parent.parts[-2:])]) if record else None


def tags() -> list[str]:
    """The options that a run is made of."""
    choices = HydraConfig.get().runtime.choices
    return [f"{group}={choices[group]}" for group in TOLD if choices.get(group) not in (None, "null")]


def choices() -> dict[str, str]:
    """Config group -> the option that was chosen from it; the dots in a group's place become underscores.

    For W&B, to which a dot is a step into a mapping.
    """
    if not HydraConfig.initialized():
        return {}
    chosen = HydraConfig.get().runtime.choices
    return {
        group.replace(".", "_"): option
        for group, option in chosen.items()
        if isinstance(option, str) and not group.startswith("hydra/")
    }


def _folder() -> Path:
    """The folder of this run."""
    return Path(HydraConfig.get().runtime.output_dir)


def _record(folder: Path) -> dict[str, Any]:
    """The record of the sweep around a run folder; empty where there is none."""
    try:
        return json.loads(RunFolder(folder).sweep_record.read_text())
    except (OSError, ValueError):
        return {}
