"""Fixed upsamplers against MATLAB's imresize and direct loops."""

from __future__ import annotations

import pytest
import torch

from sr_experiments.errors import UserError
from sr_experiments.pixels.imresize import imresize
from sr_experiments.upsamplers import Interpolation


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize(("mode", "kernel"), [("bicubic", "cubic"), ("bilinear", "linear"), ("nearest", "box")])
def test_it_is_that_of_matlab(mode: str, kernel: str, scale: int) -> None:
    upsampler, x = Interpolation(channels=3, scale=scale, mode=mode), torch.rand(2, 3, 5, 7)
    assert not upsampler.learned
    assert list(upsampler.parameters()) == []
    assert torch.allclose(upsampler(x), imresize(x, scale=scale, kernel=kernel), atol=1e-6)


def test_bilinear_equals_a_direct_loop() -> None:
    x, scale = torch.rand(4, 5), 3
    result = Interpolation(channels=1, scale=scale, mode="bilinear")(x[None, None])[0, 0]
    for i in range(4 * scale):
        for j in range(5 * scale):
            # Pixel centres lie at halves; beyond the outermost the image is constant.
            row, column = min(max((i + 0.5) / scale - 0.5, 0), 3), min(max((j + 0.5) / scale - 0.5, 0), 4)
            weight = (1 - (torch.arange(4.0) - row).abs()).clamp(min=0)[:, None]
            weight = weight * (1 - (torch.arange(5.0) - column).abs()).clamp(min=0)
            assert torch.allclose(result[i, j], (weight * x).sum(), atol=1e-6)


def test_nearest_repeats_pixels() -> None:
    x = torch.rand(1, 2, 3, 4)
    repeated = x.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    assert torch.equal(Interpolation(channels=2, scale=3, mode="nearest")(x), repeated)


def test_other_modes_are_refused() -> None:
    with pytest.raises(UserError, match="mode=area is unknown: use bicubic, bilinear or nearest"):
        Interpolation(channels=2, scale=3, mode="area")
