"""Maps of class probabilities that lie beside photographs, which networks such as SFT-GAN take as a second input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from sr_experiments.data.images import image_size, read_header
from sr_experiments.data.photos import Photo
from sr_experiments.errors import UserError

# Modes of Pillow whose pixels are labels: gray levels, or places in a palette.
_LABEL_MODES = ("L", "P")


def check_conditions(photos: Sequence[Photo], classes: int) -> None:
    """Check the map of every photograph that has one, without decoding any.

    Raises:
        UserError: a file cannot be read, is no map of so many classes, or has another size than its photograph.
    """
    for photo in photos:
        if photo.condition is None:
            continue
        size = _labels_size(photo.condition) if _is_labels(photo.condition) else _mapped(photo.condition).shape[1:]
        if not _is_labels(photo.condition):
            _check_classes(photo.condition, _mapped(photo.condition), classes)
        expected = image_size(photo.hr)
        if size != expected:
            raise UserError(
                f"The condition {photo.condition} covers {size[1]}x{size[0]} pixels and its photograph {photo.hr} has "
                f"{expected[1]}x{expected[0]}: a map has the size of its photograph."
            )


def open_condition(path: Path) -> NDArray[Any]:
    """Open a map; a .npy file is memory-mapped, so that only the parts used later are read.

    Args:
        path: NAME.npy, (classes, H, W) floats in [0, 1] or uint8 in 0..255; or NAME.png, whose gray levels or places in
            a palette are the numbers of the classes.

    Returns:
        (H, W, classes), or (H, W, 1) uint8 of labels.

    Raises:
        UserError: it cannot be read.
    """
    if not _is_labels(path):
        return _mapped(path).transpose(1, 2, 0)
    _labels_size(path)
    with Image.open(path, formats=["PNG"]) as image:
        return np.asarray(image)[..., None]


def to_probabilities(values: Tensor, path: Path, classes: int) -> Tensor:
    """Convert a window of what `open_condition` returned to probabilities.

    Args:
        values: (classes, h, w), or (1, h, w) labels.
        path: where it came from.
        classes: number of classes.

    Returns:
        (classes, h, w) float32 in [0, 1].

    Raises:
        UserError: a label is no number of a class.
    """
    if not _is_labels(path):
        return values.float() / (255 if values.dtype == torch.uint8 else 1)
    if int(values.max()) >= classes:
        raise UserError(
            f"{path} has the label {int(values.max())}, but there are {classes} classes, 0 to {classes - 1}: correct "
            "the file, or set model.classes (and data.classes) to their number."
        )
    return F.one_hot(values[0].long(), classes).permute(2, 0, 1).float()


def _is_labels(path: Path) -> bool:
    return path.suffix.lower() == ".png"


def _labels_size(path: Path) -> tuple[int, int]:
    header = read_header(path)
    if header.mode not in _LABEL_MODES:
        raise UserError(f"{path} is no map of labels: it is stored as {header.mode}, not in 8-bit gray or a palette.")
    return header.height, header.width


def _mapped(path: Path) -> NDArray[Any]:
    try:
        maps = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"The condition {path} cannot be read: {error}.") from error
    if maps.ndim != 3 or not (maps.dtype == np.uint8 or np.issubdtype(maps.dtype, np.floating)):
        raise UserError(
            f"The condition {path} is {maps.dtype} of the shape {maps.shape}: it must be (classes, height, width), "
            "floats in [0, 1] or uint8."
        )
    return maps


def _check_classes(path: Path, maps: NDArray[Any], classes: int) -> None:
    if maps.shape[0] != classes:
        raise UserError(
            f"The condition {path} has {maps.shape[0]} classes, not data.classes={classes}: set model.classes (and "
            "data.classes) to their number."
        )
