"""Structural similarity (Wang et al. 2004, IEEE TIP 13(4))."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

WINDOW = 11
_SIGMA = 1.5


def gaussian_window(size: int = WINDOW, sigma: float = _SIGMA) -> list[float]:
    """Give the weights of a window along one axis, by default SSIM's: a Gaussian whose sum is 1."""
    weights = [math.exp(-((i - size // 2) ** 2) / (2 * sigma**2)) for i in range(size)]
    return [weight / sum(weights) for weight in weights]


def local_means(images: Tensor, window: Sequence[float]) -> Tensor:
    """Average (N, H, W) under a window of n weights along each axis, wherever it lies inside: (N, H - n + 1, ...)."""
    # Adding shifted images, weighted, is many times faster in float64 on a CPU than a convolution.
    for axis in (-2, -1):
        length = images.shape[axis] - len(window) + 1
        total = torch.zeros_like(images.narrow(axis, 0, length))
        for start, weight in enumerate(window):
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
    luminance, structure = similarity_maps(first, second, peak)
    return (luminance * structure).mean()


def similarity_maps(first: Tensor, second: Tensor, peak: float = 255.0) -> tuple[Tensor, Tensor]:
    """The two factors of SSIM at every place: of luminance, and of contrast and structure; see `ssim`.

    Returns:
        Two tensors (C, H - 10, W - 10).
    """
    moments = torch.cat((first, second, first * first, second * second, first * second))
    mean1, mean2, square1, square2, product = local_means(moments, gaussian_window()).chunk(5)

    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    covariance = product - mean1 * mean2
    variances = (square1 - mean1 * mean1) + (square2 - mean2 * mean2)
    luminance = (2 * mean1 * mean2 + c1) / (mean1 * mean1 + mean2 * mean2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)
