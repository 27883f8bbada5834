"""Brightness from RGB, on the scale 0..255."""

from __future__ import annotations

from torch import Tensor


def luma(rgb: Tensor) -> Tensor:
    """BT.601 luma of limited range: the Y of MATLAB's `rgb2ycbcr`, on which the field's PSNR and SSIM are measured.

    Args:
        rgb: (..., 3, H, W) on the scale 0..255, floating point.

    Returns:
        (..., 1, H, W) from 16 (black) to 235 (white), not rounded.
    """
    red, green, blue = rgb.split(1, dim=-3)
    # One division of whole numbers keeps exact halves exact, on which the rounding of Y depends.
    return 16 + (65481 * red + 128553 * green + 24966 * blue) / 255000


def full_range_luma(rgb: Tensor) -> Tensor:
    """BT.601 luma of full range: the gray value of a colour in image programs.

    Args:
        rgb: (..., 3, H, W) on the scale 0..255, floating point.

    Returns:
        (..., 1, H, W) from 0 to 255, not rounded; gray stays as it is.
    """
    red, green, blue = rgb.split(1, dim=-3)
    return (299 * red + 587 * green + 114 * blue) / 1000
