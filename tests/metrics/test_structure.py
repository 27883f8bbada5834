"""MS-SSIM and VIF against torchmetrics and a direct restatement, which convolve instead of adding shifted images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure as reference_ms_ssim,
)
from torchmetrics.functional.image import visual_information_fidelity as reference_vif

from sr_experiments.data.images import read_image
from sr_experiments.degradations import bicubic_upsample, imresize
from sr_experiments.errors import UserError
from sr_experiments.metrics import Protocol
from sr_experiments.metrics.structure import MSSSIM, VIF


def planes(channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A smooth original with a flat corner, and a noisy, paler likeness; whole numbers on the scale 0..255."""
    generator = torch.Generator().manual_seed(5)
    hr = torch.rand(1, channels, height // 8 + 2, width // 8 + 2, dtype=torch.float64, generator=generator)
    hr = torch.nn.functional.interpolate(hr, size=(height, width), mode="bicubic")[0].clamp(0, 1) * 255
    hr[:, :20, :20] = 40
    sr = 20 + 0.8 * hr + 12 * torch.randn(hr.shape, dtype=torch.float64, generator=generator)
    sr[:, -20:, -20:] = 90
    return sr.clamp(0, 255).round(), hr.round()


def written_out_ms_ssim(sr: Tensor, hr: Tensor) -> float:
    """The paper's equation 7 with the window as one 11x11 kernel, moved over the places where it lies inside."""
    offsets = torch.arange(-5, 6, dtype=torch.float64)
    kernel = torch.exp(-(offsets[:, None] ** 2 + offsets**2) / 4.5)
    kernel = (kernel / kernel.sum())[None, None]

    def mean(image: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(image[:, None], kernel)

    product = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363, 0.1333):
        covariance = mean(sr * hr) - mean(sr) * mean(hr)
        variances = mean(sr**2) - mean(sr) ** 2 + mean(hr**2) - mean(hr) ** 2
        structure = (2 * covariance + 58.5225) / (variances + 58.5225)
        luminance = (2 * mean(sr) * mean(hr) + 6.5025) / (mean(sr) ** 2 + mean(hr) ** 2 + 6.5025)
        product *= float((structure * luminance if weight == 0.1333 else structure).mean()) ** weight
        sr, hr = torch.nn.functional.avg_pool2d(sr, 2), torch.nn.functional.avg_pool2d(hr, 2)
    return product


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 176, 176), (3, 181, 203), (1, 240, 178)])
def test_ms_ssim_is_the_papers(channels: int, height: int, width: int) -> None:
    sr, hr = planes(channels, height, width)
    assert float(MSSSIM()(sr, hr)) == pytest.approx(written_out_ms_ssim(sr, hr), abs=1e-9)
    assert float(MSSSIM()(hr, hr)) == pytest.approx(1, abs=1e-12)


def test_ms_ssim_differs_from_torchmetrics_only_at_the_edge_of_the_last_scale() -> None:
    sr, hr = planes(1, 352, 400)
    # torchmetrics continues the image beyond its edge there, by five pixels of 22 and of 25.
    assert float(MSSSIM()(sr, hr)) == pytest.approx(
        float(reference_ms_ssim(sr[None], hr[None], data_range=255.0)), abs=5e-3
    )


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 41, 41), (3, 64, 83), (1, 97, 50)])
def test_vif_is_that_of_torchmetrics(channels: int, height: int, width: int) -> None:
    sr, hr = planes(channels, height, width)
    torch.testing.assert_close(VIF()(sr, hr), reference_vif(sr[None], hr[None]), rtol=0, atol=1e-9)
    torch.testing.assert_close(VIF(0.5)(sr, hr), reference_vif(sr[None], hr[None], sigma_n_sq=0.5), rtol=0, atol=1e-9)
    assert float(VIF()(hr, hr)) == pytest.approx(1, abs=1e-9)


def test_an_image_of_the_opposite_structure_has_none_of_it() -> None:
    hr = planes(1, 176, 176)[1]
    assert float(MSSSIM()(255 - hr, hr)) == 0
    assert float(VIF()(255 - hr, hr)) == pytest.approx(0, abs=1e-3)


def test_what_cannot_be_measured_is_said() -> None:
    sr, hr = planes(1, 175, 300)
    with pytest.raises(UserError, match="MS-SSIM needs 176 pixels a side after the border is cut; 300x175 are too few"):
        MSSSIM()(sr, hr)
    with pytest.raises(UserError, match="VIF needs 41"):
        VIF()(sr[:, :40], hr[:, :40])
    with pytest.raises(UserError, match="of one colour"):
        VIF()(sr, torch.full_like(hr, 7))


def test_both_rank_enlargements_of_a_photograph(assets: Path) -> None:
    hr = torch.from_numpy(read_image(assets / "data" / "Set5" / "butterfly.png")).permute(2, 0, 1).double() / 255
    protocol = Protocol("y", border=4)
    for score in (MSSSIM(), VIF()):
        values = []
        for scale in (2, 4, 8):
            enlarged = bicubic_upsample(imresize(hr, scale=1 / scale), scale)
            values.append(float(score(protocol.plane(enlarged), protocol.plane(hr))))
        assert 1 > values[0] > values[1] > values[2] > 0
