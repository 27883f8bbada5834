"""Parameter counts as published, shapes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from sr_experiments.app.compose import compose_config
from sr_experiments.discriminators import (
    EnhanceNetDiscriminator,
    ESRGANDiscriminator,
    PatchGAN,
    SRGANDiscriminator,
    UNetDiscriminator,
)
from sr_experiments.errors import UserError
from sr_experiments.shipped import conf_dir

ALL = [SRGANDiscriminator, EnhanceNetDiscriminator, ESRGANDiscriminator, PatchGAN, UNetDiscriminator]
OPTIONS = sorted(file.stem for file in (conf_dir() / "discriminator").glob("*.yaml"))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("kind", "crop_size", "parameters"),
    [
        (SRGANDiscriminator, 96, 23_565_505),
        (SRGANDiscriminator, 128, 38_245_569),
        (EnhanceNetDiscriminator, 128, 13_102_881),
        (ESRGANDiscriminator, 128, 14_499_401),
        (UNetDiscriminator, 128, 4_376_897),
        (PatchGAN, 128, 2_765_633),
    ],
)
def test_parameter_counts(kind: type, crop_size: int, parameters: int) -> None:
    with torch.device("meta"):
        assert count(kind(crop_size)) == parameters


def test_srntts_discriminator_as_published() -> None:
    with torch.device("meta"):
        assert count(EnhanceNetDiscriminator(160, norm="batch", bias=False)) == 17_823_457


def test_a_pooled_head_frees_from_the_crop_size() -> None:
    critic = SRGANDiscriminator(96, channels=4, hidden=8, head="pooled")
    assert count(critic) == count(SRGANDiscriminator(128, channels=4, hidden=8, head="pooled"))
    for side in (16, 40, 96):
        assert critic(torch.rand(2, 3, side, side)).shape == (2, 1)


@pytest.mark.parametrize("crop_size", [32, 50, 96])
@pytest.mark.parametrize("kind", [SRGANDiscriminator, EnhanceNetDiscriminator, ESRGANDiscriminator])
def test_one_logit_a_crop(kind: type, crop_size: int) -> None:
    assert kind(crop_size, channels=4, hidden=8)(torch.rand(2, 3, crop_size, crop_size)).shape == (2, 1)


def test_a_logit_a_place() -> None:
    assert PatchGAN(70, channels=4)(torch.rand(2, 3, 70, 70)).shape == (2, 1, 6, 6)
    assert UNetDiscriminator(32, channels=4)(torch.rand(2, 3, 32, 40)).shape == (2, 1, 32, 40)


def test_patchgan_sees_70_pixels() -> None:
    critic = PatchGAN(128, channels=4, norm="none")
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(image)[0, 0, 6, 6], image)
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == 70


@pytest.mark.parametrize("norm", ["batch", "instance", "spectral", "none"])
@pytest.mark.parametrize("kind", ALL)
def test_every_normalisation_trains(kind: type, norm: str) -> None:
    critic = kind(64, channels=4, norm=norm)
    critic(torch.rand(2, 3, 64, 64)).mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in critic.parameters())


@pytest.mark.parametrize("norm", ["batch", "instance", "spectral", "none"])
def test_judging_changes_nothing_in_eval_mode(norm: str) -> None:
    critic = UNetDiscriminator(32, channels=4, norm=norm).eval()
    before = {name: value.clone() for name, value in critic.state_dict().items()}
    critic(torch.rand(2, 3, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())


def test_spectral_norm_bounds_the_weights() -> None:
    critic = SRGANDiscriminator(32, channels=4, hidden=8, norm="spectral")
    for _ in range(50):
        critic(torch.rand(2, 3, 32, 32))
    weight = critic.layers[3][0].weight
    assert torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() == pytest.approx(1, abs=1e-2)


def test_crops_that_do_not_fit_are_refused() -> None:
    for kind, crop_size, fits in (
        (SRGANDiscriminator, 12, 16), (EnhanceNetDiscriminator, 16, 32), (ESRGANDiscriminator, 31, 32),
        (PatchGAN, 24, 32), (UNetDiscriminator, 8, 16), (UNetDiscriminator, 100, 104),
    ):  # fmt: skip
        with pytest.raises(UserError, match=f"set data.crop_size={fits}"):
            kind(crop_size)
    with pytest.raises(UserError, match="built for crops of 32, but got 48x48"):
        SRGANDiscriminator(32, channels=4)(torch.rand(1, 3, 48, 48))
    with pytest.raises(UserError, match="head=conv"):
        SRGANDiscriminator(32, head="conv")
    with pytest.raises(UserError, match="norm=layer"):
        PatchGAN(32, norm="layer")


@pytest.mark.parametrize("option", OPTIONS)
def test_options_compose(option: str, tmp_path: Path) -> None:
    overrides = [f"discriminator@loss.adversarial.discriminator={option}", "loss=srgan_mse", "data.crop_size=32"]
    config = compose_config("train", [*overrides, "loss.adversarial.discriminator.channels=4"])
    assert isinstance(instantiate(config.loss).adversarial.discriminator, nn.Module)
