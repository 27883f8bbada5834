"""Pillow's `Image.resize` for batches of float images, to the bit, differentiable and on the device of the image.

EnhanceNet made its LR images with Pillow's Lanczos filter, SRNTT and its successors with its bicubic one. Pillow
multiplies 8-bit pixels by weights in fixed point, horizontally first, and rounds to 8 bits after each axis; beyond the
border there is nothing, the remaining weights are normalised.

Pillow 13 turned the order of the axes for images that lose more than twice as many rows as columns. The papers used
older versions, so the order here is theirs, which is also Pillow 13's for all but tall images (height > 2 width).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from sr_experiments.degradations.base import Degradation
from sr_experiments.pixels.eightbit import round_to_8bit, working_dtype
from sr_experiments.pixels.kernels import KERNELS, Kernel
from sr_experiments.pixels.options import check_choice, check_scale
from sr_experiments.pixels.resampling import Taps, apply_along, kept

PillowKernel = Literal["nearest", "area", "bilinear", "bicubic", "lanczos"]

_KERNELS = {
    "area": Kernel(lambda x: ((x > -0.5) & (x <= 0.5)).astype(np.float64), 1),  # Pillow's BOX: of a tie the earlier one
    "bilinear": KERNELS["linear"],
    "bicubic": KERNELS["cubic"],
    "lanczos": KERNELS["lanczos3"],
}
_ONE = 2 ** (32 - 8 - 2)  # the weight 1.0 in Pillow's fixed point: 8 bits are the pixel's, 2 are for overshoot


def pillow_resize(image: Tensor, size: tuple[int, int], kernel: PillowKernel = "bicubic") -> Tensor:
    """Resize as `PIL.Image.resize((width, height), kernel)` resizes 8-bit images, smaller or larger.

    Args:
        image: (..., H, W), floating point in [0, 1]; taken for an 8-bit image, that is rounded to one if it is not.
        size: output (height, width).
        kernel: 'nearest', 'area' (Pillow's BOX), 'bilinear', 'bicubic' or 'lanczos'.

    Returns:
        (..., height, width) of the dtype of `image`, on 8-bit levels, equal to Pillow's (on MPS, which has no
        float64, possibly one level away). Gradients go straight through the roundings.

    Raises:
        UserError: unknown kernel.
        TypeError: `image` is not floating point.
        ValueError: `size` is not positive.
    """
    check_choice("kernel", kernel, get_args(PillowKernel))
    if not image.is_floating_point():
        raise TypeError(f"pillow_resize needs a floating-point image, got {image.dtype}")
    if min(size) < 1:
        raise ValueError(f"pillow_resize needs a positive size, got {size}")
    values = round_to_8bit(image.to(working_dtype(image.device)) * 255)
    for axis in (-1, -2):
        matrix = _matrix(image.shape[axis], size[axis], kernel, values.device, values.dtype)
        values = round_to_8bit(apply_along(values, axis, matrix) / _ONE)
    return (values / 255).to(image.dtype)


@kept(maxsize=8)
def _matrix(length: int, out_length: int, kernel: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Put the fixed-point weights of one axis into an (out_length, length) matrix of whole numbers."""
    return _fixed_point_taps(length, out_length, kernel).matrix(length, device, dtype)


def _fixed_point_taps(length: int, out_length: int, kernel: str) -> Taps:
    """Input pixels and whole-number weights, of sum about `_ONE`, for every output pixel along an axis."""
    scale = length / out_length
    if kernel == "nearest":
        # Pillow adds up the places step by step, with the rounding errors that this brings.
        nearest = np.cumsum([scale * 0.5] + [scale] * (out_length - 1)).astype(np.int64)
        return Taps(nearest[:, None], np.full((out_length, 1), float(_ONE)))
    function, width = _KERNELS[kernel]
    stretch = max(scale, 1.0)
    support = width / 2 * stretch
    centre = (np.arange(out_length) + 0.5) * scale
    first = np.trunc(centre - support + 0.5).clip(0, None).astype(np.int64)
    last = np.trunc(centre + support + 0.5).clip(None, length).astype(np.int64)  # one past the end
    indices = first[:, None] + np.arange(math.ceil(support) * 2 + 1)
    weights = function((indices - centre[:, None] + 0.5) * (1 / stretch))
    weights[indices >= last[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    fixed = np.trunc(weights * _ONE + np.copysign(0.5, weights))
    return Taps(indices.clip(None, length - 1), fixed)


class PillowResize(Degradation):
    """Shrink a batch as Pillow's `Image.resize` does.

    Args:
        scale: how many times smaller LR is than HR, at least 1.
        kernel: 'nearest', 'area' (Pillow's BOX), 'bilinear', 'bicubic' or 'lanczos'.

    Raises:
        UserError: an option is not one of those named above.
    """

    def __init__(self, scale: float, kernel: PillowKernel = "bicubic") -> None:
        super().__init__()
        check_scale(scale)
        check_choice("kernel", kernel, get_args(PillowKernel))
        self.scale = scale
        self.kernel = kernel

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        """Make LR from HR.

        Args:
            hr: (B, C, H, W), floating point, in [0, 1].
            key: per-sample random keys, which a degradation without randomness has no use for.

        Returns:
            LR (B, C, ceil(H / scale), ceil(W / scale)) of the dtype of `hr`, in [0, 1] and on 8-bit levels.
        """
        height, width = hr.shape[-2:]
        return pillow_resize(hr, (math.ceil(height / self.scale), math.ceil(width / self.scale)), self.kernel)

    def extra_repr(self) -> str:
        """Show the options in `print(module)`."""
        return f"scale={self.scale}, kernel={self.kernel}"
