"""Peak signal-to-noise ratio."""

from __future__ import annotations

from torch import Tensor


def psnr(first: Tensor, second: Tensor, peak: float = 255.0) -> Tensor:
    """PSNR of one image: 10 log10(peak^2 / mean squared difference over all pixels and channels).

    Args:
        first: (C, H, W), floating point.
        second: the same shape.
        peak: the largest possible value.

    Returns:
        A tensor without dimensions, in dB; infinite for identical images.
    """
    return 10 * (peak**2 / (first - second).square().mean()).log10()
