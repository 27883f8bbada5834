"""Training samples: random crops of cached photographs, as uint8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sr_experiments.data.cache import Cache
from sr_experiments.data.conditions import open_condition, to_probabilities
from sr_experiments.data.photos import Photo
from sr_experiments.data.references import References, Sample, Window, training_random
from sr_experiments.data.sampler import Draw
from sr_experiments.errors import UserError


class TrainingCrops(Dataset[dict[str, Any]]):
    """One crop for a `Draw`, all its random choices decided by the draw's key.

    An item is `{"hr": uint8 (3, c, c), "key": int}`, and `"lr": uint8 (3, c/scale, c/scale)` of the same view where
    the photographs come in pairs. Where there are references, `"ref"` is a list of any number of them, uint8 (3, h, w)
    of any size, turned and flipped as the crop is. Where all photographs have maps of classes, `"condition"` is the
    crop's part of them, float32 (classes, c, c) in [0, 1]. Keys fit an int64.

    Args:
        photos: the training set; each file (`training_files`) must be in the cache.
        cache: the decoded photographs.
        scale: the enlargement; crops of pairs begin on the grid of the LR image.
        crop_size: HR pixels a side, a multiple of `scale`.
        augment: flip and turn each crop into one of its 8 orientations.
        pad: mirror photographs smaller than a crop at the bottom and at the right until it fits, instead of refusing.
        references: finds the references of a sample; None for samples without.
        classes: number of classes of the maps.

    Raises:
        UserError: `crop_size` does not fit `scale`, a photograph is smaller than a crop and `pad` is off, or one cannot
            get its references.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        cache: Cache,
        scale: int,
        crop_size: int,
        augment: bool = True,
        pad: bool = False,
        references: References | None = None,
        classes: int = 8,
    ) -> None:
        check_crop_size(crop_size, scale)
        self.photos, self.cache = list(photos), cache
        self.scale, self.crop_size, self.augment, self.pad = scale, crop_size, augment, pad
        self.references, self.classes = references, classes
        self.has_conditions = all(photo.condition is not None for photo in self.photos)
        if references is not None:
            references.check(self.photos)
        cache.find(training_files(self.photos, references))
        if not pad:
            for photo in self.photos:
                self._check_size(photo)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        photo = self.photos[draw.index]
        random = np.random.Generator(np.random.PCG64(draw.key))
        hr = self.cache.open(photo.hr)
        lr = None if photo.lr is None else self.cache.open(photo.lr)
        # All offsets are counted in grid cells: single pixels of HR alone, or pixels of LR where there is one.
        cell = 1 if lr is None else self.scale
        rows, columns = hr.shape[:2] if lr is None else lr.shape[:2]
        side = self.crop_size // cell
        top = int(random.integers(max(rows - side, 0) + 1))
        left = int(random.integers(max(columns - side, 0) + 1))
        turn = int(random.integers(8)) if self.augment else 0

        def crop(image: NDArray[Any], cell: int) -> Tensor:
            image = image[: rows * cell, : columns * cell]
            window = image[top * cell : (top + side) * cell, left * cell : (left + side) * cell]
            return _chw(_turned(_padded(window, side * cell), turn))

        item: dict[str, Any] = {"hr": crop(hr, cell), "key": draw.key}
        if lr is not None:
            item["lr"] = crop(lr, 1)
        if self.has_conditions and photo.condition is not None:
            window = crop(open_condition(photo.condition), cell)
            item["condition"] = to_probabilities(window, photo.condition, self.classes)
        if self.references is not None:
            hr, place = hr[: rows * cell, : columns * cell], Window(top * cell, left * cell, self.crop_size)
            found = self.references.find(Sample(photo, hr, place, self.cache.open, training_random(draw.key)))
            item["ref"] = [_chw(_turned(reference, turn)) for reference in found]
        return item

    def _check_size(self, photo: Photo) -> None:
        height, width = self.cache.size(photo.hr)
        if photo.lr is not None:
            height, width = (side * self.scale for side in self.cache.size(photo.lr))
        if min(height, width) < self.crop_size:
            raise UserError(
                f"{photo.hr} is {width}x{height} pixels, smaller than a crop of {self.crop_size}x{self.crop_size}; "
                "lower data.crop_size, set data.pad=true to mirror it to size, or remove the file."
            )


def check_crop_size(crop_size: int, scale: int) -> None:
    """Raise a `UserError` unless a crop has at least one pixel and is a multiple of the scale."""
    if scale < 1 or crop_size < 1 or crop_size % scale:
        raise UserError(f"data.crop_size={crop_size} must be a positive multiple of scale={scale}.")


def training_files(photos: Sequence[Photo], references: References | None = None) -> list[str]:
    """Every file, ground truth, stored LR and references, that training samples are cut from."""
    files = [str(path) for photo in photos for path in (photo.hr, photo.lr) if path is not None]
    return files if references is None else files + [str(path) for path in references.files(photos)]


def _padded(window: NDArray[Any], side: int) -> NDArray[Any]:
    height, width = window.shape[:2]
    if height == side and width == side:
        return window
    return np.pad(window, ((0, side - height), (0, side - width), (0, 0)), mode="symmetric")


def _turned(window: NDArray[Any], turn: int) -> NDArray[Any]:
    """One of the 8 orientations of a picture, as a view."""
    if turn & 1:
        window = window[::-1]
    if turn & 2:
        window = window[:, ::-1]
    return window.transpose(1, 0, 2) if turn & 4 else window


def _chw(window: NDArray[Any]) -> Tensor:
    # The only copy: out of the mapped file, into the layout of the batch.
    return torch.from_numpy(np.array(window.transpose(2, 0, 1), order="C", subok=False))
