"""The protocol: its options, its refusals, and the published bicubic rows."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sr_experiments.data.images import find_images, read_image
from sr_experiments.degradations import bicubic_upsample, imresize
from sr_experiments.errors import UserError
from sr_experiments.metrics import Protocol, full_range_luma, luma, psnr, ssim

SETS = {"Set5": "data/Set5", "Set14": "data/Set14", "BSD100": "data/BSDS500/val"}
RGB_PIPELINE = [
    ("Set5", 2, (33.68, 0.9305), (33.65, 0.9295)),
    ("Set5", 3, (30.40, 0.8690), (30.39, 0.8679)),
    ("Set5", 4, (28.43, 0.8113), (28.42, 0.8102)),
    ("Set14", 2, (30.24, 0.8692), (30.22, 0.8685)),
    ("Set14", 3, (27.54, 0.7746), (27.53, 0.7738)),
    ("Set14", 4, (26.00, 0.7031), (25.99, 0.7024)),
    pytest.param("BSD100", 2, None, (29.55, 0.8428), marks=pytest.mark.slow),
    pytest.param("BSD100", 3, None, (27.20, 0.7383), marks=pytest.mark.slow),
    pytest.param("BSD100", 4, (25.96, 0.6682), (25.96, 0.6674), marks=pytest.mark.slow),
]


def load(path: Path, scale: int) -> Tensor:
    """(1 or 3, H, W) in [0, 1], cut to a multiple of the scale; gray files have one channel."""
    image = torch.from_numpy(read_image(path, gray="keep")).permute(2, 0, 1).double() / 255
    height, width = image.shape[1:]
    return image[:, : height - height % scale, : width - width % scale]


def mean(rows: list[dict[str, float]]) -> tuple[float, float]:
    return sum(row["psnr"] for row in rows) / len(rows), sum(row["ssim"] for row in rows) / len(rows)


@pytest.mark.parametrize(("name", "scale", "y", "y_rounded"), RGB_PIPELINE)
def test_bicubic_rows_of_the_rgb_pipeline(
    assets: Path, name: str, scale: int, y: tuple[float, float] | None, y_rounded: tuple[float, float]
) -> None:
    rows: dict[str, list[dict[str, float]]] = {"y": [], "y_rounded": []}
    for path in find_images(assets / SETS[name]):
        hr = load(path, scale)
        lr = imresize(hr, scale=1 / scale, border="symmetric", rounding="final")
        sr = bicubic_upsample(lr, scale, border="symmetric")
        for channel, scores in rows.items():
            scores.append(Protocol(channel, border=scale).score(sr, hr))
    for channel, expected in (("y", y), ("y_rounded", y_rounded)):
        if expected is not None:
            got_psnr, got_ssim = mean(rows[channel])
            assert got_psnr == pytest.approx(expected[0], abs=0.0051)
            assert got_ssim == pytest.approx(expected[1], abs=0.00006)


@pytest.mark.parametrize(("scale", "expected"), [(2, (33.66, 0.9299)), (3, (30.39, 0.8682)), (4, (28.42, 0.8104))])
def test_published_row_of_set5_to_the_last_digit(assets: Path, scale: int, expected: tuple[float, float]) -> None:
    rows = []
    for path in find_images(assets / SETS["Set5"]):
        y = (luma(load(path, scale) * 255) + 0.5).floor() / 255
        sr = bicubic_upsample(imresize(y, scale=1 / scale), scale)
        rows.append(Protocol("y", border=scale).score(sr, y))
    got_psnr, got_ssim = mean(rows)
    assert (round(got_psnr, 2), round(got_ssim, 4)) == expected


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hr = torch.rand(3, 24, 30, generator=generator)
    return (hr + 0.1 * torch.randn(3, 24, 30, generator=generator)), hr


def levels(image: Tensor) -> Tensor:
    return (image.double().clamp(0, 1) * 255 + 0.5).floor()


def test_output_is_rounded_and_clipped_first(pair: tuple[Tensor, Tensor]) -> None:
    sr, hr = pair
    protocol = Protocol("rgb", border=0)
    assert sr.min() < 0
    assert sr.max() > 1
    assert protocol.score(sr, hr) == protocol.score(levels(sr) / 255, levels(hr) / 255)


@pytest.mark.parametrize("channel", ["y", "y_rounded", "rgb"])
def test_channels_and_border(pair: tuple[Tensor, Tensor], channel: str) -> None:
    planes = [levels(image) if channel == "rgb" else luma(levels(image)) for image in pair]
    if channel == "y_rounded":
        planes = [(plane + 0.5).floor() for plane in planes]
    planes = [plane[:, 3:-3, 3:-3] for plane in planes]
    scores = Protocol(channel, border=3).score(*pair)
    assert scores["psnr"] == pytest.approx(psnr(*planes).item(), abs=1e-12)
    assert scores["ssim"] == pytest.approx(ssim(*planes).item(), abs=1e-12)


def test_border_pixels_do_not_count(pair: tuple[Tensor, Tensor]) -> None:
    sr, hr = pair
    spoiled = sr.clone()
    spoiled[:, :4], spoiled[:, -4:], spoiled[..., :4], spoiled[..., -4:] = 0, 1, 0, 1
    assert Protocol("y", 4).score(spoiled, hr) == Protocol("y", 4).score(sr, hr)
    assert Protocol("y", 3).score(spoiled, hr) != Protocol("y", 3).score(sr, hr)


def test_gray_original_with_coloured_output(pair: tuple[Tensor, Tensor]) -> None:
    sr, hr = pair[0], pair[1][:1]
    gray = (full_range_luma(levels(sr)) + 0.5).floor()
    scores = Protocol("y", 0, gray="keep").score(sr, hr)
    assert scores["psnr"] == pytest.approx(psnr(gray, levels(hr)).item(), abs=1e-12)
    assert scores == Protocol("rgb", 0, gray="keep").score(sr, hr.expand(3, -1, -1), is_gray=True)
    as_rgb = Protocol("y", 0, gray="rgb").score(sr, hr)
    assert as_rgb == Protocol("y", 0, gray="keep").score(sr, hr.expand(3, -1, -1))
    assert as_rgb != scores


def test_gray_output_equals_the_same_in_three_channels(pair: tuple[Tensor, Tensor]) -> None:
    sr, hr = pair[0][:1], pair[1][:1]
    for gray in ("keep", "rgb"):
        protocol = Protocol("y", 2, gray)
        assert protocol.score(sr, hr) == protocol.score(sr.expand(3, -1, -1), hr)
    assert Protocol("y", 2).score(sr, pair[1]) == Protocol("y", 2).score(sr.expand(3, -1, -1), pair[1])


def test_identical_images(pair: tuple[Tensor, Tensor]) -> None:
    assert Protocol("y", 0).score(pair[1], pair[1]) == {"psnr": math.inf, "ssim": pytest.approx(1)}


def test_stamp_is_plain_and_complete() -> None:
    assert Protocol("y", 4).stamp() == {"channel": "y", "border": 4, "gray": "keep", "rounding": "8bit"}


def test_autocast_does_not_touch_the_numbers(pair: tuple[Tensor, Tensor]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = Protocol("y", 4).score(*pair)
    assert inside == Protocol("y", 4).score(*pair)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channel": "ycbcr", "border": 0}, "y, y_rounded, rgb"),
        ({"channel": "y", "border": -1}, "border is -1"),
        ({"channel": "y", "border": 0, "gray": "drop"}, "keep, rgb"),
    ],
)
def test_bad_options_are_explained(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Protocol(**options)


def test_images_that_cannot_be_scored_are_explained() -> None:
    image = torch.rand(3, 18, 40)
    with pytest.raises(UserError, match=r"40x18.*41x18"):
        Protocol("y", 0).score(image, torch.rand(3, 18, 41))
    with pytest.raises(UserError, match=r"40x18.*cutting 4.*11x11"):
        Protocol("y", 4).score(image, image)
    assert Protocol("y", 3).score(image, image / 2)["ssim"] < 1


def test_uint8_images_are_taken_as_levels(pair: tuple[Tensor, Tensor]) -> None:
    sr, hr = ((image.clamp(0, 1) * 255).round().byte() for image in pair)
    protocol = Protocol("y", 4)
    assert protocol.score(sr, hr) == protocol.score(sr.double() / 255, hr.double() / 255)
    with pytest.raises(UserError, match=r"type torch.int32 cannot be scored"):
        protocol.score(sr.int(), hr.int())
