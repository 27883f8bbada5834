"""The module BI against the benchmark's own LR files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sr_experiments.data.images import read_image
from sr_experiments.degradations import Bicubic, imresize
from sr_experiments.errors import UserError


def load(path: Path) -> torch.Tensor:
    return torch.from_numpy(read_image(path)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("name", ["baby", "bird", "butterfly", "head", "woman"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_default_reproduces_the_benchmark(assets: Path, scale: int, name: str) -> None:
    hr = load(assets / f"data/Set5/{name}.png")
    height, width = hr.shape[-2:]
    hr = hr[..., : height - height % scale, : width - width % scale]
    lr = Bicubic(scale)(hr.float() / 255)
    expected = load(assets / f"reference/matlab_lr/Set5/x{scale}/{name}.png")
    assert torch.equal((lr * 255).round().to(torch.uint8), expected)


@pytest.mark.parametrize("rounding", ["per_axis", "final"])
def test_batch_equals_one_by_one(rounding: str) -> None:
    hr = torch.rand(4, 3, 21, 26)
    degrade = Bicubic(3, rounding=rounding)
    assert torch.equal(degrade(hr), torch.cat([degrade(image[None]) for image in hr]))


def test_output_is_on_8bit_levels_and_has_the_size_rounded_up() -> None:
    lr = Bicubic(4)(torch.rand(2, 3, 17, 22), key=torch.tensor([1, 2]))
    assert lr.shape == (2, 3, 5, 6)
    assert lr.min() >= 0
    assert lr.max() <= 1
    torch.testing.assert_close(lr * 255, (lr * 255).round(), rtol=0, atol=1e-4)


def test_options_arrive() -> None:
    hr = torch.rand(1, 1, 16, 16)
    result = Bicubic(2, border="symmetric", rounding="none", antialias=False)(hr)
    assert torch.equal(result, imresize(hr, scale=0.5, border="symmetric", antialias=False))
    assert not torch.equal(result, Bicubic(2, border="symmetric", rounding="none")(hr))
    assert not torch.equal(Bicubic(2)(hr), Bicubic(2, border="symmetric")(hr))


def test_gradient_reaches_hr() -> None:
    hr = torch.rand(1, 3, 16, 16, requires_grad=True)
    Bicubic(4)(hr).square().sum().backward()
    assert hr.grad is not None
    assert (hr.grad != 0).float().mean() > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0}, "scale is 0"),
        ({"scale": "4"}, "scale is '4'"),
        ({"scale": 4, "border": "replicate"}, "clamp, symmetric"),
        ({"scale": 4, "rounding": "last"}, "per_axis, final, none"),
    ],
)
def test_bad_options_are_explained(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Bicubic(**options)
