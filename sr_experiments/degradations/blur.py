"""Blur kernels and their application, one kernel a sample."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sr_experiments.pixels.eightbit import working_dtype
from sr_experiments.pixels.resampling import Taps, apply_along, inside, kept

Form = Literal["gaussian", "generalised", "plateau"]


def gaussian_kernels(
    size: int,
    sigma_1: Tensor,
    sigma_2: Tensor,
    angle: Tensor,
    form: Form = "gaussian",
    beta: Tensor | float = 1.0,
) -> Tensor:
    """Bell-shaped kernels of any ratio of axes, in any direction.

    With q the squared distance, measured in sigmas along each axis: 'gaussian' is exp(-q / 2), 'generalised'
    exp(-q^beta / 2), 'plateau' 1 / (1 + q^beta) (Liu et al., arXiv 2008.12912 and 2007.10379; Real-ESRGAN).

    Args:
        size: width and height in pixels.
        sigma_1: (B,) standard deviation along the first axis, above 0.
        sigma_2: (B,) across it.
        angle: (B,) direction of the first axis in radians, from the horizontal one towards the vertical.
        form: see above.
        beta: number or (B,), the exponent.

    Returns:
        (B, size, size) float64 of sum 1.
    """
    line = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    rows, columns = line[:, None], line[None, :]
    cosine, sine = (function(angle.double())[:, None, None] for function in (torch.cos, torch.sin))
    along = (columns * cosine + rows * sine) / sigma_1.double()[:, None, None]
    across = (rows * cosine - columns * sine) / sigma_2.double()[:, None, None]
    distance = along.square() + across.square()
    if form != "gaussian":
        distance = distance ** torch.as_tensor(beta, dtype=torch.float64).reshape(-1, 1, 1)
    # The nearest pixel has the weight 1, so that the sum cannot vanish where a kernel is very narrow.
    distance = distance - (distance.amin((1, 2), keepdim=True) if form != "plateau" else 0)
    kernels = 1 / (1 + distance) if form == "plateau" else torch.exp(-distance / 2)
    return kernels / kernels.sum((1, 2), keepdim=True)


def sinc_kernels(size: int, cutoff: Tensor) -> Tensor:
    """Ideal circular low-pass filters, which leave ringing and overshoots (Real-ESRGAN, section 3.3).

    Args:
        size: width and height in pixels.
        cutoff: (B,) cut-off frequency, above 0 and up to pi.

    Returns:
        (B, size, size) float64 of sum 1.
    """
    line = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    radius = (line[:, None].square() + line.square()).sqrt()
    frequency = cutoff.double()[:, None, None]
    bessel = torch.special.bessel_j1(frequency * radius)
    kernels = frequency * bessel / (2 * math.pi * radius.clamp(min=1e-9))
    kernels = torch.where(radius == 0, frequency.square() / (4 * math.pi), kernels)
    return kernels / kernels.sum((1, 2), keepdim=True)


def continued(images: Tensor, before: int, after: int, border: str) -> Tensor:
    """Continue images (..., H, W) beyond their edges by any number of pixels; for `border` see `inside`."""
    for axis in (-2, -1):
        length = images.shape[axis]
        indices = inside(np.arange(-before, length + after), length, border)
        images = images.index_select(axis, torch.from_numpy(indices).to(images.device))
    return images


def blur(images: Tensor, kernels: Tensor, border: str = "mirror") -> Tensor:
    """Correlate every image with its own kernel.

    Args:
        images: (B, C, H, W), floating point.
        kernels: (B, k, k) or (1, k, k) for all.
        border: how the image continues: 'clamp', 'symmetric', 'mirror' or 'wrap' (see `inside`).

    Returns:
        (B, C, H, W).
    """
    size = kernels.shape[-1]
    padded = continued(images, (size - 1) // 2, size // 2, border)
    kernels = kernels.to(images).expand(len(images), size, size)
    # One sample at a time: its result must not depend, in the last bit, on the size of the batch.
    blurred = [F.conv2d(image[:, None], kernel[None, None]) for image, kernel in zip(padded, kernels, strict=True)]
    return torch.stack(blurred)[:, :, 0]


def gaussian_taps(length: int, scale: int, size: int, sigma: float, border: str) -> Taps:
    """One axis of a Gaussian around the centre of every cell of `scale` pixels, `size` pixels wide."""
    centre = np.arange(math.ceil(length / scale)) * scale + (scale - 1) / 2
    indices = np.ceil(centre - size / 2).astype(np.int64)[:, None] + np.arange(size)
    distance = (indices - centre[:, None]) / sigma
    weights = np.exp((distance**2).min(axis=1, keepdims=True) / 2 - distance**2 / 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return Taps(inside(indices, length, border), weights)


def blur_and_subsample(images: Tensor, scale: int, size: int, sigma: float, border: str = "clamp") -> Tensor:
    """Keep one pixel in every `scale` x `scale` of the images (..., H, W), blurred by a Gaussian around its centre."""
    values = images.to(working_dtype(images.device))
    for axis in (-2, -1):
        matrix = _gaussian_matrix(images.shape[axis], scale, size, sigma, border, values.device, values.dtype)
        values = apply_along(values, axis, matrix)
    return values.to(images.dtype)


@kept(maxsize=8)
def _gaussian_matrix(
    length: int, scale: int, size: int, sigma: float, border: str, device: torch.device, dtype: torch.dtype
) -> Tensor:
    return gaussian_taps(length, scale, size, sigma, border).matrix(length, device, dtype)
