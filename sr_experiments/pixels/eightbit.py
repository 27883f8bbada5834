"""Arithmetic that treats float images as the 8-bit files they come from."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def working_dtype(device: torch.device) -> torch.dtype:
    """Choose the precision in which 8-bit results are exact: float64, or float32 on MPS, which has nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off inside; the meta device, on which only shapes are computed, has none."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def round_to_8bit(values: Tensor) -> Tensor:
    """Clip to 0..255 and round half up, as MATLAB and the evaluation scripts of the field do.

    Args:
        values: any shape, floating point, on the scale 0..255 (`torch.round` would round halves to even).

    Returns:
        Whole numbers of the same shape and dtype. The gradient goes straight through the rounding and stops where
        a value was clipped.
    """
    clipped = values.clamp(0.0, 255.0)
    whole = (clipped.detach() + 0.5).floor_()
    if not clipped.requires_grad:
        return whole
    return whole + (clipped - clipped.detach())  # the bracket is exactly 0: the value stays whole


def to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """Turn one image into the pixels of a file, with the rounding on which it is scored.

    Args:
        image: (C, H, W), floating point in [0, 1]; values outside are clipped.

    Returns:
        uint8, shape (H, W, C).
    """
    levels = round_to_8bit(image.detach().to(working_dtype(image.device)) * 255)
    return levels.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
