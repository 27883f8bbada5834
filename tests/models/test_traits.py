"""What networks say about themselves, also inside the wrappers of torch."""

from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from sr_experiments.app.compose import compose_config
from sr_experiments.models.traits import cell_of, traits


def made(name: str, *overrides: str) -> nn.Module:
    return instantiate(compose_config("train", [f"model={name}", *overrides]).model)


class Silent(nn.Module):
    def forward(self, lr: Tensor) -> Tensor:
        return lr


def test_a_network_that_says_nothing_has_defaults() -> None:
    said = traits(Silent())
    assert (said.name, said.framework, said.scale, said.channels) == ("Silent", None, 1, 3)
    assert said.inputs == said.scales == ()
    assert said.possible_scales is None
    assert not any([said.takes_scale, said.makes_outputs, said.names_last_layer, said.takes_references])
    assert not any([said.needs_weights, said.needs_first_stage, said.real_scales])


def test_shipped_networks_say_what_they_are() -> None:
    carn = traits(made("carn"))
    assert (carn.framework, carn.scales, carn.takes_scale) == ("post", (2, 3, 4), True)
    lapsrn = traits(made("lapsrn"))
    assert lapsrn.makes_outputs
    assert lapsrn.possible_scales == (2, 4, 8)
    srcnn = traits(network := made("srcnn", "model.channels=1", "scale=3"))
    assert srcnn.last_layer is network.last_layer
    assert srcnn.upsample is network.upsample
    assert (srcnn.framework, srcnn.channels, srcnn.scale) == ("pre", 1, 3)
    assert traits(made("srmd", "model.maps=5")).input_channels == {"degradation_map": 5}
    assert traits(made("sft_gan")).inputs == ("condition",)
    srntt = traits(made("srntt", "model.freeze_content=true"))
    assert srntt.takes_references
    assert srntt.needs_first_stage
    assert srntt.begin_from is not None
    assert cell_of(network) == 1
    assert cell_of(made("edsr_baseline", "block=wavelet", "model.blocks=1")) == 2


@pytest.mark.parametrize("wrap", [torch.compile, AveragedModel, nn.DataParallel])
def test_wrapped_networks_say_the_same(wrap: type[nn.Module]) -> None:
    network = made("memnet", "scale=2", "model.blocks=1", "model.features=4")
    inside = wrap(network).module if wrap is AveragedModel else network
    assert traits(wrap(inside)).name == "MemNet"
    assert traits(wrap(inside)).makes_outputs
    assert traits(wrap(inside)).takes_scale


def test_a_class_says_what_its_instances_have_in_common() -> None:
    from sr_experiments.models.fsrcnn import FSRCNN

    assert traits(FSRCNN).names_last_layer
    assert traits(FSRCNN).framework == "post"
    assert not traits(FSRCNN).takes_scale
