"""BSRGAN's and Real-ESRGAN's pipelines: their parts against references, and what they draw."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from sr_experiments.degradations import Bsrgan, Order, RealEsrgan
from sr_experiments.degradations.blur import blur_and_subsample, gaussian_kernels, sinc_kernels
from sr_experiments.degradations.bsrgan import STEPS
from sr_experiments.degradations.bsrgan import _noisy as add_noise_of_a_kind
from sr_experiments.degradations.jpeg import jpeg, libjpeg
from sr_experiments.degradations.real_esrgan import SHARPEN_SIGMA, poisson_noise, sharpened
from sr_experiments.degradations.resize import area_taps, resize
from sr_experiments.errors import UserError
from sr_experiments.pixels.draws import Draws, keys_of_part

MANY = torch.arange(3000)
KEYS = torch.tensor([3, 4, 1 << 58])
QUIET = Order(0.0, (0.2, 1), (0, 0, 1), (0.5, 1.5), (0, 0), (0, 0), 0.0, (100, 100))


def smooth(batch: int, height: int, width: int) -> torch.Tensor:
    coarse = torch.rand(batch, 3, height // 6, width // 6, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, size=(height, width), mode="bilinear").clamp(0, 1)


# parts


@pytest.mark.parametrize(("length", "out"), [(12, 4), (10, 4), (7, 3), (25, 24), (9, 9), (5, 1)])
def test_area_is_the_mean_over_what_is_covered(length: int, out: int) -> None:
    line = np.random.default_rng(0).random(length)
    expected = []
    for k in range(out):
        left, right = Fraction(k * length, out), Fraction((k + 1) * length, out)
        covered = [max(min(right, i + 1) - max(left, i), Fraction(0)) for i in range(length)]
        expected.append(sum(float(share) * value for share, value in zip(covered, line, strict=True)) * out / length)
    matrix = area_taps(length, out).matrix(length, torch.device("cpu"), torch.float64)
    np.testing.assert_allclose(matrix.numpy() @ line, expected)
    image = torch.from_numpy(line).expand(1, 1, 3, -1)
    np.testing.assert_allclose(resize(image, (3, out), "area", exact_area=True)[0, 0, 0], expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_blur_and_subsampling_is_scipys_with_mirrored_borders(scale: int) -> None:
    image = torch.rand(1, 1, 10 * scale, 9 * scale, dtype=torch.float64)
    # As the published code has it: a kernel of 25 pixels, shifted to the centre of a cell, and the first of each cell.
    line = np.exp(-((np.arange(25) - 12 - (scale - 1) / 2) ** 2) / (2 * 1.3**2))
    blurred = ndimage.correlate1d(
        ndimage.correlate1d(image.numpy(), line / line.sum(), 2, mode="mirror"), line / line.sum(), 3, mode="mirror"
    )
    ours = blur_and_subsample(image, scale, 25, 1.3, "mirror")
    np.testing.assert_allclose(ours.numpy(), blurred[..., ::scale, ::scale], atol=1e-6)


def test_sharpening_is_unsharp_masking_where_it_shows() -> None:
    image = smooth(1, 60, 66).double()
    line = np.exp(-((np.arange(51) - 25) ** 2) / (2 * SHARPEN_SIGMA**2))
    line /= line.sum()

    def wide(values: np.ndarray) -> np.ndarray:
        down = ndimage.correlate1d(values, line, 2, mode="mirror")
        return ndimage.correlate1d(down, line, 3, mode="mirror")

    pixels = image.numpy()
    residual = pixels - wide(pixels)
    mask = wide((np.abs(residual) * 255 > 10).astype(float))
    expected = mask * np.clip(pixels + 0.5 * residual, 0, 1) + (1 - mask) * pixels
    np.testing.assert_allclose(sharpened(image).numpy(), expected, atol=1e-6)
    flat = torch.full((1, 3, 60, 60), 0.4)
    torch.testing.assert_close(sharpened(flat), flat)


def test_poisson_noise_has_the_variance_of_counting() -> None:
    ramp = torch.linspace(0, 1, 256).repeat(400, 1).expand(1, 3, -1, -1)
    noise = poisson_noise(ramp, torch.tensor([5]), gray=False)
    torch.testing.assert_close(noise.mean((0, 1, 2)), torch.zeros(256), rtol=0, atol=8e-3)
    torch.testing.assert_close(noise.var((0, 1, 2)), torch.linspace(0, 1, 256) / 256, rtol=0.2, atol=1e-5)
    assert poisson_noise(ramp, torch.tensor([5]), gray=True).shape == (1, 1, 400, 256)


# BSRGAN


def test_bsrgan_draws_what_the_published_code_draws() -> None:
    drawn = Bsrgan(4).drawn(MANY)
    places = torch.stack([drawn[f"{name}.place"] for name in STEPS], dim=1)
    assert (places.sort(dim=1).values == torch.arange(6)).all()
    assert (drawn["shrink.place"] < drawn["fit.place"]).all()
    assert float(drawn["halved"].double().mean()) == pytest.approx(0.25, abs=0.03)
    assert not Bsrgan(2).drawn(MANY)["halved"].any()
    scale = torch.where(drawn["halved"], 2.0, 4.0)
    for name in ("blur_1", "blur_2"):
        assert drawn[f"{name}.size"].unique().tolist() == list(range(7, 26, 2))
        one = drawn[f"{name}.sigma_1"] == drawn[f"{name}.sigma_2"]
        assert float(one.double().mean()) == pytest.approx(0.5, abs=0.03)
        assert (drawn[f"{name}.sigma_1"][one] <= (2 + 0.2 * scale)[one]).all()
        assert (drawn[f"{name}.sigma_1"][~one] ** 2 <= (4 + scale)[~one]).all()
    assert (drawn["shrink.factor"] >= 1).all()
    assert (drawn["shrink.factor"] <= 2 * scale).all()
    assert float(drawn["shrink.factor"].max()) > 7.9
    assert (drawn["noise.level"].min(), drawn["noise.level"].max()) == (2, 25)
    assert (drawn["jpeg.quality"].min(), drawn["jpeg.quality"].max()) == (30, 95)
    assert (drawn["noise.kind"].bincount() / 3000).tolist() == pytest.approx([0.4, 0.2, 0.4], abs=0.03)


def test_bsrgan_step_by_step() -> None:
    """One sample's way, put together from its drawn parameters by other means."""
    degrade = Bsrgan(2, noise=(0, 0), jpeg=(90, 90))
    keys = MANY
    drawn = degrade.drawn(keys)
    plain = drawn["shrink.resized"] & (drawn["shrink.mode"] == 1) & (drawn["fit.mode"] == 1)
    plain &= (drawn["noise.kind"] != 1) & ~drawn["jpeg"]
    chosen = plain.nonzero()[:3, 0]
    assert len(chosen) == 3
    for index in chosen.tolist():
        row = {name: values[index].item() for name, values in drawn.items()}
        image = smooth(1, 48, 60)
        result = degrade(image, keys[index : index + 1])
        for name in sorted(STEPS, key=lambda name: row[f"{name}.place"]):
            if name.startswith("blur"):
                widths = [torch.tensor([row[f"{name}.{part}"]]) for part in ("sigma_1", "sigma_2", "angle")]
                kernel = gaussian_kernels(row[f"{name}.size"], *widths)[0].numpy()
                image = torch.from_numpy(ndimage.correlate(image.numpy(), kernel[None, None], mode="mirror"))
            elif name in ("shrink", "fit"):
                size = (24, 30)
                if name == "shrink":
                    size = (int(48 / row["shrink.factor"]), int(60 / row["shrink.factor"]))
                image = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
        expected = libjpeg(image.clamp(0, 1), [90])
        assert float((result - expected).abs().mean()) * 255 < 0.2  # a level of a float may be rounded to either side


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_noise_of_bsrgan_is_of_three_kinds(kind: int) -> None:
    keys = torch.tensor([12])
    gray = torch.full((1, 3, 128, 128), 0.5)
    noise = (add_noise_of_a_kind(gray, {"noise.kind": kind, "noise.level": 20}, keys) - gray)[0].flatten(1) * 255
    covariance = np.cov(noise.numpy())
    if kind == 0:
        expected = np.full((3, 3), 400.0)
    elif kind == 2:
        expected = np.diag([400.0] * 3)
    else:
        draws = Draws(keys_of_part(keys, 1))
        shares, entries = ([float(draws.uniform()) for _ in range(count)] for count in (3, 9))
        turn = np.linalg.svd(np.reshape(entries, (3, 3)))[0]
        expected = np.abs(turn.T @ np.diag(shares) @ turn) * 25**2
    np.testing.assert_allclose(covariance, expected, atol=25)


def test_bsrgan_with_gradients() -> None:
    image = (smooth(3, 48, 48) * 0.6 + 0.2).requires_grad_()
    Bsrgan(2, differentiable=True)(image, KEYS).sum().backward()
    assert image.grad is not None
    assert (image.grad != 0).flatten(1).any(1).all()
    with pytest.raises(UserError, match="differentiable=true"):
        Bsrgan(2)(image, KEYS)


# Real-ESRGAN


def test_real_esrgan_draws_what_the_published_code_draws() -> None:
    drawn = RealEsrgan(4).drawn(MANY)
    assert drawn["first.blur"].all()
    assert float(drawn["second.blur"].double().mean()) == pytest.approx(0.8, abs=0.03)
    chances = [0.45 * 0.9, 0.25 * 0.9, 0.12 * 0.9, 0.03 * 0.9, 0.12 * 0.9, 0.03 * 0.9, 0.1]
    for name, sigma, factor in (("first", 3.0, (0.15, 1.5)), ("second", 1.5, (0.3, 1.2))):
        assert (drawn[f"{name}.form"].bincount() / 3000).tolist() == pytest.approx(chances, abs=0.03)
        assert drawn[f"{name}.size"].unique().tolist() == list(range(7, 22, 2))
        assert 0.2 <= float(drawn[f"{name}.sigma_1"].min()) <= float(drawn[f"{name}.sigma_1"].max()) <= sigma
        assert factor[0] <= float(drawn[f"{name}.factor"].min()) <= float(drawn[f"{name}.factor"].max()) <= factor[1]
        isotropic = drawn[f"{name}.form"] % 2 == 0
        same = drawn[f"{name}.sigma_1"] == drawn[f"{name}.sigma_2"]
        assert same[isotropic & (drawn[f"{name}.form"] < 6)].all()
        generalised = (drawn[f"{name}.form"] == 2) | (drawn[f"{name}.form"] == 3)
        plateau = (drawn[f"{name}.form"] == 4) | (drawn[f"{name}.form"] == 5)
        assert float(drawn[f"{name}.beta"][generalised].min()) >= 0.5
        assert float(drawn[f"{name}.beta"][generalised].max()) <= 4
        assert float(drawn[f"{name}.beta"][plateau].min()) >= 1
        assert float(drawn[f"{name}.beta"][plateau].max()) <= 2
        assert 30 <= float(drawn[f"{name}.jpeg"].min()) <= float(drawn[f"{name}.jpeg"].max()) <= 95
    kept, larger = drawn["first.factor"] == 1, drawn["first.factor"] > 1
    assert float(kept.double().mean()) == pytest.approx(0.1, abs=0.02)
    assert float(larger.double().mean()) == pytest.approx(0.2, abs=0.03)
    small = drawn["first.size"] < 13
    assert float(drawn["first.cutoff"][small].min()) >= math.pi / 3
    assert float(drawn["first.cutoff"].min()) >= math.pi / 5
    assert float(drawn["first.cutoff"].max()) <= math.pi


@pytest.mark.parametrize("jpeg_first", [True, False])
def test_real_esrgan_ends_with_the_sinc_filter_and_jpeg_in_either_order(jpeg_first: bool) -> None:
    degrade = RealEsrgan(2, QUIET, QUIET, final_sinc=1.0, sharpen=False)
    keys = MANY[:50]
    drawn = degrade.drawn(keys)
    index = int((drawn["final.jpeg_first"] == jpeg_first).nonzero()[0, 0])
    mode = ("area", "bilinear", "bicubic")[int(drawn["second.mode"][index])]
    image = smooth(1, 48, 60)
    result = degrade(image, keys[index : index + 1])

    image = jpeg(image, torch.tensor([100]))
    image = F.interpolate(image, size=(24, 30), mode=mode).clamp(0, 1)
    if jpeg_first:
        image = jpeg(image, torch.tensor([100]))
    kernel = sinc_kernels(int(drawn["final.size"][index]), drawn["final.cutoff"][index : index + 1])[0].numpy()
    image = torch.from_numpy(ndimage.correlate(image.numpy(), kernel[None, None], mode="mirror")).clamp(0, 1)
    if not jpeg_first:
        image = jpeg(image, torch.tensor([100]))
    assert float((result - image).abs().mean()) * 255 < 0.6


def test_libjpeg_can_take_the_place_of_tensor_operations() -> None:
    hr = smooth(3, 60, 60)
    order = replace(QUIET, jpeg=(60, 60))
    ours = RealEsrgan(2, order, order)(hr, KEYS)
    theirs = RealEsrgan(2, order, order, differentiable=False)(hr, KEYS)
    # The second compression makes whole steps out of what the first one rounded to the other side.
    assert float((ours - theirs).abs().mean()) * 255 < 4
    assert not torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("degrade", "side", "kernel"),
    [(Bsrgan(2), 24, 25), (RealEsrgan(2), 20, 21)],
)
def test_kernel_larger_than_the_crop_is_refused(degrade: torch.nn.Module, side: int, kernel: int) -> None:
    with pytest.raises(UserError, match=rf"kernel of {kernel}x{kernel} pixels is larger than the crop of {side}x60"):
        degrade(torch.rand(1, 3, side, 60))


def test_bad_options_are_explained() -> None:
    with pytest.raises(UserError, match=r"scale is 2\.5"):
        Bsrgan(2.5)
    with pytest.raises(UserError, match="jpeg is"):
        Bsrgan(2, jpeg=(0, 50))
    with pytest.raises(UserError, match="noise is"):
        Bsrgan(2, noise=(30, 20))
    with pytest.raises(UserError, match="final_sinc is 2"):
        RealEsrgan(4, final_sinc=2)
    with pytest.raises(UserError, match="sigma is"):
        RealEsrgan(4, Order(1, (3, 1), (1, 1, 1), (0.5, 1.5), (1, 2), (1, 2), 0.4, (30, 95)))
