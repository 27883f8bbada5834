"""Networks whose blocks and activations can be chosen: every one with every option, and what is refused."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from sr_experiments.app.compose import compose_config
from sr_experiments.app.config import check_config
from sr_experiments.app.trained import load_trained, portable_config
from sr_experiments.errors import UserError
from sr_experiments.inference.enlarger import Enlarger
from sr_experiments.models.blocks import HalvedBlock, PyramidPooling, ResidualBlock, XUnit, relu
from sr_experiments.models.blocks.attention import ChannelAttention, SecondOrderAttention
from sr_experiments.models.edsr import EDSR
from sr_experiments.models.rcan import RCAN
from sr_experiments.shipped import conf_dir
from sr_experiments.upsamplers import SubPixel
from tests.models.test_networks import composed, one_step, options, parameters, refusal, small

TAKERS = [name for name in options("model") if "block" in composed(name).model]
READY = ["trainer.precision=32-true", "paths.run_folder=x"]


def test_the_groups_hold_what_is_tested_here() -> None:
    trunks = "edsr edsr_baseline enhancenet mdsr msrn msrresnet rcan san small srresnet"
    assert set(trunks.split()) <= set(TAKERS)
    assert all("activation" in composed(name).model for name in TAKERS)
    blocks = "residual residual_bn dense rrdb recursive multi_path channel_attention second_order_attention non_local"
    more = "pyramid_pooling dilated grouped wavelet desubpixel"
    assert {*blocks.split(), *more.split()} == set(options("block"))
    assert options("activation") == ["gelu", "leaky_relu", "prelu", "relu", "silu", "tanh", "xunit"]


def awake(network: nn.Module) -> nn.Module:
    """Open the few units within attention and pooling: in so small a network all of them may be shut by their ReLU."""
    for module in network.modules():
        if isinstance(module, ChannelAttention | SecondOrderAttention):
            nn.init.ones_(module.weigh[0].bias)
        elif isinstance(module, PyramidPooling):
            for layers in module.narrow:
                nn.init.ones_(layers[0].bias)
    return network


@pytest.mark.parametrize("block", options("block"))
@pytest.mark.parametrize("name", TAKERS)
def test_network_trains_with_every_block(name: str, block: str) -> None:
    one_step(awake(small(name, None, 2, {"block": block})), 2)


@pytest.mark.parametrize("activation", options("activation"))
@pytest.mark.parametrize("name", TAKERS)
def test_network_trains_with_every_activation(name: str, activation: str) -> None:
    one_step(awake(small(name, None, 2, {"activation": activation})), 2)


@pytest.mark.parametrize("block", options("block"))
def test_every_block_trains_with_an_activation_that_has_weights(block: str) -> None:
    network = small("edsr", None, 3, {"block": block, "activation": "xunit"})
    assert any(isinstance(module, XUnit) for module in network.modules())
    one_step(awake(network), 3)


@pytest.mark.parametrize("name", TAKERS)
def test_the_shipped_block_is_that_of_a_config_without_one(name: str) -> None:
    config = composed(name).copy()
    few = {key: 1 for key in ("blocks", "groups") if key in config.model}
    torch.manual_seed(0)
    shipped = instantiate(config.model, **few)
    OmegaConf.set_struct(config, False)
    del config.model["block"], config.model["activation"]
    torch.manual_seed(0)
    older = instantiate(config.model, **few)
    assert str(shipped) == str(older)
    assert all(torch.equal(value, older.state_dict()[key]) for key, value in shipped.state_dict().items())


def test_the_command_line_wins_over_the_block_of_the_paper() -> None:
    chosen = ["block=wavelet", "activation=xunit", "activation.kernel=5", "block.transform=desubpixel"]
    for overrides in ([*chosen, "model=srresnet"], ["model=srresnet", *chosen]):
        config = compose_config("train", [*overrides, "model.blocks=2", *READY])
        check_config(config)
        network = instantiate(config.model)
        assert [type(block) for block in network.body[:2]] == [HalvedBlock] * 2
        assert {module.distance[2].kernel_size for module in network.modules() if isinstance(module, XUnit)} == {(5, 5)}
        assert not any(isinstance(module, nn.PReLU) for module in network.modules())
        assert network.body[0].transform == "desubpixel"


@pytest.mark.parametrize("option", ["block=dense", "activation=gelu"])
def test_a_network_that_takes_none_refuses(option: str) -> None:
    group = option.split("=")[0]
    with pytest.raises(UserError, match=rf"no {group} to choose, so nothing would read {group}=\.\.\.") as caught:
        check_config(compose_config("train", ["model=espcn", option, *READY]))
    assert "edsr_baseline, enhancenet, mdsr" in str(caught.value)
    assert "espcn" not in str(caught.value)


@pytest.mark.parametrize("override", ["model.block=dense", "model.activation=gelu", "model.upsampler=carafe"])
def test_a_part_written_into_the_model_is_told_its_place(override: str) -> None:
    with pytest.raises(UserError, match=f"write {override.removeprefix('model.')}"):
        check_config(compose_config("train", ["model=rcan", override, *READY]))


def test_groups_that_do_not_divide_the_features_are_refused() -> None:
    with pytest.raises(Exception, match="groups") as caught:
        instantiate(compose_config("train", ["model=edsr_baseline", "block=grouped", "model.features=30"]).model)
    assert refusal(caught.value) == "block.groups=4 must divide the 30 features of the network."


def test_the_reduction_of_rcan_is_an_option_of_its_block() -> None:
    def rcan(**options: Any) -> RCAN:
        return RCAN(2, SubPixel, features=8, groups=1, blocks=1, **options)

    attention = next(module for module in rcan(reduction=2).modules() if isinstance(module, ChannelAttention))
    assert attention.weigh[0].out_channels == 4
    with pytest.raises(UserError, match=r"set block\.context\.reduction"):
        rcan(reduction=2, block=ResidualBlock)


@pytest.mark.parametrize("transform", ["haar", "desubpixel"])
def test_tiles_do_not_divide_the_squares_of_halved_blocks(transform: str) -> None:
    torch.manual_seed(0)
    block = partial(HalvedBlock, transform=transform)
    network = EDSR(2, SubPixel, features=8, blocks=2, block=block).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (61, 47, 3), np.uint8)
    whole = Enlarger(network, 2, tile=0)(pixels).astype(int)
    assert Enlarger(network, 2, tile=15).step == 2
    assert abs(Enlarger(network, 2, tile=15)(pixels).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("older", [False, True])
def test_a_checkpoint_is_opened_with_its_parts(older: bool, tmp_path: Path) -> None:
    chosen = [] if older else ["block=wavelet", "activation=prelu"]
    config = compose_config("train", ["model=small", "model.features=8", "model.blocks=2", *chosen, *READY])
    state = instantiate(config.model).state_dict()
    carried = portable_config(config)
    if older:  # from before blocks could be chosen
        del carried["model"]["block"], carried["model"]["activation"]
    torch.save(
        {"state_dict": {f"network.{key}": value for key, value in state.items()}, "config": carried},
        tmp_path / "a.ckpt",
    )
    network = load_trained(tmp_path / "a.ckpt").network
    assert [type(block) for block in network.body[:2]] == [ResidualBlock if older else HalvedBlock] * 2
    assert any(isinstance(module, nn.PReLU) for module in network.modules()) is not older
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_the_documentation_has_every_part_and_its_size() -> None:
    text = (conf_dir().parent / "docs" / "blocks.md").read_text()
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    _, *rows = [[cell.strip() for cell in line] for line in lines]
    sizes = {}
    for option in options("block"):
        made = instantiate(OmegaConf.load(conf_dir() / "block" / f"{option}.yaml"))(64, activation=relu)
        sizes[f"`{option}`"] = f"{parameters(made):,}"
    assert {row[0]: row[-1] for row in rows} == sizes
    own = {row[0].strip("`"): row[3].replace("`", "").split(", ") for row in rows if row[3]}
    for name in TAKERS:
        assert [block for block, names in own.items() if name in names] == [choice("block", name)]
        assert f"`{name}`" in text
    for option in options("activation"):
        assert f"`{option}`" in text
    assert f"{parameters(XUnit(64)):,} parameters" in text


def choice(group: str, model: str) -> str:
    """The option that a model's config picks."""
    chosen = re.search(
        rf"override /{group}@_global_.{group}: (\w+)", (conf_dir() / "model" / f"{model}.yaml").read_text()
    )
    assert chosen is not None
    return chosen[1]
