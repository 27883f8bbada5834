"""What a network is given beside LR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from sr_experiments.models.traits import traits


def side_inputs(network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """What a network takes beside LR, out of a prepared batch.

    Args:
        network: is called with LR and with these.
        batch: a prepared batch: images, and what the stages found for the network.

    Returns:
        Name of an argument of the network's `forward` -> its value.
    """
    said = traits(network)
    if said.takes_references:
        return {"maps": batch["maps"], "similarity": batch["similarity"]}
    given = {name: batch[name] for name in said.inputs}
    return {**given, "scale": batch["scale"]} if "scale" in batch else given
