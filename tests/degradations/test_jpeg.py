"""JPEG: libjpeg by Pillow, and its arithmetic with gradients."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.data.images import read_image
from sr_experiments.degradations import Jpeg
from sr_experiments.degradations.jpeg import jpeg, libjpeg
from sr_experiments.errors import UserError


@pytest.fixture(scope="module")
def photo(assets: Path) -> torch.Tensor:
    return torch.from_numpy(read_image(assets / "data/Set5/butterfly.png")).permute(2, 0, 1)[None].float() / 255


def test_libjpeg_is_what_pillow_writes_and_reads(photo: torch.Tensor) -> None:
    crop = photo[..., :61, :83]
    file = io.BytesIO()
    Image.fromarray((crop[0] * 255).round().byte().permute(1, 2, 0).numpy()).save(file, "JPEG", quality=40)
    expected = np.asarray(Image.open(file))
    ours = (libjpeg(crop, [40]) * 255).round().byte()[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("size", [(256, 256), (61, 83), (16, 16), (7, 9), (1, 1)])
@pytest.mark.parametrize("quality", [5, 30, 50, 75, 95, 100])
def test_differentiable_jpeg_is_libjpeg_up_to_roundings(
    photo: torch.Tensor, quality: int, size: tuple[int, int]
) -> None:
    for crop in (photo[..., : size[0], : size[1]], photo[:, :1, : size[0], : size[1]]):
        ours, theirs = jpeg(crop, torch.tensor([quality])), libjpeg(crop, [quality])
        # A coefficient half way between two levels may fall to the other side: few pixels, and not by much.
        assert float((ours - theirs).square().mean().sqrt()) * 255 < 2.5
        lost = (theirs - crop).square().mean()
        assert (ours - crop).square().mean() <= lost * 1.1 + 1e-4


def test_every_image_has_its_own_quality(photo: torch.Tensor) -> None:
    crops = torch.cat([photo[..., 50:98, 80:128]] * 3)
    for differentiable in (False, True):
        degrade = Jpeg([20, 90], differentiable)
        keys = torch.tensor([1, 2, 3])
        quality = degrade.drawn(keys)["quality"]
        assert len(quality.unique()) == 3
        together = degrade(crops, keys)
        for index, number in enumerate(quality.tolist()):
            alone = Jpeg(number, differentiable)(crops[:1])
            assert torch.equal(together[index : index + 1], alone)


def test_gradient_goes_straight_through_the_roundings(photo: torch.Tensor) -> None:
    crop = (photo[..., 50:98, 80:128] * 0.8 + 0.1).requires_grad_()
    direction = torch.ones_like(crop)
    (jpeg(crop, torch.tensor([90])) * direction).sum().backward()
    assert crop.grad is not None
    # A gray shift passes the colour and the cosine transform unchanged.
    torch.testing.assert_close(crop.grad.sum(), direction.sum(), rtol=1e-3, atol=0)


def test_libjpeg_refuses_to_be_differentiated() -> None:
    with pytest.raises(UserError, match="differentiable=true"):
        Jpeg(50)(torch.rand(1, 3, 8, 8, requires_grad=True))


def test_other_channels_and_qualities_are_refused() -> None:
    with pytest.raises(UserError, match="1 or 3 channels, not of 4"):
        Jpeg(50)(torch.rand(1, 4, 8, 8))
    with pytest.raises(UserError, match="quality is 0"):
        Jpeg(0)
