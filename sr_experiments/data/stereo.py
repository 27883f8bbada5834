"""Photographs with a reference that need no download: the stereo pair in scikit-image's wheel, cut into parts.

Left and right view show a motorcycle, 741x500 pixels each. What lies at column x of the left view lies 7 to 60 columns
further to the left in the right one. The parts are chosen so that neither the training image nor its reference shows
anything that is seen in a test image, and so that all of a test image is seen in the right view, except for what is
hidden behind nearer objects there.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from sr_experiments.data.cache import Cache
from sr_experiments.data.images import read_image, write_png
from sr_experiments.data.photos import Photo
from sr_experiments.data.sample import sample_file
from sr_experiments.errors import UserError

_LEFT, _RIGHT = "motorcycle_left.png", "motorcycle_right.png"


class _Part(NamedTuple):
    file: str
    top: int
    left: int
    height: int
    width: int


# The reference lies 32 columns further to the left, in the middle of the range of displacements: what a crop shows
# lies within 28 columns of the same place in its reference. Its last column, 431, is at most column 491 of the left
# view, before the test parts.
_TRAINING, _TRAINING_REFERENCE = _Part(_LEFT, 0, 48, 500, 416), _Part(_RIGHT, 0, 16, 500, 416)
_TEST = {"shelf": _Part(_LEFT, 0, 496, 240, 240), "wheel": _Part(_LEFT, 240, 496, 240, 240)}


def stereo_training(folder: str | Path | None = None) -> list[Photo]:
    """List the left part of the left view, 416 columns of it, with what the right view shows of them.

    Args:
        folder: where the parts are kept, as PNG files; None for the user's cache folder.

    Raises:
        UserError: the installed scikit-image does not carry the pair, or the folder cannot be written.
    """
    photo, reference = _cut([_TRAINING, _TRAINING_REFERENCE], folder)
    return [Photo("motorcycle", photo, refs=(reference,))]


def stereo_test(folder: str | Path | None = None) -> list[Photo]:
    """List two parts of the right third of the left view, each with the whole right view.

    Args:
        folder: as of `stereo_training`.

    Raises:
        UserError: as of `stereo_training`.
    """
    reference = sample_file(_RIGHT)
    files = _cut(list(_TEST.values()), folder)
    return [Photo(name, file, refs=(reference,)) for name, file in zip(_TEST, files, strict=True)]


def _cut(parts: list[_Part], folder: str | Path | None) -> list[Path]:
    """The files of the parts, written unless they exist."""
    home = Cache(folder).folder / "stereo"
    files = [home / f"{Path(part.file).stem}_{part.top}_{part.left}_{part.height}x{part.width}.png" for part in parts]
    if all(file.is_file() for file in files):
        return files  # no lock where all exist: the folder may be read-only
    try:
        home.mkdir(parents=True, exist_ok=True)
        # Written once: another process may have put this very file into the cache, which knows it by its time.
        with FileLock(home / ".lock"):
            for part, file in zip(parts, files, strict=True):
                if not file.is_file():
                    view = read_image(sample_file(part.file))
                    write_png(file, view[part.top : part.top + part.height, part.left : part.left + part.width])
    except OSError as error:
        raise UserError(f"cannot use the cache folder {home}: {error.strerror or error}.") from error
    return files
