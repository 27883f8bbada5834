"""Where the SR images of several runs differ most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Crop(NamedTuple):
    """A square of a photograph, in pixels, and how far the runs are apart in it (mean deviation, levels of 0..255)."""

    x: int
    y: int
    side: int
    deviation: float


def find_crops(images: Sequence[NDArray[np.uint8]], side: int = 48, count: int = 4) -> list[Crop]:
    """Find the squares in which images of one size differ most.

    Args:
        images: gray, (H, W), at least two, of one size.
        side: of a square; smaller for images that are.
        count: the most squares; they do not overlap.

    Returns:
        Squares with any difference, the largest first.
    """
    height, width = images[0].shape
    side = min(side, height, width)
    total = np.zeros((height, width), np.float32)
    squares = np.zeros((height, width), np.float32)
    for image in images:
        values = image.astype(np.float32)
        total += values
        squares += values * values
    number = len(images)
    deviation = np.sqrt(np.maximum(squares / number - (total / number) ** 2, 0))
    means = _box_means(deviation, side)
    crops: list[Crop] = []
    while len(crops) < count:
        y, x = (int(place) for place in np.unravel_index(np.argmax(means), means.shape))
        value = float(means[y, x])
        if value < 1e-3:
            break
        crops.append(Crop(x, y, side, round(value, 2)))
        means[max(0, y - side + 1) : y + side, max(0, x - side + 1) : x + side] = -1
    return crops


def _box_means(values: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """The mean of every square of `side` pixels that lies inside: (H - side + 1, W - side + 1)."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    sums[1:, 1:] = values.astype(np.float64).cumsum(0).cumsum(1)
    return (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2
