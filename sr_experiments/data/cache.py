"""Decoded photographs as memory-mapped arrays, so that a training crop costs a read of a few rows."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from sr_experiments.data.images import image_size, read_image
from sr_experiments.errors import UserError
from sr_experiments.pixels.atomic import remove_unfinished, replacing

_ENTRY = re.compile(r"(?P<path>[0-9a-f]{32})-(?P<version>[0-9a-f]+)-(?P<height>\d+)x(?P<width>\d+)\.npy")


class _Entry(NamedTuple):
    file: Path
    height: int
    width: int


_Listing = dict[str, dict[str, _Entry]]  # digest of the photograph's path -> its version -> entry


def default_cache_folder() -> Path:
    """Where decoded photographs go: `$SR_CACHE`, else `sr_experiments` in the user's cache folder."""
    named = os.environ.get("SR_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sr_experiments"


class Cache:
    """A folder with one `.npy` file a photograph, uint8 RGB of shape (H, W, 3).

    The name of an entry holds a digest of the photograph's path, its file size and time of change, and the size of the
    image, so that listing the folder is enough to find every entry. Processes may build and read the same cache at
    the same time: one builds, the others wait for it, and an entry appears only when it is complete.

    Args:
        folder: the cache folder, made when needed; `None` for `default_cache_folder()`.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = (default_cache_folder() if folder is None else Path(folder).expanduser()).absolute()
        self._entries: dict[Path, _Entry] = {}

    def build(self, paths: Iterable[str | Path], workers: int = 2) -> int:
        """Decode the photographs that are new or have changed, and drop the entries of their former versions.

        Args:
            paths: the image files.
            workers: how many threads decode; the decoders release Python's global interpreter lock.

        Returns:
            How many photographs were decoded.

        Raises:
            UserError: a photograph cannot be read, or the folder cannot hold what is needed.
        """
        wanted = sorted({_absolute(path) for path in paths})
        if not self._missing(wanted):
            return 0  # without the lock: a complete cache may be read-only, or busy with other photographs
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):
                # Under the lock nobody else writes: an unfinished file was left by a process that died.
                remove_unfinished(self.folder)
                return self._build_missing(wanted, max(1, workers))
        except OSError as error:
            raise UserError(f"cannot use the cache folder {self.folder}: {error.strerror or error}.") from error

    def open(self, path: str | Path) -> NDArray[np.uint8]:
        """Map a photograph's pixels, uint8 (H, W, 3), read-only; nothing is read until it is indexed.

        Raises:
            UserError: the photograph was not built, or its entry was deleted since.
        """
        entry = self._entry(_absolute(path)).file
        try:
            return np.load(entry, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise UserError(
                f"the cache entry {entry.name} of {path} is gone from {self.folder} or damaged; "
                "remove what is left of it and start again to rebuild it."
            ) from error

    def size(self, path: str | Path) -> tuple[int, int]:
        """Return (height, width) of a photograph without opening any file.

        Raises:
            UserError: the photograph was not built.
        """
        entry = self._entry(_absolute(path))
        return entry.height, entry.width

    def find(self, paths: Sequence[str | Path]) -> None:
        """Look up many photographs with one listing of the folder; `open` and `size` then need no further look.

        Raises:
            UserError: one of them was not built, or has changed since.
        """
        listing = self._listing()
        for path in map(_absolute, paths):
            entry = _current(path, listing)
            if entry is None:
                raise UserError(
                    f"{path} is not in the cache {self.folder}, or has changed since; start again to build it."
                )
            self._entries[path] = entry

    def _entry(self, path: Path) -> _Entry:
        if path not in self._entries:
            self.find([path])
        return self._entries[path]

    def _missing(self, paths: list[Path]) -> list[Path]:
        listing = self._listing()
        return [path for path in paths if _current(path, listing) is None]

    def _build_missing(self, paths: list[Path], workers: int) -> int:
        missing = self._missing(paths)
        if not missing:
            return 0
        listing = self._listing()
        needed = self._check_room(missing)
        console = Console(stderr=True)
        text = f"Decoding {len(missing)} photographs into {self.folder}"
        if not console.is_terminal:
            console.print(text, soft_wrap=True, highlight=False)
        with ThreadPoolExecutor(workers) as pool:
            try:
                jobs = [pool.submit(self._store, path) for path in missing]
                for job in track(as_completed(jobs), text, len(jobs), console=console, disable=not console.is_terminal):
                    job.result()
            except OSError as error:
                raise UserError(
                    f"cannot write to the cache folder {self.folder}: {error.strerror or error}. "
                    f"It needs {needed:,} bytes; name another one with `paths.cache_dir=FOLDER` or $SR_CACHE."
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)
        for path in missing:
            for stale in listing.get(_digest(path), {}).values():
                stale.file.unlink(missing_ok=True)
        return len(missing)

    def _check_room(self, missing: list[Path]) -> int:
        needed = sum(height * width * 3 for height, width in map(image_size, missing))
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise UserError(
                f"the cache folder {self.folder} needs {needed:,} bytes for the decoded photographs and has {free:,}; "
                "free some, or name another one with `paths.cache_dir=FOLDER` or $SR_CACHE."
            )
        return needed

    def _store(self, path: Path) -> None:
        version = _version(path)  # before decoding: a change in between makes the entry stale, not wrong
        pixels = read_image(path)
        entry = self.folder / f"{_digest(path)}-{version}-{pixels.shape[0]}x{pixels.shape[1]}.npy"
        with replacing(entry) as unfinished, unfinished.open("wb") as file:
            np.save(file, pixels)

    def _listing(self) -> _Listing:
        listing: _Listing = defaultdict(dict)
        files = self.folder.iterdir() if self.folder.is_dir() else ()
        for match in filter(None, (_ENTRY.fullmatch(file.name) for file in files)):
            entry = _Entry(self.folder / match.string, int(match["height"]), int(match["width"]))
            listing[match["path"]][match["version"]] = entry
        return listing


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:32]


def _version(path: Path) -> str:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}; check the path.") from error
    return hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:16]


def _current(path: Path, listing: _Listing) -> _Entry | None:
    return listing.get(_digest(path), {}).get(_version(path))
