"""Pillow's resize against Pillow.

Pillow 13 and older ones take the two axes in different orders for some sizes, but one axis at a time they all agree:
two calls, horizontal first, are what the papers' versions computed in one.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from sr_experiments.degradations import PillowResize, pillow_resize
from sr_experiments.errors import UserError

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "area": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
side = st.integers(1, 50)


def ours(pixels: NDArray[np.uint8], size: tuple[int, int], kernel: str) -> NDArray[np.uint8]:
    image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    result = pillow_resize(image, size, kernel)
    return (result * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


@settings(max_examples=200)
@given(
    height=side,
    width=side,
    new_height=side,
    new_width=side,
    kernel=st.sampled_from(sorted(FILTERS)),
    contrast=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_equals_pillow_to_the_bit(
    height: int, width: int, new_height: int, new_width: int, kernel: str, contrast: bool, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if contrast:
        pixels = np.where(pixels < 128, 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    expected = image.resize((new_width, height), FILTERS[kernel]).resize((new_width, new_height), FILTERS[kernel])
    np.testing.assert_array_equal(ours(pixels, (new_height, new_width), kernel), np.asarray(expected))


@pytest.mark.parametrize("kernel", FILTERS)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_equals_one_call_of_pillow(kernel: str, scale: int) -> None:
    pixels = np.random.default_rng(scale).integers(0, 256, (72, 96, 3), dtype=np.uint8)
    for size in ((72 // scale, 96 // scale), (72 * scale, 96 * scale)):
        expected = Image.fromarray(pixels).resize((size[1], size[0]), FILTERS[kernel])
        np.testing.assert_array_equal(ours(pixels, size, kernel), np.asarray(expected))


@pytest.mark.parametrize("kernel", FILTERS)
def test_module_is_batched_and_rounds_the_size_up(kernel: str) -> None:
    hr = torch.rand(3, 3, 21, 26)
    degrade = PillowResize(4, kernel)
    lr = degrade(hr, key=torch.arange(3))
    assert lr.shape == (3, 3, 6, 7)
    assert lr.dtype == torch.float32
    assert torch.equal(lr, torch.cat([degrade(image[None]) for image in hr]))


def test_constant_stays_constant() -> None:
    image = torch.full((1, 1, 30, 30), 77 / 255)
    torch.testing.assert_close(PillowResize(3, "lanczos")(image), torch.full((1, 1, 10, 10), 77 / 255))


def test_gradient_goes_straight_through() -> None:
    image = (torch.rand(1, 1, 16, 16) * 0.5 + 0.25).requires_grad_()
    PillowResize(4)(image).sum().backward()
    assert image.grad is not None
    # Every input pixel is shared out among the outputs; together they have the weight of all 16 outputs.
    torch.testing.assert_close(image.grad.sum(), torch.tensor(16.0), rtol=1e-4, atol=0)


def test_bad_options_are_explained() -> None:
    with pytest.raises(UserError, match="bicubic, lanczos"):
        PillowResize(4, "hamming")
    with pytest.raises(UserError, match="scale is -1"):
        PillowResize(-1)
    with pytest.raises(ValueError, match="positive size"):
        pillow_resize(torch.rand(4, 4), (0, 3))
    with pytest.raises(TypeError, match="int64"):
        pillow_resize(torch.ones(4, 4, dtype=torch.int64), (2, 2))
