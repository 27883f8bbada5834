"""Resizing as OpenCV and PyTorch do it on floating-point images, which the pipelines of blind SR are built from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sr_experiments.pixels.resampling import Taps, apply_along

MODES = ("area", "bilinear", "bicubic")


def resize(images: Tensor, size: tuple[int, int], mode: str, exact_area: bool = False) -> Tensor:
    """Resize without antialiasing (a bicubic kernel of a = -0.75), or by means over areas.

    Args:
        images: (B, C, H, W), floating point.
        size: output (height, width), at least 1.
        mode: 'area', 'bilinear' or 'bicubic'.
        exact_area: let pixels that lie only partly within an area count for that part, as OpenCV does when it shrinks;
            PyTorch counts them in full.

    Returns:
        (B, C, *size); bicubic may overshoot.
    """
    if mode != "area":
        return F.interpolate(images, size=size, mode=mode, align_corners=False)
    if not exact_area:
        return F.interpolate(images, size=size, mode="area")
    for axis in (-2, -1):
        length = images.shape[axis]
        matrix = area_taps(length, size[axis]).matrix(length, images.device, images.dtype)
        images = apply_along(images, axis, matrix)
    return images


def area_taps(length: int, out_length: int) -> Taps:
    """The mean over what every output pixel covers, along one axis."""
    scale = length / out_length
    left = np.arange(out_length)[:, None] * scale
    indices = np.floor(left).astype(np.int64) + np.arange(int(np.ceil(scale)) + 1)
    covered = np.minimum(indices + 1, left + scale) - np.maximum(indices, left)
    weights = covered.clip(0, None)
    return Taps(indices.clip(0, length - 1), weights / weights.sum(axis=1, keepdims=True))


def clipped(images: Tensor) -> Tensor:
    """Clip to [0, 1]."""
    return torch.clamp(images, 0, 1)
