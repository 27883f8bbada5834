"""EnhanceNet: its size, its two bicubic skips, and the scores of the published weights."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sr_experiments.data.evaluation import EvaluationImages
from sr_experiments.data.photos import benchmark_set
from sr_experiments.degradations import PillowResize, bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.metrics import Protocol
from sr_experiments.models.enhancenet import MEAN, EnhanceNet, tensorflow_bicubic
from sr_experiments.models.weights import load_weights, network_state, read_checkpoint
from sr_experiments.upsamplers import Interpolation, ResizeConv, SubPixel, Transposed

LEARNED = (ResizeConv, partial(ResizeConv, mode="bilinear"), SubPixel, partial(SubPixel, single_step=True), Transposed)


def silence(network: EnhanceNet) -> EnhanceNet:
    """Let the network add nothing to its skip."""
    last = network.tail[-1]
    assert isinstance(last, nn.Conv2d)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return network


def keys(distance: float) -> float:
    """Keys' cubic kernel with a = -0.75, as 'Cubic convolution interpolation' (1981) writes it."""
    a, x = -0.75, abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def bicubic_by_loops(image: Tensor, scale: int) -> Tensor:
    """Every output pixel from its 16 neighbours, straight from the definition."""
    height, width = image.shape
    result = torch.zeros(height * scale, width * scale, dtype=torch.float64)
    for row in range(height * scale):
        for column in range(width * scale):
            y, x = row / scale, column / scale
            for i in range(math.floor(y) - 1, math.floor(y) + 3):
                for j in range(math.floor(x) - 1, math.floor(x) + 3):
                    pixel = image[min(max(i, 0), height - 1), min(max(j, 0), width - 1)]
                    result[row, column] += keys(y - i) * keys(x - j) * pixel
    return result


# size and shape


@pytest.mark.parametrize(
    ("expected", "make"),
    [
        # 3*3*3*64+64, 20 and 3 times 3*3*64*64+64, 3*3*64*3+3.
        (1_792 + 23 * 36_928 + 1_731, lambda: EnhanceNet(4, ResizeConv)),
        (852_867, lambda: EnhanceNet(4, ResizeConv)),
        (852_867 - 36_928, lambda: EnhanceNet(2, ResizeConv)),
        (896 + 11 * 9_248 + 867, lambda: EnhanceNet(4, ResizeConv, features=32, blocks=4)),
    ],
)
def test_number_of_parameters(expected: int, make: partial[EnhanceNet]) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in make().parameters()) == expected


@pytest.mark.parametrize("skip", ["bicubic", "tensorflow"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("upsampler", LEARNED)
def test_enlarges_with_every_learned_upsampler(upsampler: partial[ResizeConv], scale: int, skip: str) -> None:
    network = EnhanceNet(scale, upsampler, features=8, blocks=1, skip=skip)
    sr = network(torch.rand(2, 3, 5, 7))
    assert sr.shape == (2, 3, 5 * scale, 7 * scale)
    assert sr.isfinite().all()


def test_fixed_upsampler_is_refused() -> None:
    with pytest.raises(UserError, match="EnhanceNet"):
        EnhanceNet(4, Interpolation)


# the skip


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tensorflow_bicubic_is_that_of_the_definition(scale: int) -> None:
    image = torch.rand(2, 2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    enlarged = tensorflow_bicubic(image, scale)
    for b in range(2):
        for c in range(2):
            expected = bicubic_by_loops(image[b, c], scale)
            torch.testing.assert_close(enlarged[b, c], expected, rtol=0, atol=1e-12)


def test_tensorflow_bicubic_by_hand() -> None:
    # Half way, a = -0.75 weighs the four neighbours with -3/32, 19/32, 19/32, -3/32.
    row = torch.tensor([0.0, 0.0, 32.0, 0.0, 0.0]).expand(1, 1, 1, 5)
    enlarged = tensorflow_bicubic(row, 2)[0, 0]
    expected = torch.tensor([0.0, -3.0, 0.0, 19.0, 32.0, 19.0, 0.0, -3.0, 0.0, 0.0])
    torch.testing.assert_close(enlarged, expected.expand(2, 10))


def test_tensorflow_bicubic_keeps_every_pixel_at_its_corner() -> None:
    image = torch.rand(1, 3, 6, 5)
    torch.testing.assert_close(tensorflow_bicubic(image, 4)[..., ::4, ::4], image)


@pytest.mark.parametrize("channels", [1, 3])
def test_without_a_residual_the_skip_is_left(channels: int) -> None:
    lr = torch.rand(1, channels, 6, 5)
    network = silence(EnhanceNet(3, ResizeConv, channels=channels, features=8, blocks=1))
    torch.testing.assert_close(network(lr), bicubic_upsample(lr, scale=3))
    network = silence(EnhanceNet(3, ResizeConv, channels=channels, features=8, blocks=1, skip="tensorflow"))
    torch.testing.assert_close(network(lr), tensorflow_bicubic(lr, 3))


@pytest.mark.parametrize("skip", ["bicubic", "tensorflow"])
def test_skip_stays_exact_under_autocast(skip: str) -> None:
    lr = torch.rand(1, 3, 6, 5)
    network = silence(EnhanceNet(4, ResizeConv, features=8, blocks=1, skip=skip))
    expected = network(lr)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(network(lr), expected, rtol=0, atol=1e-6)


def test_network_sees_the_image_without_its_mean() -> None:
    network = EnhanceNet(2, ResizeConv, features=8, blocks=1)
    lr = torch.tensor(MEAN).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert not network.subtract_mean(lr).any()


def test_blocks_have_no_activation_after_the_sum() -> None:
    network = EnhanceNet(2, ResizeConv, features=4, blocks=2)
    negative = torch.full((1, 4, 3, 3), -1.0)
    for block in network.body:
        nn.init.zeros_(block.body[2].weight)
        nn.init.zeros_(block.body[2].bias)
    torch.testing.assert_close(network.body(negative), negative)


def test_unknown_skip_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.skip=nearest .* bicubic or tensorflow"):
        EnhanceNet(4, ResizeConv, skip="nearest")


# the published weights


def scores_of_published(assets: Path, name: str) -> tuple[float, float]:
    """Mean PSNR and SSIM of EnhanceNet-PAT as its authors measure it: Pillow's Lanczos, every image as RGB."""
    network = EnhanceNet(4, ResizeConv, skip="tensorflow").eval()
    file = assets / "weights" / "enet_pat_tf.npz"
    load_weights(network, network_state(read_checkpoint(file)), file)
    protocol, degradation = Protocol("y", border=4, gray="rgb"), PillowResize(4, "lanczos")
    scores = []
    for item in EvaluationImages(benchmark_set(assets / "data", name, 4), 4):
        hr = item["hr"][None].float() / 255
        with torch.no_grad():
            scores.append(protocol.score(network(degradation(hr))[0], hr[0]))
    return tuple(sum(score[metric] for score in scores) / len(scores) for metric in ("psnr", "ssim"))


def check_scores(assets: Path, name: str, psnr: float, ssim: float) -> None:
    measured = scores_of_published(assets, name)
    assert measured == (pytest.approx(psnr, abs=0.02), pytest.approx(ssim, abs=0.0005))


def test_published_weights_score_on_set5(assets: Path) -> None:
    check_scores(assets, "Set5", 28.57, 0.8103)


@pytest.mark.slow
def test_published_weights_score_on_set14(assets: Path) -> None:
    check_scores(assets, "Set14", 25.77, 0.6782)
