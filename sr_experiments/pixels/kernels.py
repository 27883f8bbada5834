"""Interpolation kernels, as functions of the distance to the output pixel in pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Kernel(NamedTuple):
    """A kernel and its `width`: the length of the interval on which it is not zero."""

    function: Callable[[Array], Array]
    width: float


def linear(x: Array) -> Array:
    """Evaluate the triangle of linear interpolation."""
    return np.maximum(1 - np.abs(x), 0)


def cubic(x: Array) -> Array:
    """Evaluate the kernel of cubic convolution with a = -0.5 (Keys 1981)."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0))


def lanczos3(x: Array) -> Array:
    """Evaluate the sinc function, windowed by its own central lobe stretched to three times the width."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


def box(x: Array) -> Array:
    """Evaluate the kernel of the mean over one pixel; of two pixels at the same distance the later one counts."""
    return ((x >= -0.5) & (x < 0.5)).astype(np.float64)


KERNELS = {
    "linear": Kernel(linear, 2),
    "cubic": Kernel(cubic, 4),
    "lanczos3": Kernel(lanczos3, 6),
    "box": Kernel(box, 1),
}
