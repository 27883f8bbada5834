"""Which run a command means when it says `resume=...`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sr_experiments.errors import UserError
from sr_experiments.runs.folder import RunFolder, find_checkpoint, run_folders
from sr_experiments.runs.moved import with_first_keys
from sr_experiments.runs.results import is_finished

# What may differ between a run and its continuation: how it came about, not what it does.
NOT_IDENTITY = ("resume", "overwrite", "sweep", "dry_run")


def run_digest(config: DictConfig | dict[str, Any]) -> str:
    """What a run is: a digest of its composed config, whatever the clock and the age of its keys."""
    container: Any = config if isinstance(config, dict) else OmegaConf.to_container(config, resolve=False)
    kept = with_first_keys({str(key): value for key, value in container.items() if key not in NOT_IDENTITY})
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()


def find_run(config: DictConfig, root: Path) -> Path | None:
    """The newest run below `root` with the same composed config; an unfinished one before a finished one."""
    wanted = run_digest(config)
    found: list[RunFolder] = []
    for folder in run_folders(root):
        try:
            loaded = folder.read_config()
        except (OSError, ValueError):  # a half-written config belongs to no run that could go on
            continue
        if run_digest(loaded) == wanted:
            found.append(folder)
    found.sort(key=lambda folder: (not is_finished(folder.path), folder.config_file.stat().st_mtime))
    return found[-1].path if found else None


def checkpoint_to_resume(resume: str | None, run_folder: Path) -> Path | None:
    """The checkpoint that training goes on from; None for a fresh start.

    Args:
        resume: null, `auto` (this run folder's own `last.ckpt`, if there is one), a run folder or a checkpoint file.
        run_folder: the folder of this run.

    Raises:
        UserError: `resume` names a checkpoint that does not exist.
    """
    if resume is None:
        return None
    if resume == "auto":
        own = RunFolder(run_folder).last_checkpoint
        return own if own.is_file() else None
    try:
        return find_checkpoint(resume)
    except UserError as error:
        raise UserError(f"resume={resume}: {error}") from error
