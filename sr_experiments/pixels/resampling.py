"""Separable resampling: along an axis, every output pixel is a weighted sum of a few input pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sr_experiments.pixels.eightbit import full_precision

Continuation = Literal["clamp", "symmetric", "mirror", "wrap"]


def inside(indices: NDArray[np.int64], length: int, border: str) -> NDArray[np.int64]:
    """The pixels of an axis of `length` that stand for the pixels `indices`, which may lie beyond its ends.

    Args:
        indices: any shape.
        length: at least 1.
        border: 'clamp' repeats the last pixel (aab), 'symmetric' mirrors the image (baab), 'mirror' does so about the
            centre of the last pixel (cbabc), 'wrap' begins again at the other end.
    """
    if border == "clamp":
        return indices.clip(0, length - 1)
    if border == "wrap":
        return indices % length
    if border == "symmetric":
        phase = indices % (2 * length)
        return np.minimum(phase, 2 * length - 1 - phase)
    period = max(2 * length - 2, 1)
    phase = indices % period
    return np.minimum(phase, period - phase)


class Taps(NamedTuple):
    """Which input pixels make each output pixel of one axis: two arrays of shape (output length, taps)."""

    indices: NDArray[np.int64]
    weights: NDArray[np.float64]

    def matrix(self, length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Write the taps as an (output length, `length`) matrix; a pixel named twice, as at borders, adds up."""
        matrix = np.zeros((len(self.indices), length))
        np.add.at(matrix, (np.arange(len(matrix))[:, None], self.indices), self.weights)
        with torch.inference_mode(False):  # the matrix may be cached and serve a training step later
            return torch.from_numpy(matrix).to(device=device, dtype=dtype)


def kept(maxsize: int) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Keep the results of a function, as `lru_cache` does, but for those of a trace, which are no real tensors.

    While torch.export and the like trace a network, tensors stand for shapes, and sizes may be symbols.
    """

    def keep(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        cached = lru_cache(maxsize)(function)

        @torch.compiler.assume_constant_result
        @wraps(function)
        def call(*args: Any) -> Tensor:
            is_traced = torch.compiler.is_compiling() or type(torch.empty(0)) is not Tensor
            return (function if is_traced else cached)(*args)

        return call

    return keep


def apply_along(image: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Multiply the columns (`axis` -2) or the rows (`axis` -1) of (..., H, W) images by an (out, in) matrix."""
    with full_precision(image.device):
        return matrix @ image if axis == -2 else image @ matrix.mT
