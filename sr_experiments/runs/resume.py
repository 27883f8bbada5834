"""Which run a command means when it says `resume=...`."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sr_experiments.errors import UserError
from sr_experiments.runs.folder import RunFolder, find_checkpoint, run_folders
from sr_experiments.runs.moved import with_first_keys
from sr_experiments.runs.results import is_finished

log = logging.getLogger(__name__)

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
        UserError: `resume` names a checkpoint that does not exist, or all that there are are damaged.
    """
    if resume is None:
        return None
    if resume == "auto":
        return _own_checkpoint(RunFolder(run_folder))
    try:
        found = find_checkpoint(resume)
    except UserError as error:
        raise UserError(f"resume={resume}: {error}") from error
    if not is_whole(found):
        raise UserError(f"resume={resume}: the checkpoint {found} is damaged or cut off.")
    return found


def _own_checkpoint(folder: RunFolder) -> Path | None:
    """The newest checkpoint of a run folder that is whole; None where there is none at all."""
    there = [file for file in (folder.last_checkpoint, folder.best_checkpoint) if file.is_file()]
    whole = next(filter(is_whole, there), None)
    damaged = " and ".join(str(file) for file in there[: there.index(whole) if whole else None])
    if damaged and whole is None:
        raise UserError(f"resume=auto: {damaged} cannot be read; overwrite=true without resume begins anew.")
    if damaged:
        log.warning("%s is damaged or cut off: going on from %s.", damaged, whole)
    return whole


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint is an archive all of whose parts have their checksums."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return archive.testzip() is None
    except Exception:  # a damaged archive fails anywhere in the reader, in any way
        return False
