"""What a network is given beside LR."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.inputs.base import Arguments, Input
from sr_experiments.models.traits import Traits, traits


def inputs_of(network: nn.Module | Traits) -> tuple[Input, ...]:
    """The inputs that a network takes beside LR.

    Raises:
        UserError: it names one that there is not.
    """
    said = network if isinstance(network, Traits) else traits(network)
    return tuple(named(each, said.name) if isinstance(each, str) else each for each in said.declared_inputs)


def named(name: str, network: str) -> Input:
    """The input of a name: the class of that name, in the module of that name here.

    Raises:
        UserError: there is none, though `network` asks for it.
    """
    module = f"sr_experiments.inputs.{name}"
    try:
        found = getattr(importlib.import_module(module), "".join(word.capitalize() for word in name.split("_")))
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(
            f"{network} takes an input {name!r}, which is not in {module}: write it there, or let the network's "
            "`inputs` have an object of a class derived from sr_experiments.inputs.Input."
        ) from error
    return found()


def side_inputs(network: nn.Module, batch: Mapping[str, Any]) -> Arguments:
    """What a network takes beside LR, out of a prepared batch.

    Args:
        network: is called with LR and with these.
        batch: a prepared batch: images, and what the stages found for the network.

    Returns:
        Name of an argument of the network's `forward` -> its value.
    """
    said = traits(network)
    given: Arguments = {"scale": batch["scale"]} if "scale" in batch else {}
    for each in inputs_of(said):
        given.update(each.of_batch(said, batch))
    return given


def stand_ins(network: nn.Module, lr: Tensor) -> Arguments:
    """Zeros in place of all that a network takes beside LR images (B, C, h, w), on their device, in their precision."""
    said = traits(network)
    given: Arguments = {}
    for each in inputs_of(said):
        given.update(each.stand_in(said, lr))
    return given
