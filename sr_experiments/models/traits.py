"""What a network says about itself, read in one place.

A network says it with plain attributes of its class or of itself, all of them optional:

    framework           where it enlarges: `pre`, `post`, `progressive` or `iterative`; free text for others
    scale               its enlargement
    channels            of the images it takes and makes: 3 (RGB) or 1 (luma)
    scales              enlargements that it is built for, where it is built for several
    possible_scales     the only enlargements that it can be built for
    real_scales         True: it enlarges by any real number, not by whole ones alone
    inputs              what it takes beside LR: names of modules of `sr_experiments.inputs`, or `Input`s of one's own
    input_channels      name of an input -> its channels, for inputs whose channels the network decides
    needs_weights       True: it is empty without weights, so that there is nothing to train or to run before
    needs_first_stage   True: a part of it is frozen, whose weights an earlier training makes
    last_layer          the layer that makes the image, which may learn at a rate of its own
    upsample            of a `pre` network: what enlarges the image in front of it
    subtract_mean       the `ShiftMean` at its entrance
    outputs             (lr, ...) -> the images that it makes on its way, the last of them its output
    begin_from          state -> state: the weights to begin with, made out of an earlier stage's
    build_from          (state, source) -> state: become the network of these weights
    convert_published   state -> `Converted`: see `models.conversion`
    cell                of any module in it: windows of an image must begin at multiples of it, in LR pixels

A `forward` with an argument `scale` can be asked for another enlargement at every call.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

WRAPPERS = (DataParallel, DistributedDataParallel, AveragedModel)


@dataclass(frozen=True)
class Traits:
    """What a network says about itself; the attributes are described at the top of this module.

    Attributes:
        name: the name of its class, for messages.
        inputs: names of what it takes beside LR.
        declared_inputs: the same as the network has them, names or objects.
        takes_scale: whether `forward` can be asked for an enlargement.
    """

    name: str
    framework: str | None
    scale: float
    channels: int
    scales: tuple[float, ...]
    possible_scales: tuple[float, ...] | None
    real_scales: bool
    takes_scale: bool
    inputs: tuple[str, ...]
    declared_inputs: tuple[Any, ...]
    input_channels: Mapping[str, int]
    needs_weights: bool
    needs_first_stage: bool
    last_layer: nn.Module | None
    upsample: nn.Module | None
    subtract_mean: nn.Module | None
    outputs: Callable[..., Any] | None
    begin_from: Callable[..., Any] | None
    build_from: Callable[..., Any] | None
    convert_published: Callable[..., Any] | None

    @property
    def makes_outputs(self) -> bool:
        """Whether it makes images on its way."""
        return self.outputs is not None

    @property
    def names_last_layer(self) -> bool:
        """Whether it says which layer makes the image."""
        return self.last_layer is not None

    @property
    def takes_references(self) -> bool:
        """Whether it takes textures of reference images."""
        return "textures" in self.inputs


def traits(network: nn.Module | type[nn.Module]) -> Traits:
    """What a network says about itself.

    Args:
        network: a module, also compiled, averaged or distributed; or a class of networks, of which what only a built
            network knows (scale, channels, ...) has its default.
    """
    network = unwrap(network) if isinstance(network, nn.Module) else network

    def said(name: str, default: Any = None) -> Any:
        return getattr(network, name, default)

    declared = tuple(said("inputs", ()))
    possible = said("possible_scales")
    return Traits(
        name=network.__name__ if isinstance(network, type) else type(network).__name__,
        framework=said("framework"),
        scale=said("scale", 1),
        channels=said("channels", 3),
        scales=tuple(said("scales", ())),
        possible_scales=None if possible is None else tuple(possible),
        real_scales=said("real_scales", False),
        takes_scale="scale" in inspect.signature(network.forward).parameters,
        inputs=tuple(each if isinstance(each, str) else each.name for each in declared),
        declared_inputs=declared,
        input_channels=said("input_channels", {}),
        needs_weights=said("needs_weights", False),
        needs_first_stage=said("needs_first_stage", False),
        last_layer=said("last_layer"),
        upsample=said("upsample"),
        subtract_mean=said("subtract_mean"),
        outputs=said("outputs"),
        begin_from=said("begin_from"),
        build_from=said("build_from"),
        convert_published=said("convert_published"),
    )


def cell_of(network: nn.Module) -> int:
    """The number of LR pixels at whose multiples windows of an image must begin: the `cell`s of all its modules."""
    return math.lcm(*(getattr(module, "cell", 1) for module in network.modules()))


def unwrap(network: nn.Module) -> nn.Module:
    """The network inside torch.compile, DataParallel, DistributedDataParallel and moving averages."""
    while True:
        if isinstance(network, WRAPPERS):
            network = network.module
        elif "_orig_mod" in network._modules:  # torch.compile(network)
            network = network._modules["_orig_mod"]  # type: ignore[assignment]
        else:
            return network
