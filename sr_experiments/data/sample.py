"""Photographs that need no download: scikit-image carries a few inside its wheel."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from sr_experiments.data.photos import Photo
from sr_experiments.errors import UserError

_TRAINING = ("coffee.png", "rocket.jpg", "motorcycle_left.png", "hubble_deep_field.jpg", "retina.jpg", "ihc.png")
_TEST = ("astronaut.png", "chelsea.png")
_UNRELATED = ("coffee.png", "rocket.jpg", "ihc.png")


def training_photographs() -> list[Photo]:
    """Six photographs to try a training with; none of them is among `test_photographs`.

    Raises:
        UserError: the installed scikit-image does not carry them.
    """
    return _photographs(_TRAINING)


def test_photographs() -> list[Photo]:
    """Two photographs, a portrait and a cat, to evaluate on.

    Raises:
        UserError: the installed scikit-image does not carry them.
    """
    return _photographs(_TEST)


def unrelated_photographs() -> list[Photo]:
    """Three photographs to be references that do not help: a cup, a rocket, and a stained tissue.

    Raises:
        UserError: the installed scikit-image does not carry them.
    """
    return _photographs(_UNRELATED)


def sample_file(name: str) -> Path:
    """Where a photograph lies that scikit-image carries.

    Raises:
        UserError: the installed scikit-image does not carry it.
    """
    return _files((name,))[0]


def _photographs(names: tuple[str, ...]) -> list[Photo]:
    return [Photo(file.stem, file) for file in _files(names)]


def _files(names: tuple[str, ...]) -> list[Path]:
    # Found without importing: skimage.data would import its downloader.
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise UserError(
            "the sample photographs come with scikit-image, which is not installed: pip install scikit-image"
        )
    folder = Path(spec.origin).parent / "data"
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"the sample photographs {', '.join(missing)} are not in {folder}; "
            "install scikit-image again, or name a folder of your own with data=folder."
        )
    return [folder / name for name in names]
