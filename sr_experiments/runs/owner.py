"""One owner a run folder: the lock that its run holds, and what a new run may not replace."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sr_experiments.errors import UserError
from sr_experiments.runs.folder import RunFolder
from sr_experiments.runs.results import is_finished, is_first_process

# Checking a lock holds it for a moment; taking it waits for longer than that.
PATIENCE_S = 10.0


def run_lock(folder: Path) -> FileLock:
    """The lock of a run, which its process holds while it runs: the system releases it when that process dies.

    One process has one such object a folder, so that a sweep that runs its jobs itself may take it first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(RunFolder(folder).lock, is_singleton=True)


def is_held(folder: Path) -> bool:
    """Whether a process, this one or another, is running in a folder."""
    if not RunFolder(folder).lock.exists():
        return False
    lock = run_lock(folder)
    if lock.is_locked:
        return True
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def hold(folder: Path, timeout: float = PATIENCE_S) -> Iterator[bool]:
    """Hold the lock of a run; gives False where another process has it."""
    lock = run_lock(folder)
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def owned(folder: Path, resume: str | None, overwrite: bool) -> Iterator[None]:
    """Own a run folder; of the processes of a run, the first does.

    Args:
        folder: the run folder, which need not exist.
        resume: what the run goes on from, as `resume` in its config.
        overwrite: whether an earlier run in the folder may be replaced.

    Raises:
        UserError: another run is going on in the folder, or an earlier one would be replaced.
    """
    if not is_first_process():
        yield
        return
    with ExitStack() as stack:
        try:
            held = stack.enter_context(hold(folder, timeout=0))
        except OSError as error:
            raise UserError(f"The run folder {folder} cannot be made or written: {error.strerror or error}.") from error
        if not held:
            raise UserError(f"Another run is going on in {folder}: wait for it, or give this one another folder.")
        try:
            check_replaced(folder, resume, overwrite)
            yield
        finally:
            if [path.name for path in folder.iterdir()] == [RunFolder(folder).lock.name]:  # nothing has begun
                RunFolder(folder).lock.unlink()
                folder.rmdir()


def check_replaced(folder: Path, resume: str | None, overwrite: bool) -> None:
    """Refuse a run that would replace an earlier one in its folder without being told to.

    Raises:
        UserError: it would.
    """
    inside = resume == "auto" or (resume is not None and Path(resume).resolve().is_relative_to(folder.resolve()))
    if inside and overwrite:
        raise UserError("resume goes on with the run in the folder and overwrite=true replaces it: give one of them.")
    if (RunFolder(folder).has_checkpoints() or is_finished(folder)) and not inside and not overwrite:
        kind = "a finished run" if is_finished(folder) else "a run with checkpoints"
        raise UserError(
            f"{folder} holds {kind}: resume=auto goes on with it, overwrite=true replaces it, and another "
            "hydra.run.dir leaves it alone."
        )


def clear_run(folder: Path) -> None:
    """Remove what an earlier run left in its folder, so that nothing of it is taken for this one's."""
    if not is_first_process():
        return
    there = RunFolder(folder)
    for file in (there.results, there.pruned, there.metrics, there.draws):
        file.unlink(missing_ok=True)
    for inside in (there.checkpoints, there.images, there.progress):
        if inside.is_dir() and not inside.is_symlink():
            shutil.rmtree(inside)
