"""The shipped options against the parameter counts of their papers and of their authors' code."""

from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from sr_experiments.app.compose import compose_config
from sr_experiments.models.lapsrn import ImageDoubling

PROSRS = [
    "model.features=24",
    "model.growth=12",
    "model.levels=[[6,6,6,6],[6,6],[6]]",
    "model.residual_scale=null",
    "model.level_compression=0.5",
]


def made(option: str, *overrides: str) -> nn.Module:
    with torch.device("meta"):
        return instantiate(compose_config("train", [f"model={option}", *overrides]).model)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def weights(network: nn.Module) -> int:
    """Weights of convolutions, without biases, norms and activations: what many papers count."""
    return sum(p.numel() for p in network.parameters() if p.ndim == 4)


@pytest.mark.parametrize(
    ("option", "overrides", "expected"),
    [
        ("fsrcnn", ["model.channels=1"], 12_809),
        ("fsrcnn", ["model.channels=1", "scale=3"], 12_809),
        ("vdsr", ["model.channels=1"], 665_921),
        ("dbpn", [], 10_426_358),
        ("dbpn", ["scale=2"], 5_953_526),
        ("dbpn", ["scale=8"], 23_205_878),
        ("mdsr", [], 7_953_987),
        ("carn", [], 1_591_939),
        ("carn", ["model.scales=[4]"], 1_111_875),
        ("carn_m", [], 414_787),
        ("msrn", [], 6_078_019),
        ("msrn", ["scale=2"], 5_930_307),
        ("rdn", [], 22_271_107),
        ("rdn", ["scale=2"], 22_123_395),
        ("rcan", [], 15_592_355),
        ("rcan", ["scale=2"], 15_444_643),
        ("rcan", ["scale=3"], 15_629_283),
        ("rcan", ["scale=8"], 15_740_067),
        ("sft_gan", [], 1_833_763),
        ("meta_rdn", [], 22_419_072),
        ("meta_rdn", ["scale=2"], 22_419_072),
        ("srmd", [], 1_553_200),
    ],
)
def test_parameters(option: str, overrides: list[str], expected: int) -> None:
    assert parameters(made(option, *overrides)) == expected


@pytest.mark.parametrize(
    ("option", "overrides", "published", "others"),
    [
        ("fsrcnn", [], 12_464, 173 + 172),  # biases, PReLU
        ("vdsr", [], 664_704, 19 * 64 + 1),
        ("drcn", [], 1_774_080, 4 * 256 + 1 + 16),  # biases, weights of the images
        # Biases; batch norms in front of the first convolution, of 2 * 25 and of the last.
        ("drrn", [], 297_216, 3 * 128 + 1 + 2 * (1 + 2 * 25 * 128 + 128)),
        # Biases; batch norms in front of the first convolution, 2 * 36, six gates, and six times the last; weights.
        ("memnet", [], 676_992, 64 * (1 + 12 + 6) + 1 + 2 * (1 + 64 * (2 * 36 + 57 + 6)) + 6),
        ("lapsrn", [], 812_768, 64 + 2 * (11 * 64 + 1)),
        ("lapsrn", ["upsampler=transposed"], 870_112, 64 + 2 * (11 * 64 + 1)),
    ],
)
def test_weights_as_the_papers_count_them(option: str, overrides: list[str], published: int, others: int) -> None:
    network = made(option, "model.channels=1", *overrides)
    assert weights(network) == published
    assert parameters(network) == published + others


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_ms_lapsrn_has_as_many_weights_at_every_scale(scale: int) -> None:
    network = made("ms_lapsrn", "model.channels=1", f"scale={scale}")
    assert isinstance(network.enlarge, ImageDoubling)
    assert weights(network) - network.enlarge.weight.numel() == 222_336


def test_carn_m_has_the_published_412k_weights() -> None:
    assert weights(made("carn_m")) == 412_032


def test_sizes_of_which_only_the_order_is_published() -> None:
    assert round(parameters(made("prosr")), -5) == 15_500_000
    assert parameters(made("prosr", *PROSRS)) == 2_550_191
    # Published: 15.7M; the authors' code has a convolution more, which it never applies.
    assert parameters(made("san")) == 15_822_444
    # Of others' tables: 2,015K and 389.9G multiply-adds for 1280x720, counted at the output of each layer.
    network = made("srdensenet", "model.channels=1")
    assert parameters(network) == pytest.approx(2_015_000, rel=0.006)
    assert multiply_adds(network, 180, 320) == pytest.approx(389.9, rel=0.003)
    # The authors' code, counted by hand: in, two links within, up, out.
    expected = (9 * 64 + 64) + (9 * 64 * 128 + 128) + 4 * (9 * 128 * 128 + 128) + (4 * 128 * 128 + 128) + (9 * 128 + 1)
    assert parameters(made("dsrn", "model.channels=1", "scale=2")) == expected


def multiply_adds(network: nn.Module, height: int, width: int) -> float:
    """Billions of them in the convolutions, each weight counted once for every output pixel."""
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(module.weight, nn.Parameter)
        total += module.weight.numel() * output.shape[2] * output.shape[3]

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(count)
    network(torch.empty(1, 1, height, width, device="meta"))
    return total / 1e9
