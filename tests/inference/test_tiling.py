"""Tiles that fit without a seam, the self-ensemble, and how far a network is found to look."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.inference.receptive_field import reach
from sr_experiments.inference.tiling import enlarge_image, self_ensemble
from sr_experiments.models.edsr import EDSR
from sr_experiments.models.espcn import ESPCN
from sr_experiments.models.srcnn import SRCNN
from sr_experiments.models.srresnet import SRResNet
from sr_experiments.upsamplers import Interpolation, ResizeConv, SubPixel, Transposed


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth areas, an edge and noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    gray = 128 + 60 * np.sin(rows / 7) + 50 * (columns > width // 2) + random.normal(0, 8, (height, width))
    return np.stack([gray, gray * 0.8, 255 - gray], axis=-1).clip(0, 255).astype(np.uint8)


def srresnet() -> SRResNet:
    """With running statistics as after training."""
    network = SRResNet(2, SubPixel, features=16, blocks=3)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=0.2)
            nn.init.uniform_(layer.running_var, 0.1, 0.5)
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "edsr": lambda: EDSR(2, SubPixel, features=16, blocks=3),
    "edsr_transposed": lambda: EDSR(3, Transposed, features=8, blocks=2, residual_scale=0.1),
    "edsr_bilinear": lambda: EDSR(2, lambda **place: ResizeConv(**place, mode="bilinear"), features=8, blocks=2),
    "srresnet": srresnet,
    "espcn": lambda: ESPCN(4, SubPixel),
    "srcnn": lambda: SRCNN(2, Interpolation),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[request.param]().eval()


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


def test_tiled_equals_untiled_to_one_gray_level(network: nn.Module) -> None:
    pixels, scale = photo(61, 83), network.scale
    overlap = reach(network, scale)
    whole = enlarge_image(network, pixels, scale, tile=0, overlap=0)
    assert whole.shape == (61 * scale, 83 * scale, 3)
    for tile in (8, 19, 32, 61, 80, 500):
        assert difference(enlarge_image(network, pixels, scale, tile, overlap), whole) <= 1, tile
    # The overlap is what it takes: tiles that do not see each other have seams.
    assert difference(enlarge_image(network, pixels, scale, tile=19, overlap=0), whole) > 1


def test_tiled_self_ensemble_equals_the_untiled_one() -> None:
    torch.manual_seed(0)
    network = NETWORKS["edsr"]().eval()
    pixels, overlap = photo(40, 53), reach(network, 2)
    both = [enlarge_image(self_ensemble(network), pixels, 2, tile, overlap) for tile in (0, 17)]
    assert difference(*both) <= 1


@settings(max_examples=40)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    tile=st.integers(0, 35),
    spare=st.integers(0, 5),
    scale=st.integers(1, 4),
)
def test_any_image_in_tiles_of_any_size(height: int, width: int, tile: int, spare: int, scale: int) -> None:
    def enlarge(lr: Tensor) -> Tensor:  # looks 2 pixels far
        blurred = F.avg_pool2d(lr, 5, stride=1, padding=2, count_include_pad=True)
        return F.interpolate(blurred, scale_factor=scale, mode="nearest")

    pixels = photo(height, width, seed=height * 31 + width)
    padded = np.pad(pixels.astype(float), ((2, 2), (2, 2), (0, 0)))
    blurred = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (0, 1)).mean((-2, -1))
    expected = blurred.repeat(scale, 0).repeat(scale, 1)
    result = enlarge_image(enlarge, pixels, scale, tile, overlap=2 + spare)
    assert np.abs(result - expected).max() <= 0.5 + 1e-3


def test_no_tile_is_larger_than_it_may_be() -> None:
    seen = []

    def enlarge(lr: Tensor) -> Tensor:
        seen.append(lr.shape)
        return lr

    pixels = photo(50, 70)
    assert difference(enlarge_image(enlarge, pixels, 1, tile=16, overlap=3), pixels) == 0
    assert len(seen) == math.ceil(50 / 16) * math.ceil(70 / 16)
    assert max(max(shape[2:]) for shape in seen) <= 16 + 2 * 3


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    tile=st.integers(0, 20),
    overlap=st.integers(0, 5),
    step=st.integers(1, 3),
)
def test_windows_begin_and_end_at_steps_or_at_the_border(
    height: int, width: int, tile: int, overlap: int, step: int
) -> None:
    def beside(top: int, left: int, high: int, wide: int) -> dict[str, slice]:
        for start, side, length in ((top, high, height), (left, wide, width)):
            assert start % step == 0
            assert (start + side) % step == 0 or start + side == length
            assert side <= (max(tile, step) + 2 * (overlap + step - 1) if tile else length)
        return {"rows": slice(top, top + high), "columns": slice(left, left + wide)}

    def enlarge(lr: Tensor, rows: slice, columns: slice) -> Tensor:
        window = torch.from_numpy(pixels[rows, columns].transpose(2, 0, 1).copy())[None].float() / 255
        assert torch.equal(lr, window)
        return lr

    pixels = photo(height, width)
    assert difference(enlarge_image(enlarge, pixels, 1, tile, overlap, step, beside), pixels) == 0


def test_no_gradient_is_recorded() -> None:
    network = NETWORKS["espcn"]()
    recorded = []

    def enlarge(lr: Tensor) -> Tensor:
        sr = network(lr)
        recorded.append(sr.requires_grad)
        return sr

    enlarge_image(enlarge, photo(8, 8), 4, tile=0, overlap=0)
    assert recorded == [False]


# self-ensemble


def orientations(x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The eight flips and turns, by NumPy."""
    return [np.rot90(side, turns, (-2, -1)).copy() for side in (x, x[..., ::-1]) for turns in range(4)]


def test_self_ensemble_equals_a_direct_loop() -> None:
    torch.manual_seed(0)
    network = NETWORKS["edsr"]().eval()
    lr = torch.rand(1, 3, 6, 9)
    with torch.no_grad():
        result = self_ensemble(network)(lr).numpy()
        total = np.zeros_like(result)
        for flipped in (False, True):
            for turns in range(4):
                x = lr.numpy()[..., ::-1] if flipped else lr.numpy()
                sr = network(torch.from_numpy(np.rot90(x, turns, (-2, -1)).copy())).numpy()
                back = np.rot90(sr, -turns, (-2, -1))
                total += back[..., ::-1] if flipped else back
    assert np.abs(result - total / 8).max() < 1e-6


def test_self_ensemble_sees_every_orientation_once() -> None:
    seen = []

    def enlarge(lr: Tensor) -> Tensor:
        seen.append(lr.numpy().tobytes() + bytes(lr.shape))
        return lr

    lr = torch.arange(3 * 2 * 3, dtype=torch.float32).view(1, 3, 2, 3)
    assert torch.equal(self_ensemble(enlarge)(lr), lr)
    assert sorted(seen) == sorted(x.tobytes() + bytes(x.shape) for x in orientations(lr.numpy()))


def test_self_ensemble_turns_with_its_input() -> None:
    torch.manual_seed(0)
    network = NETWORKS["espcn"]().eval()
    lr = torch.rand(1, 3, 5, 8)
    with torch.no_grad():
        ensemble = self_ensemble(network)
        upright = ensemble(lr).numpy()
        turned = [ensemble(torch.from_numpy(x)).numpy() for x in orientations(lr.numpy())]
        alone = [network(torch.from_numpy(x)).numpy() for x in orientations(lr.numpy())]
        plain = network(lr).numpy()
    for result, expected in zip(turned, orientations(upright), strict=True):
        assert np.abs(result - expected).max() < 1e-6
    # The network alone does not.
    assert max(np.abs(a - b).max() for a, b in zip(alone, orientations(plain), strict=True)) > 1e-3
