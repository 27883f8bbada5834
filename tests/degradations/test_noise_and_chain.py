"""Noise, and several degradations one after the other."""

from __future__ import annotations

import pytest
import torch

from sr_experiments.degradations import Bicubic, Chain, Jpeg, Noise, PillowResize, RealEsrgan
from sr_experiments.degradations.real_esrgan import sharpened
from sr_experiments.errors import UserError

KEYS = torch.tensor([3, 1 << 60, 77])


def test_noise_has_its_level() -> None:
    gray = torch.full((3, 3, 64, 64), 0.5)
    noisy = Noise(10)(gray, KEYS)
    error = (noisy - gray) * 255
    assert error.std(dim=(1, 2, 3)).tolist() == pytest.approx([10, 10, 10], rel=0.05)
    assert error.mean().abs() < 0.7  # a gray of 127.5 is rounded up
    assert not torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0, 0], noisy[0, 1])


def test_gray_noise_is_the_same_in_all_channels() -> None:
    noisy = Noise(10, gray=True)(torch.full((3, 3, 16, 16), 0.5), KEYS)
    assert torch.equal(noisy[:, 0], noisy[:, 2])


def test_drawn_level_is_the_one_that_is_applied() -> None:
    degrade = Noise([5, 50])
    level = degrade.drawn(KEYS)["level"]
    assert len(level.unique()) == 3
    assert ((level >= 5) & (level <= 50)).all()
    noisy = degrade(torch.full((3, 3, 64, 64), 0.5), KEYS)
    torch.testing.assert_close(noisy.std(dim=(1, 2, 3)).double() * 255, level, rtol=0.05, atol=0)


def test_level_zero_changes_nothing_and_the_gradient_goes_straight_through() -> None:
    hr = (torch.randint(1, 255, (1, 3, 8, 8)) / 255).requires_grad_()
    noisy = Noise(0)(hr)
    torch.testing.assert_close(noisy, hr)
    noisy.sum().backward()
    assert hr.grad is not None
    torch.testing.assert_close(hr.grad, torch.ones_like(hr))


@pytest.mark.parametrize("level", [-1, [3, 1], [1, 2, 3], "30", None, [0, 300]])
def test_levels_that_make_no_sense_are_explained(level: object) -> None:
    with pytest.raises(UserError, match=r"level is .*; give a number or \[smallest, largest\]"):
        Noise(level)


def test_dn_is_bicubic_and_noise() -> None:
    hr = torch.rand(3, 3, 192, 192) * 0.4 + 0.3
    dn = Chain(3, [Bicubic(3), Noise(30)])
    error = (dn(hr, KEYS) - Bicubic(3)(hr)) * 255
    assert float(error.std()) == pytest.approx(30, rel=0.03)


def test_scales_of_a_chain_multiply() -> None:
    hr = torch.rand(2, 3, 24, 36)
    chain = Chain(6, [Bicubic(2), PillowResize(3)])
    assert torch.equal(chain(hr), PillowResize(3)(Bicubic(2)(hr)))
    assert chain(hr).shape == (2, 3, 4, 6)


def test_the_target_is_that_of_the_step_that_sees_hr() -> None:
    hr = torch.rand(1, 3, 64, 64)
    assert Chain(4, [Bicubic(2), RealEsrgan(2)]).target(hr) is hr
    assert torch.equal(Chain(4, [RealEsrgan(2), Bicubic(2)]).target(hr), sharpened(hr))
    assert RealEsrgan(4, sharpen=False).target(hr) is hr
    assert not torch.equal(sharpened(hr), hr)


def test_steps_of_a_chain_draw_for_themselves() -> None:
    chain = Chain(1, [Noise([1, 9]), Noise([1, 9]), Jpeg([40, 90])])
    drawn = chain.drawn(KEYS)
    assert sorted(drawn) == ["0_noise/level", "1_noise/level", "2_jpeg/quality"]
    assert not torch.equal(drawn["0_noise/level"], drawn["1_noise/level"])
    both = Chain(1, [Noise(20), Noise(20)])(torch.full((3, 3, 64, 64), 0.5), KEYS)
    assert float(both.std()) * 255 == pytest.approx(20 * 2**0.5, rel=0.05)  # and not 40


@pytest.mark.parametrize("steps", [[Bicubic(2)], [Bicubic(4), Noise(1), Bicubic(2)], [Noise(30)], []])
def test_chain_of_another_scale_is_refused(steps: list[torch.nn.Module]) -> None:
    with pytest.raises(UserError, match=r"not by scale=4: change degradation\.steps or scale"):
        Chain(4, steps)
