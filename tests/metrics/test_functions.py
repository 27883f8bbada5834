"""Luma, PSNR and SSIM against closed forms and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sr_experiments.metrics import full_range_luma, luma, psnr, ssim
from sr_experiments.metrics.ssim import gaussian_window


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 255


def pixel(red: float, green: float, blue: float) -> torch.Tensor:
    return torch.tensor([red, green, blue], dtype=torch.float64).view(3, 1, 1)


@pytest.mark.parametrize(
    ("rgb", "y"),
    [
        ((0, 0, 0), 16.0),
        ((255, 255, 255), 235.0),
        ((255, 0, 0), 81.481),
        ((0, 255, 0), 144.553),
        ((0, 0, 255), 40.966),
    ],
)
def test_luma_of_pure_colours(rgb: tuple[int, int, int], y: float) -> None:
    assert luma(pixel(*rgb)).item() == pytest.approx(y, abs=1e-12)


def test_full_range_luma_keeps_gray_exactly() -> None:
    levels = torch.arange(256, dtype=torch.float64).expand(3, 1, 256)
    assert torch.equal(full_range_luma(levels), levels[:1])
    assert full_range_luma(pixel(255, 0, 0)).item() == pytest.approx(76.245)


def test_full_range_luma_scores_lower_by_a_constant() -> None:
    first, second = noise(0, 3, 20, 20), noise(1, 3, 20, 20)
    difference = psnr(luma(first), luma(second)) - psnr(full_range_luma(first), full_range_luma(second))
    assert difference.item() == pytest.approx(20 * math.log10(255 / 219), abs=1e-3)
    assert difference.item() == pytest.approx(1.322, abs=1e-3)


@given(level=st.floats(0, 200), shift=st.floats(0.5, 55))
def test_psnr_of_a_shift(level: float, shift: float) -> None:
    image = torch.full((3, 4, 4), level, dtype=torch.float64)
    assert psnr(image, image + shift).item() == pytest.approx(20 * math.log10(255 / shift), abs=1e-9)


def test_psnr_pools_channels_and_is_infinite_for_identical_images() -> None:
    image = noise(0, 3, 6, 6)
    assert psnr(image, image).item() == math.inf
    other = image.clone()
    other[0] += 3
    assert psnr(image, other).item() == pytest.approx(10 * math.log10(255**2 / 3), abs=1e-9)


def test_window_has_the_golden_values() -> None:
    half = [0.00102838, 0.00759876, 0.03600077, 0.10936069, 0.21300554, 0.26601172]
    assert gaussian_window() == pytest.approx(half + half[-2::-1], abs=5e-9)
    assert sum(gaussian_window()) == pytest.approx(1, abs=1e-15)


def loop_ssim(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """One channel, one window at a time, from the definition of weighted means, variances and covariance."""
    axis = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(axis, axis) / axis.sum() ** 2
    height, width = first.shape
    scores = []
    for i in range(height - 10):
        for j in range(width - 10):
            x, y = first[i : i + 11, j : j + 11], second[i : i + 11, j : j + 11]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            scores.append(
                (2 * mx * my + 6.5025) * (2 * cov + 58.5225) / ((mx**2 + my**2 + 6.5025) * (vx + vy + 58.5225))
            )
    return float(np.mean(scores))


@pytest.mark.parametrize(("height", "width"), [(11, 11), (12, 17), (20, 13)])
def test_ssim_equals_a_loop_over_windows(height: int, width: int) -> None:
    first = noise(0, 3, height, width)
    second = (first + 0.2 * noise(1, 3, height, width)).clamp(0, 255)
    expected = np.mean([loop_ssim(a, b) for a, b in zip(first.numpy(), second.numpy(), strict=True)])
    assert ssim(first, second).item() == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_ssim_is_symmetric_and_at_most_one(seed: int) -> None:
    first, second = noise(seed, 1, 14, 15), noise(seed + 1, 1, 14, 15)
    assert ssim(first, second).item() == pytest.approx(ssim(second, first).item(), abs=1e-12)
    assert ssim(first, second).item() < 1
    assert ssim(first, first).item() == pytest.approx(1, abs=1e-12)
