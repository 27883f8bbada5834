"""Every network: its size as the papers state it, and every upsampler inside it at every scale."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from sr_experiments.app.compose import compose_config
from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError, find_user_error
from sr_experiments.inference.tiling import each_tensor
from sr_experiments.inputs import stand_ins
from sr_experiments.models.blocks import DIV2K_MEAN, ResidualBlock, ShiftMean, conv
from sr_experiments.models.edsr import EDSR
from sr_experiments.models.espcn import ESPCN
from sr_experiments.models.srcnn import SRCNN
from sr_experiments.models.srresnet import SRResNet
from sr_experiments.models.traits import traits
from sr_experiments.shipped import conf_dir
from sr_experiments.upsamplers import Interpolation, ResizeConv, SubPixel, Transposed

SCALES = (2, 3, 4, 8)


def options(group: str) -> list[str]:
    return sorted(file.stem for file in (conf_dir() / group).glob("*.yaml"))


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def refusal(error: BaseException) -> str:
    found = find_user_error(error)
    assert found is not None, repr(error)
    return str(found)


# sizes


@pytest.mark.parametrize(
    ("expected", "make"),
    [
        (8_129, lambda: SRCNN(3, Interpolation, channels=1, kernels=(9, 1, 5))),
        (57_281, lambda: SRCNN(3, Interpolation, channels=1, kernels=(9, 5, 5))),
        (20_099, lambda: SRCNN(3, Interpolation, channels=3, kernels=(9, 1, 5))),
        (24_752, lambda: ESPCN(4, partial(SubPixel, single_step=True), channels=1)),
        (22_729, lambda: ESPCN(3, partial(SubPixel, single_step=True), channels=1)),
        (21_284, lambda: ESPCN(2, partial(SubPixel, single_step=True), channels=1)),
        (1_549_462, lambda: SRResNet(4, SubPixel)),
        (43_089_923, lambda: EDSR(4, SubPixel, features=256, blocks=32, residual_scale=0.1)),
        (1_517_571, lambda: EDSR(4, SubPixel)),
        (1_369_859, lambda: EDSR(2, SubPixel)),
        (1_554_499, lambda: EDSR(3, SubPixel)),
    ],
)
def test_number_of_parameters(expected: int, make: Any) -> None:
    with torch.device("meta"):
        assert parameters(make()) == expected


@pytest.mark.parametrize(
    ("name", "scale", "expected"),
    [
        ("edsr", 4, 43_089_923),
        ("edsr_baseline", 4, 1_517_571),
        ("edsr_baseline", 3, 1_554_499),
        ("edsr_baseline", 2, 1_369_859),
        ("srresnet", 4, 1_549_462),
        ("srntt", 4, 1_222_528 + 2_865_347),
        ("srntt_content", 4, 1_222_528 + 295_619),
        # On three channels: 9*9*3*64+64, 5*5*64*32+32, 5*5*32*3+3.
        ("srcnn", 4, 15_616 + 51_232 + 2_403),
        # On three channels: 5*5*3*64+64, 3*3*64*32+32, 3*3*32*48+48.
        ("espcn", 4, 4_864 + 18_464 + 13_872),
    ],
)
def test_number_of_parameters_of_the_shipped_options(name: str, scale: int, expected: int) -> None:
    config = compose_config("train", [f"model={name}", f"scale={scale}"])
    with torch.device("meta"):
        assert parameters(instantiate(config.model)) == expected


# every network with every upsampler

# What makes a shipped network small enough for a test; keys that it does not have are left alone.
SMALL: dict[str, Any] = {
    "blocks": 1,
    "features": 8,
    "extracted": 8,
    "shrunk": 4,
    "layers": 2,
    "growth": 4,
    "groups": 2,
    "depth": 2,
    "recursions": 2,
    "units": 2,
    "stages": 2,
    "steps": 3,
    "reduction": 2,
    "condition": 4,
    "levels": [[1], [1], [1]],
}


@cache
def composed(name: str) -> DictConfig:
    return compose_config("train", [f"model={name}"])


def small(
    name: str, upsampler: str | None, scale: float, parts: Mapping[str, str] | None = None, **options: Any
) -> nn.Module:
    """A shipped network, shrunk, with a shipped upsampler (None: its own) and other shipped parts (group: option)."""
    config = composed(name).copy()
    config.scale = scale
    chosen = {**(parts or {}), **({} if upsampler is None else {"upsampler": upsampler})}
    for group, option in chosen.items():
        config[group] = OmegaConf.load(conf_dir() / group / f"{option}.yaml")
    if "hidden" in config.upsampler:
        config.upsampler.hidden = 4
    if name == "srntt":
        config.model.blocks = [1, 1, 1]
    block = config.get("block") or {}
    for part in (config.model, block, block.get("context") or {}):
        for key, value in {**SMALL, "content_blocks": 1, "scales": [scale]}.items():
            old = part.get(key)
            if old is not None and OmegaConf.is_list(old) == isinstance(value, list):
                part[key] = value
    torch.manual_seed(0)
    return instantiate(config.model, **options)


@cache
def classes() -> dict[str, type[nn.Module]]:
    """The class of every shipped option."""
    return {name: get_class(composed(name).model._target_) for name in options("model")}


def networks(framework: str) -> list[str]:
    return [name for name, kind in classes().items() if kind.framework == framework]


def upsamplers(*, learned: bool) -> list[str]:
    files = {name: conf_dir() / "upsampler" / f"{name}.yaml" for name in options("upsampler")}
    made = {name: instantiate(OmegaConf.load(file))(channels=4, scale=2) for name, file in files.items()}
    return [name for name, upsampler in made.items() if upsampler.learned == learned]


POST, PRE = networks("post"), networks("pre")
PROGRESSIVE, ITERATIVE = networks("progressive"), networks("iterative")
LEARNED, FIXED = upsamplers(learned=True), upsamplers(learned=False)
OF_WEIGHTS = [name for name, kind in classes().items() if traits(kind).needs_weights]
ANY_SCALE = [name for name, kind in classes().items() if traits(kind).real_scales]


def allowed_pairs() -> list[tuple[str, str]]:
    """Networks and the learned upsamplers that fit inside them."""
    inside = [name for name in (*POST, *PROGRESSIVE, *ITERATIVE) if name not in ANY_SCALE]
    return [(name, upsampler) for name in inside for upsampler in LEARNED] + [(n, "meta_upscale") for n in ANY_SCALE]


def test_the_groups_hold_what_is_tested_here() -> None:
    post = "carn carn_m edsr edsr_baseline espcn fsrcnn mdsr meta_rdn msrn rcan rdn san sft_gan small srdensenet srmd"
    assert {*post.split(), "srntt", "srntt_content", "srresnet"} <= set(POST)
    assert {"drcn", "drrn", "memnet", "srcnn", "vdsr"} <= set(PRE)
    assert {"lapsrn", "ms_lapsrn", "prosr"} <= set(PROGRESSIVE)
    assert {"dbpn", "dsrn"} <= set(ITERATIVE)
    assert sorted([*POST, *PRE, *PROGRESSIVE, *ITERATIVE, *OF_WEIGHTS]) == options("model")
    learned = "subpixel subpixel_single_step subpixel_grouped nearest_conv bilinear_conv transposed meta_upscale"
    assert set(learned.split()) <= set(LEARNED)
    assert {"bicubic", "bilinear", "nearest"} == set(FIXED)


def beside(network: nn.Module, lr: Tensor) -> dict[str, Any]:
    """Random numbers in place of all that a network takes beside LR images."""
    return each_tensor(stand_ins(network, lr), torch.rand_like)


def one_step(network: nn.Module, scale: float) -> None:
    torch.manual_seed(1)
    lr, hr = torch.rand(2, 3, 7, 6), torch.rand(2, 3, int(7 * scale), int(6 * scale))
    extra = beside(network, lr)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    before = sr = network(lr, **extra)
    # A layer that starts at zero hides those in front of it from the first step: they have theirs at the second.
    waiting = dict(network.named_parameters())
    for _ in range(2):
        assert sr.shape == hr.shape
        assert torch.isfinite(sr).all()
        (sr - hr).pow(2).mean().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            # A bias in front of a batch norm, or of a softmax over all it is added to, has the gradient 0.
            if parameter.grad.any() or name.endswith("bias"):
                waiting.pop(name, None)
        optimizer.step()
        optimizer.zero_grad()
        sr = network(lr, **extra)
        if not waiting:
            break
    assert not waiting
    assert torch.isfinite(sr).all()
    assert not torch.equal(sr, before)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("name", "upsampler"), allowed_pairs())
def test_network_trains_with_every_learned_upsampler(name: str, upsampler: str, scale: int) -> None:
    if scale in (traits(classes()[name]).possible_scales or SCALES):
        one_step(small(name, upsampler, scale), scale)
    else:
        with pytest.raises(Exception, match=f"cannot enlarge by scale={scale}") as caught:
            small(name, upsampler, scale)
        assert "2, 4 or 8" in refusal(caught.value)


@pytest.mark.parametrize("scale", [1.1, 1.5, 2.5, 3.7])
@pytest.mark.parametrize("name", ANY_SCALE)
def test_network_of_real_scales_trains_at_them(name: str, scale: float) -> None:
    one_step(small(name, "meta_upscale", scale), scale)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("upsampler", FIXED)
@pytest.mark.parametrize("name", PRE)
def test_pre_upsampling_network_trains_with_every_fixed_upsampler(name: str, upsampler: str, scale: int) -> None:
    one_step(small(name, upsampler, scale), scale)


@pytest.mark.parametrize("name", [name for name in options("model") if name not in OF_WEIGHTS])
def test_network_works_on_luma(name: str) -> None:
    network = small(name, None, 2, channels=1)
    lr = torch.rand(1, 1, 6, 6)
    assert network(lr, **beside(network, lr)).shape == (1, 1, 12, 12)


# pairs that make no sense


@pytest.mark.parametrize("upsampler", LEARNED)
@pytest.mark.parametrize("name", PRE)
def test_pre_upsampling_network_refuses_a_learned_upsampler(name: str, upsampler: str) -> None:
    if upsampler in ("subpixel_grouped", "dysample"):
        with pytest.raises(Exception, match="must divide the 3 channels"):
            small(name, upsampler, 4)
        return
    with pytest.raises(Exception, match="enlarged before") as caught:
        small(name, upsampler, 4)
    assert "choose a fixed one, upsampler=bicubic, bilinear or nearest" in refusal(caught.value)


@pytest.mark.parametrize("upsampler", FIXED)
@pytest.mark.parametrize("name", sorted({name for name, _ in allowed_pairs()} - set(ANY_SCALE)))
def test_network_that_enlarges_inside_refuses_a_fixed_upsampler(name: str, upsampler: str) -> None:
    with pytest.raises(Exception, match="inside the network") as caught:
        small(name, upsampler, 4)
    message = refusal(caught.value)
    for fits in ("subpixel", "nearest_conv", "bilinear_conv", "transposed"):
        assert fits in message


@pytest.mark.parametrize("upsampler", sorted({*LEARNED, *FIXED} - {"meta_upscale"}))
@pytest.mark.parametrize("name", ANY_SCALE)
def test_network_of_real_scales_refuses_an_upsampler_of_whole_ones(name: str, upsampler: str) -> None:
    with pytest.raises(Exception, match="any real number") as caught:
        small(name, upsampler, 4)
    assert "use upsampler=meta_upscale, or model=rdn" in refusal(caught.value)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model=srresnet"], SubPixel),
        (["model=srresnet", "upsampler=transposed"], Transposed),
        (["upsampler=transposed", "model=srresnet"], Transposed),
        (["model=espcn", "upsampler=nearest_conv"], ResizeConv),
        (["model=srcnn"], Interpolation),
    ],
)
def test_the_command_line_wins_over_the_upsampler_of_the_paper(overrides: list[str], expected: type) -> None:
    network = instantiate(compose_config("train", overrides).model)
    assert type(network.upsample) is expected


def test_espcn_brings_its_single_step() -> None:
    network = instantiate(compose_config("train", ["model=espcn", "scale=4"]).model)
    assert [m.upscale_factor for m in network.modules() if isinstance(m, nn.PixelShuffle)] == [4]


@pytest.mark.parametrize(
    "wrong", [{"kernels": (9, 5)}, {"kernels": (9, 4, 5)}, {"features": (64,)}, {"features": (64, 32, 16)}]
)
def test_srcnn_refuses_layers_that_do_not_fit(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="three odd kernels and two features"):
        SRCNN(4, Interpolation, **wrong)


# what they compute


def make_identity(layer: nn.Conv2d) -> None:
    with torch.no_grad():
        nn.init.dirac_(layer.weight)
        nn.init.zeros_(layer.bias)


def test_srcnn_of_identity_kernels_is_bicubic() -> None:
    network = SRCNN(3, Interpolation, features=(3, 3), kernels=(9, 1, 5))
    for layer in network.layers:
        if isinstance(layer, nn.Conv2d):
            make_identity(layer)
    lr = torch.rand(1, 3, 9, 8) * 0.5 + 0.25
    assert torch.allclose(network(lr), bicubic_upsample(lr, scale=3), atol=1e-6)


def test_srcnn_continues_the_image_at_its_border() -> None:
    sr = SRCNN(2, Interpolation)(torch.full((1, 3, 6, 7), 0.4))
    assert torch.allclose(sr, sr[:, :, :1, :1].expand_as(sr), atol=1e-6)


def test_edsr_without_a_tail_paints_the_mean_colour() -> None:
    network = EDSR(2, SubPixel, features=4, blocks=1)
    nn.init.zeros_(network.tail.weight)
    nn.init.zeros_(network.tail.bias)
    sr = network(torch.rand(2, 3, 4, 5))
    assert torch.allclose(sr, torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1).expand(2, 3, 8, 10))


def test_edsr_sees_the_image_without_its_mean() -> None:
    network = EDSR(2, SubPixel, features=4, blocks=1)
    seen: list[Tensor] = []
    network.head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    network(torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1).expand(1, 3, 4, 4))
    assert seen[0].abs().max() == 0


def test_shift_mean_is_not_part_of_the_weights() -> None:
    assert ShiftMean((0.1, 0.2, 0.3), -1).state_dict() == {}
    x = torch.rand(1, 3, 2, 2)
    assert torch.allclose(ShiftMean((0.1, 0.2, 0.3), +1)(ShiftMean((0.1, 0.2, 0.3), -1)(x)), x)


def test_residual_block_adds_the_scaled_residual() -> None:
    block = ResidualBlock(2, residual_scale=0.1)
    make_identity(block.body[0])
    make_identity(block.body[2])
    x = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)
    expected = torch.tensor([1.1, -2.0]).view(1, 2, 1, 1).expand(1, 2, 3, 3)  # ReLU stops the second channel
    assert torch.allclose(block(x), expected)


def test_residual_block_of_srresnet_has_the_order_of_figure_4() -> None:
    block = ResidualBlock(2, activation=nn.PReLU, norm=nn.BatchNorm2d)
    assert [type(layer) for layer in block.body] == [nn.Conv2d, nn.BatchNorm2d, nn.PReLU, nn.Conv2d, nn.BatchNorm2d]


@pytest.mark.parametrize("kernel", [1, 3, 5, 9])
def test_conv_keeps_the_size(kernel: int) -> None:
    assert conv(2, 5, kernel)(torch.rand(1, 2, 7, 4)).shape == (1, 5, 7, 4)


def test_srresnet_evaluates_every_image_on_its_own() -> None:
    network = SRResNet(2, SubPixel, features=4, blocks=1).eval()
    batch = torch.rand(3, 3, 6, 6)
    alone = torch.cat([network(image[None]) for image in batch])
    assert torch.allclose(network(batch), alone, atol=1e-6)


def test_networks_know_neither_lightning_nor_hydra() -> None:
    for file in Path(conf_dir().parent / "sr_experiments" / "models").rglob("*.py"):
        text = file.read_text()
        assert not any(f"import {name}" in text or f"from {name}" in text for name in ("hydra", "pytorch_lightning"))
