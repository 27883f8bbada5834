"""Which run a command means when it says `resume=...`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from sr_experiments.errors import UserError
from sr_experiments.runs.moved import with_first_keys

# What may differ between a run and its continuation: how it came about, not what it does.
NOT_IDENTITY = ("resume", "sweep", "dry_run")


def identity(config: DictConfig) -> str:
    """What a run is: a digest of its composed config, whatever the clock and the age of its keys."""
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    kept = {str(key): value for key, value in container.items() if key not in NOT_IDENTITY}
    kept = with_first_keys(kept)
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()


def is_finished(folder: Path) -> bool:
    """Whether a run folder holds the results of a run that came to its end."""
    try:
        return json.loads((folder / "results.json").read_text()).get("status") == "finished"
    except (OSError, ValueError):
        return False


def find_run(config: DictConfig, root: Path) -> Path | None:
    """The newest run below `root` with the same composed config; an unfinished one before a finished one."""
    wanted = identity(config)
    found: list[Path] = []
    for file in root.glob("**/.hydra/config.yaml"):
        try:
            loaded = OmegaConf.load(file)
        except Exception:  # a half-written config belongs to no run that could go on
            continue
        if isinstance(loaded, DictConfig) and identity(loaded) == wanted:
            found.append(file.parent.parent)
    found.sort(key=lambda folder: (not is_finished(folder), (folder / ".hydra" / "config.yaml").stat().st_mtime))
    return found[-1] if found else None


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint file that `path` means: the file itself, or `last.ckpt` of a run folder.

    Raises:
        UserError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        inside = path / "checkpoints" / "last.ckpt"
        if not inside.is_file():
            raise UserError(f"{path} is not a run folder with a checkpoint: {inside} does not exist.")
        return inside
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}: give a run folder or a .ckpt file.")
    return path


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
        own = run_folder / "checkpoints" / "last.ckpt"
        return own if own.is_file() else None
    try:
        return find_checkpoint(resume)
    except UserError as error:
        raise UserError(f"resume={resume}: {error}") from error
