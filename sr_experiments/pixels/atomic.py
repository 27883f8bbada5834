"""Files that are either complete or absent."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What an unfinished file is called: hidden, and without the ending of a file that anybody looks for.
SUFFIX = ".tmp"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file to write, which takes the place of `path` once it is whole and on the disk.

    If anything goes wrong meanwhile, what was there before is untouched, and nothing is left beside it; what a killed
    process has left goes with `remove_unfinished`. Missing folders are made.

    Args:
        path: the file to write or replace.

    Yields:
        The path to write to, in the same folder; no other process, on whatever machine, has the same.

    Raises:
        OSError: it cannot be written there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{uuid.uuid4().hex}{SUFFIX}")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder; only for whoever writes there alone."""
    for leftover in folder.glob(f".*{SUFFIX}"):
        leftover.unlink(missing_ok=True)
