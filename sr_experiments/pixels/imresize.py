"""MATLAB's `imresize` for batches of float images, differentiable and on the device of the image.

Most published super-resolution numbers rest on LR images made by this function, and nothing in PyTorch, Pillow or
OpenCV equals it: when it shrinks, the kernel is stretched by the scale (antialiasing); beyond the border it continues
the image, in one of two ways depending on MATLAB's version; and 8-bit images are rounded after each axis.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from sr_experiments.pixels.eightbit import full_precision, round_to_8bit, working_dtype
from sr_experiments.pixels.kernels import KERNELS
from sr_experiments.pixels.options import check_choice
from sr_experiments.pixels.resampling import Taps, apply_along, inside, kept

Border = Literal["clamp", "symmetric"]
Rounding = Literal["per_axis", "final", "none"]


def imresize(
    image: Tensor,
    *,
    scale: float | tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
    kernel: str = "cubic",
    antialias: bool = True,
    border: Border = "clamp",
    rounding: Rounding = "none",
) -> Tensor:
    """Resize images as MATLAB's `imresize(image, scale)` or `imresize(image, [rows columns])` does.

    Args:
        image: (..., H, W), floating point; in [0, 1] if `rounding` is on, any range otherwise.
        scale: output size / input size, for both axes or for (vertical, horizontal); the output length is rounded up.
        size: output (height, width) in place of `scale`.
        kernel: 'cubic' (a = -0.5), 'linear', 'lanczos3' or 'box'.
        antialias: stretch the kernel when shrinking; never matters when enlarging.
        border: beyond the edge, 'clamp' repeats the last pixel, 'symmetric' mirrors the image (abc|cba).
        rounding: where values are rounded to 8 bits, halves up: 'per_axis' is what MATLAB does to uint8 images,
            'final' rounds once at the end, 'none' never, and leaves overshoots of [0, 1] in place. If on, the input
            is taken for an 8-bit image and rounded as well; gradients go straight through.

    Returns:
        (..., H', W') of the dtype of `image`; computed in float64, so that 8-bit results are exact (float32 on MPS).

    Raises:
        UserError: an option is not one of those named above.
        TypeError: `image` is not floating point.
        ValueError: not exactly one of `scale` and `size` is given, or one of them is not positive.

    Example:
        >>> ramp = torch.arange(8.0).expand(2, 8)
        >>> imresize(ramp, size=(2, 4), border="symmetric")[0]
        tensor([0.4492, 2.4883, 4.5117, 6.5508])
    """
    check_choice("kernel", kernel, KERNELS)
    check_choice("border", border, get_args(Border))
    check_choice("rounding", rounding, get_args(Rounding))
    if not image.is_floating_point():
        raise TypeError(f"imresize needs a floating-point image, got {image.dtype}")
    sizes, scales = _sizes_and_scales((image.shape[-2], image.shape[-1]), scale, size)

    values = image.to(working_dtype(image.device))
    if rounding != "none":
        values = round_to_8bit(values * 255)
    # MATLAB starts with the axis that shrinks most, and with the vertical one when both shrink alike.
    for axis in (0, 1) if scales[0] <= scales[1] else (1, 0):
        if torch.compiler.is_compiling() and scales[axis] == int(scales[axis]) and border == "clamp":
            values = _enlarge_along(values, axis - 2, int(scales[axis]), kernel)
        else:
            matrix = _matrix(
                image.shape[axis - 2], sizes[axis], scales[axis], kernel, antialias, border, values.device, values.dtype
            )
            values = apply_along(values, axis - 2, matrix)
        if rounding == "per_axis":
            values = round_to_8bit(values)
    if rounding == "final":
        values = round_to_8bit(values)
    return (values if rounding == "none" else values / 255).to(image.dtype)


def bicubic_upsample(
    lr: Tensor,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    border: Border = "clamp",
) -> Tensor:
    """Enlarge by MATLAB's bicubic interpolation: the baseline every network is compared with, and their skip path.

    Args:
        lr: (..., h, w) of any range, floating point.
        scale: the enlargement, or give `size`, the output (height, width).
        size: see `scale`.
        border: see `imresize`.

    Returns:
        (..., H, W), neither rounded nor clipped: values may overshoot the range of `lr` a little.
    """
    return imresize(lr, scale=scale, size=size, border=border)


def _sizes_and_scales(
    in_size: tuple[int, int], scale: float | tuple[float, float] | None, size: tuple[int, int] | None
) -> tuple[tuple[int, int], tuple[float, float]]:
    """Output sizes and scales per axis; what was not given follows from the other as in MATLAB."""
    if (scale is None) == (size is None):
        raise ValueError("give imresize either scale or size")
    if size is not None:
        scales = (size[0] / in_size[0], size[1] / in_size[1])
    elif isinstance(scale, tuple):
        scales = scale
    else:
        scales = (float(scale), float(scale))  # type: ignore[arg-type]
    if min(scales) <= 0:
        raise ValueError(f"imresize needs a positive scale and size, got scale={scale}, size={size}")
    return size or (math.ceil(in_size[0] * scales[0]), math.ceil(in_size[1] * scales[1])), scales


@kept(maxsize=8)  # training asks for the same two at every step; those of large photographs are not worth keeping
def _matrix(
    length: int,
    out_length: int,
    scale: float,
    kernel: str,
    antialias: bool,
    border: str,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Express the resampling of one axis as an (out_length, length) matrix."""
    if isinstance(length, torch.SymInt):
        raise ValueError(f"of images of any size imresize enlarges by whole numbers and clamps, not {scale}, {border}")
    return axis_taps(length, out_length, scale, kernel, antialias, border).matrix(length, device, dtype)


def _enlarge_along(image: Tensor, axis: int, scale: int, kernel: str) -> Tensor:
    """Enlarge an axis of any length by a whole number: every pixel becomes `scale` others in the same way.

    A matrix belongs to one length, so that this is for traces, where the length is a symbol; it differs from the matrix
    product by rounding alone.
    """
    weights = _weights_around(scale, kernel, image.device, image.dtype)
    around = weights.shape[1]
    places = torch.arange(-(around // 2), image.shape[axis] + around // 2, device=image.device)
    places = places.clamp(0, image.shape[axis] - 1)
    windows = image.transpose(axis, -1).index_select(-1, places).unfold(-1, around, 1)
    with full_precision(image.device):
        return (windows @ weights.mT).flatten(-2).transpose(axis, -1)


@kept(maxsize=8)
def _weights_around(scale: int, kernel: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    """What a pixel and those around it weigh in the `scale` pixels that it becomes, (scale, an odd number)."""
    reach = math.ceil(KERNELS[kernel].width / 2)
    around = 2 * reach + 1  # so many pixels that the middle one does not feel the border
    matrix = axis_taps(around, around * scale, scale, kernel, True, "clamp").matrix(around, device, dtype)
    return matrix[reach * scale : (reach + 1) * scale]


def axis_taps(length: int, out_length: int, scale: float, kernel: str, antialias: bool, border: str) -> Taps:
    """Input pixels and weights for every output pixel along an axis of `length` pixels."""
    function, width = KERNELS[kernel]
    stretch = min(scale, 1.0) if antialias else 1.0
    # Pixel i covers [i, i + 1), so its centre is i + 0.5, in the input as in the output.
    centre = (np.arange(out_length) + 0.5) / scale - 0.5
    first = np.floor(centre - width / stretch / 2).astype(np.int64)
    indices = first[:, None] + np.arange(math.ceil(width / stretch) + 2)
    weights = function(stretch * (centre[:, None] - indices))
    weights /= weights.sum(axis=1, keepdims=True)
    return Taps(inside(indices, length, border), weights)
