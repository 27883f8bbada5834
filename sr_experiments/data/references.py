"""Which reference images a sample gets: none, its own, a warped copy of itself, or an unrelated photograph.

Each way is a class of its own, chosen in a config by its name (`reference@data.references=warped`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage import transform

from sr_experiments.data.photos import Photo, some
from sr_experiments.errors import UserError

Pixels = NDArray[np.uint8]

_REFERENCES = 2  # a stream of random numbers beside those of the sampler and of the crops
_MARGIN = 3  # pixels that bicubic interpolation looks at beyond the outermost ones


@dataclass(frozen=True)
class Window:
    """The square that a training crop is cut from; it may reach beyond the photograph at the bottom and at the right.

    Attributes:
        top: first row.
        left: first column.
        side: rows and columns.
    """

    top: int
    left: int
    side: int


@dataclass(frozen=True)
class Sample:
    """What references are looked for.

    Attributes:
        photo: the photograph.
        hr: its pixels, uint8 (H, W, 3).
        window: where in `hr` the training crop lies; None for the whole photograph, in evaluation.
        read: decodes a file to uint8 (h, w, 3).
        random: decides everything random.
    """

    photo: Photo
    hr: Pixels
    window: Window | None
    read: Callable[[Path], Pixels]
    random: np.random.Generator


def training_random(key: int) -> np.random.Generator:
    """Random numbers for the references of a training sample, independent of those for its crop."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key, spawn_key=(_REFERENCES,))))


def evaluation_random(seed: int, index: int) -> np.random.Generator:
    """Random numbers for the references of an evaluation image: the same in every evaluation.

    Raises:
        UserError: the seed is negative.
    """
    if seed < 0:
        raise UserError(f"seed={seed}: a seed must not be negative.")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(_REFERENCES, index))))


class References(ABC):
    """Finds the references of a sample."""

    def check(self, photos: Sequence[Photo]) -> None:  # noqa: B027 - most ways suit any photograph
        """Raise a `UserError` where a photograph cannot get its references."""

    def files(self, photos: Sequence[Photo]) -> list[Path]:
        """Files, beside those of the photographs themselves, that `find` will read for these photographs."""
        return []

    @abstractmethod
    def find(self, sample: Sample) -> list[Pixels]:
        """Find the references of one sample.

        Returns:
            Any number of references, uint8 (h, w, 3) each, of any size.

        Raises:
            UserError: a file cannot be read.
        """


class NoReference(References):
    """No reference: every image is its own (self-reference)."""

    def find(self, sample: Sample) -> list[Pixels]:
        """Return an empty list; see `References.find`."""
        return []


class Stored(References):
    """The references that belong to a photograph (`Photo.refs`), all of them.

    Args:
        size: pixels a side of the window that training takes of each reference, at the same relative place as the
            crop in its photograph; a reference with fewer rows or columns gives all it has. None for whole
            references. An evaluation always takes them whole.

    Raises:
        UserError: `size` is not positive.
    """

    def __init__(self, size: int | None = None) -> None:
        self.size = _checked_size(size)

    def check(self, photos: Sequence[Photo]) -> None:
        """Raise a `UserError` that names the photographs without references."""
        alone = [photo.name for photo in photos if not photo.refs]
        if alone:
            raise UserError(
                f"no reference belongs to {some(alone)}; choose data that come with references (cufed, cufed5, "
                "reference_sample), or references of another kind: reference@data.references=none, warped or other."
            )

    def files(self, photos: Sequence[Photo]) -> list[Path]:
        """List the references of these photographs."""
        return [path for photo in photos for path in photo.refs]

    def find(self, sample: Sample) -> list[Pixels]:
        """Return the photograph's own references; see `References.find`."""
        return [_read_same_place(sample, path, self.size) for path in sample.photo.refs]


class Other(References):
    """One photograph of a list, unrelated to the sample and drawn anew for each sample.

    Args:
        photos: what to draw from; a photograph never is its own reference.
        size: as of `Stored`.

    Raises:
        UserError: `photos` is empty, or `size` is not positive.
    """

    def __init__(self, photos: Sequence[Photo], size: int | None = None) -> None:
        self.size = _checked_size(size)
        self._paths = list(dict.fromkeys(photo.hr.absolute() for photo in photos))
        self._places = {path: place for place, path in enumerate(self._paths)}
        if not self._paths:
            raise UserError("data.references.photos lists no photograph to draw references from.")

    def check(self, photos: Sequence[Photo]) -> None:
        """Raise a `UserError` where a photograph is the only one to draw."""
        if len(self._paths) == 1 and any(photo.hr.absolute() in self._places for photo in photos):
            raise UserError(
                f"{self._paths[0]} is the only photograph in data.references.photos and cannot be its own reference; "
                "list another one."
            )

    def files(self, photos: Sequence[Photo]) -> list[Path]:
        """List every photograph that may be drawn."""
        return list(self._paths)

    def find(self, sample: Sample) -> list[Pixels]:
        """Return one photograph that is not the sample; see `References.find`."""
        own = self._places.get(sample.photo.hr.absolute())
        place = int(sample.random.integers(len(self._paths) - (own is not None)))
        if own is not None and place >= own:
            place += 1
        return [_read_same_place(sample, self._paths[place], self.size)]


class Warped(References):
    """The sample itself, enlarged, turned and moved: a reference with the right textures in other places.

    The reference is as large as the sample: the training crop, or the whole photograph in an evaluation. What the
    movement brings in at its borders is what the photograph shows there, mirrored at the photograph's own borders, so
    that no part of it is empty. All four choices are uniform: along each axis, the turn's and the movements' sign
    either way.

    Args:
        translation: smallest and largest movement along each axis, as a share of the size along it.
        rotation: smallest and largest turn, in degrees.
        scale: smallest and largest enlargement.

    Raises:
        UserError: a range is not two numbers in order, or a scale is not positive.

    Source: the ranges of the ablation "HR (warp)" in Zhang et al., Image Super-Resolution by Neural Texture Transfer,
    CVPR 2019.
    """

    def __init__(
        self,
        translation: Sequence[float] = (0.25, 0.5),
        rotation: Sequence[float] = (10, 30),
        scale: Sequence[float] = (1.2, 2.0),
    ) -> None:
        self.translation = _checked_range("translation", translation)
        self.rotation = _checked_range("rotation", rotation)
        self.scale = _checked_range("scale", scale)
        if self.scale[0] == 0:
            raise UserError(f"data.references.scale={list(scale)} must not begin with 0.")

    def find(self, sample: Sample) -> list[Pixels]:
        """Return one warped copy of the sample; see `References.find`."""
        hr, window, random = sample.hr, sample.window, sample.random
        rows, columns = hr.shape[:2] if window is None else (window.side, window.side)
        top, left = (0, 0) if window is None else (window.top, window.left)
        scale = random.uniform(*self.scale)
        degrees = _either_way(random) * random.uniform(*self.rotation)
        down = _either_way(random) * random.uniform(*self.translation) * rows
        right = _either_way(random) * random.uniform(*self.translation) * columns
        return [warp(hr, (top, left, rows, columns), scale, degrees, (down, right))]


def warp(
    image: Pixels, box: tuple[int, int, int, int], scale: float, degrees: float, movement: tuple[float, float]
) -> Pixels:
    """Enlarge and turn a box of an image about the box's centre, then move it; bicubic.

    Args:
        image: uint8 (H, W, 3); it is continued by mirroring beyond its borders.
        box: top, left, height and width, in pixels.
        scale: the enlargement.
        degrees: the turn, clockwise.
        movement: pixels downwards and to the right.

    Returns:
        uint8 (height, width, 3).
    """
    top, left, height, width = box
    down, right = movement
    # From a pixel of the result, counted from its centre, back to one of the image: undo movement, turn, enlargement.
    cosine, sine = (function(math.radians(degrees)) / scale for function in (math.cos, math.sin))
    row = top + height / 2 + sine * right - cosine * down
    column = left + width / 2 - cosine * right - sine * down
    half_rows = (abs(sine) * width + abs(cosine) * height) / 2
    half_columns = (abs(cosine) * width + abs(sine) * height) / 2
    rows = np.arange(math.floor(row - half_rows) - _MARGIN, math.ceil(row + half_rows) + _MARGIN)
    columns = np.arange(math.floor(column - half_columns) - _MARGIN, math.ceil(column + half_columns) + _MARGIN)
    seen = image[np.ix_(_mirrored(rows, image.shape[0]), _mirrored(columns, image.shape[1]))]
    # From the middle of one pixel to the middle of another, which have whole numbers here.
    row, column = row - rows[0] - 0.5, column - columns[0] - 0.5
    half_width, half_height = (width - 1) / 2, (height - 1) / 2
    back = np.array(
        [
            [cosine, sine, column - cosine * half_width - sine * half_height],
            [-sine, cosine, row + sine * half_width - cosine * half_height],
            [0, 0, 1],
        ]
    )
    warped = transform.warp(seen, back, output_shape=(height, width), order=3, preserve_range=True)
    return np.rint(warped).astype(np.uint8)


def _mirrored(places: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices into an axis of `count` pixels for any whole numbers: mirrored, end pixels repeated."""
    places = places % (2 * count)
    return np.where(places < count, places, 2 * count - 1 - places)


def _read_same_place(sample: Sample, path: Path, size: int | None) -> Pixels:
    """Read a reference, and cut the window whose centre has the same relative position as the crop's centre."""
    reference, window = sample.read(path), sample.window
    if window is None or size is None:
        return reference
    slices = []
    for begin, length, own in zip((window.top, window.left), sample.hr.shape[:2], reference.shape[:2], strict=True):
        centre = (begin + window.side / 2) * own / length
        first = min(max(round(centre - size / 2), 0), max(own - size, 0))
        slices.append(slice(first, first + size))
    return reference[tuple(slices)]


def _either_way(random: np.random.Generator) -> int:
    return 1 - 2 * int(random.integers(2))


def _checked_size(size: int | None) -> int | None:
    if size is not None and size < 1:
        raise UserError(f"data.references.size={size} must be positive, or null for whole references.")
    return size


def _checked_range(name: str, values: Sequence[float]) -> tuple[float, float]:
    if len(values) != 2 or not 0 <= values[0] <= values[1]:
        raise UserError(f"data.references.{name}={list(values)} must be two numbers, [smallest,largest], from 0 on.")
    return float(values[0]), float(values[1])
