"""What a network costs: numbers that follow from its code alone, whatever its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from sr_experiments.inputs import stand_ins


def parameters(network: nn.Module) -> int:
    """The number of trainable and frozen parameters, buffers not counted."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def multiply_adds(network: nn.Module, height: int, width: int, channels: int = 3) -> int:
    """Multiplications with an addition that one LR image takes: those of convolutions and matrix products.

    Interpolation by fixed weights, in front of a network or beside it, is left out as the papers leave it out;
    activations, norms and sums, too.

    Args:
        network: in evaluation mode, on the meta device, so that nothing is computed.
        height: of the LR image.
        width: of the LR image.
        channels: of the LR image.
    """
    lr = torch.empty(1, channels, height, width, device="meta")
    counter = FlopCounterMode(display=False, custom_mapping={product: _learned(product) for product in PRODUCTS})
    with counter:
        network(lr, **stand_ins(network, lr))
    return counter.get_total_flops() // 2


PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.bmm)


def _learned(product: Any) -> Callable[..., int]:
    """Count a matrix product only if it belongs to the network: interpolation is computed in float64."""
    usual = flop_registry[product]

    def count(first: Tensor, second: Tensor, **rest: Any) -> int:
        return 0 if first.dtype == torch.float64 else usual(first, second, **rest)

    count._get_raw = True  # type: ignore[attr-defined]  # asks for the tensors in place of their shapes
    return count
