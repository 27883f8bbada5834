"""Structural similarity (Wang et al. 2004, IEEE TIP 13(4))."""

from __future__ import annotations

import math

import torch
from torch import Tensor

WINDOW = 11
_SIGMA = 1.5


def gaussian_window() -> list[float]:
    """Give the 11 weights of SSIM's window along one axis: a Gaussian of sigma 1.5 whose sum is 1."""
    weights = [math.exp(-((i - WINDOW // 2) ** 2) / (2 * _SIGMA**2)) for i in range(WINDOW)]
    return [weight / sum(weights) for weight in weights]


def _local_means(images: Tensor) -> Tensor:
    """Average (N, H, W) under the window wherever it lies inside: (N, H - 10, W - 10)."""
    # Adding shifted images, weighted, is many times faster in float64 on a CPU than a convolution.
    for axis in (-2, -1):
        length = images.shape[axis] - WINDOW + 1
        total = torch.zeros_like(images.narrow(axis, 0, length))
        for start, weight in enumerate(gaussian_window()):
            total.add_(images.narrow(axis, start, length), alpha=weight)
        images = total
    return images


def ssim(first: Tensor, second: Tensor, peak: float = 255.0) -> Tensor:
    """SSIM of one image, as the authors' MATLAB code computes it, but for its shrinking of large images.

    An 11x11 Gaussian window is moved over all places where it lies inside the image; variances are biased,
    K1 = 0.01 and K2 = 0.03. Channels are scored one by one and averaged.

    Args:
        first: (C, H, W), floating point, H and W at least 11.
        second: the same shape.
        peak: the largest possible value.

    Returns:
        A tensor without dimensions, at most 1.
    """
    moments = torch.cat((first, second, first * first, second * second, first * second))
    mean1, mean2, square1, square2, product = _local_means(moments).chunk(5)

    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    covariance = product - mean1 * mean2
    variances = (square1 - mean1 * mean1) + (square2 - mean2 * mean2)
    luminance = (2 * mean1 * mean2 + c1) / (mean1 * mean1 + mean2 * mean2 + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return (luminance * structure).mean()
