"""Every shipped degradation: sizes, ranges, and that a sample's result depends on the sample and its key alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.nn import functional as F

from sr_experiments.degradations import Degradation

CONF = Path(__file__).parents[2] / "conf/degradation"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
RANDOM = ["bsrgan", "dn", "jpeg", "real_esrgan", "srmd"]
KEYS = torch.tensor([11, 1 << 61, 5])


def build(name: str, scale: int) -> Degradation:
    degradation = instantiate(OmegaConf.create({"scale": scale, "part": OmegaConf.load(CONF / f"{name}.yaml")}).part)
    assert isinstance(degradation, Degradation)
    return degradation


@pytest.fixture(scope="module")
def hr() -> torch.Tensor:
    coarse = torch.rand(3, 3, 12, 18, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=(72, 96), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("name", NAMES)
def test_result_is_an_8bit_image_that_the_batch_does_not_change(name: str, scale: int, hr: torch.Tensor) -> None:
    degrade = build(name, scale)
    lr = degrade(hr, KEYS)
    assert lr.shape == (3, 3, 72 // scale, 96 // scale)
    assert lr.dtype == hr.dtype
    assert lr.min() >= 0
    assert lr.max() <= 1
    torch.testing.assert_close(lr * 255, (lr * 255).round(), rtol=0, atol=1e-3)
    assert torch.equal(lr, degrade(hr, KEYS))
    turned = degrade(hr[[2, 0]].contiguous(memory_format=torch.channels_last), KEYS[[2, 0]])
    assert torch.equal(turned, lr[[2, 0]])


@pytest.mark.parametrize("name", RANDOM)
def test_the_key_decides(name: str, hr: torch.Tensor) -> None:
    degrade = build(name, 4)
    same = hr[:1].expand(3, -1, -1, -1)
    lr = degrade(same, KEYS)
    assert not torch.equal(lr[0], lr[1])
    assert not torch.equal(lr[1], lr[2])
    assert torch.equal(degrade(same), degrade(same, torch.zeros(3, dtype=torch.int64)))
    state = torch.random.get_rng_state()
    degrade(same, KEYS)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", NAMES)
def test_drawn_parameters_are_plain_numbers_of_every_sample(name: str) -> None:
    drawn = build(name, 4).drawn(KEYS)
    assert bool(drawn) == (name in RANDOM)
    for values in drawn.values():
        assert values.shape == (3,)
    alone = build(name, 4).drawn(KEYS[1:2])
    assert all(torch.equal(alone[key], drawn[key][1:2]) for key in drawn)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("jpeg", "bsrgan")])
def test_gradient_reaches_hr(name: str, hr: torch.Tensor) -> None:
    image = (hr * 0.5 + 0.25).requires_grad_()
    build(name, 3)(image, KEYS).square().sum().backward()
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()
    assert (image.grad != 0).flatten(1).any(1).all()


def test_gray_images_are_degraded_as_well(hr: torch.Tensor) -> None:
    for name in NAMES:
        assert build(name, 4)(hr[:, :1], KEYS).shape == (3, 1, 18, 24)
