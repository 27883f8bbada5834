"""What a network costs and how far it sees: numbers that follow from its code alone, whatever its weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

# Widths of the strips in which the receptive field is looked for; what fills the last one is the whole image.
STRIPS = (48, 192, 768, 2048)


@dataclass(frozen=True)
class ReceptiveField:
    """How many pixels a side of its input one output pixel depends on.

    Attributes:
        lr: in LR pixels; None for the whole image, however large.
        enlarged: for a network behind a fixed enlargement, in pixels of the enlarged image, as papers state it.
    """

    lr: int | None
    enlarged: int | None = None


def parameters(network: nn.Module) -> int:
    """The number of trainable and frozen parameters, buffers not counted."""
    return sum(parameter.numel() for parameter in network.parameters())


def beside(network: nn.Module, lr: Tensor) -> dict[str, Any]:
    """What a network takes beside an LR image, zero everywhere: condition, degradation map, textures of references.

    Args:
        network: its `extra_inputs` and `takes_references` say what it takes.
        lr: (B, channels, h, w), whose device and precision all of it gets.

    Raises:
        ValueError: it takes an input that is not known here.
    """
    batch, _, height, width = lr.shape
    scale = getattr(network, "scale", 1)
    sizes: Any = network  # of which a type checker does not know what it says of its inputs
    made: dict[str, Any] = {}
    for name in getattr(network, "extra_inputs", ()):
        if name == "condition":
            made[name] = lr.new_zeros(batch, sizes.classes, scale * height, scale * width)
        elif name == "degradation_map":
            made[name] = lr.new_zeros(batch, sizes.maps, height, width)
        else:
            raise ValueError(f"{type(network).__name__} takes a {name}, which is not known here")
    if getattr(network, "takes_references", False):
        from sr_experiments.models.srntt import CELLS, LAYERS

        rows, columns = -(-scale * height // CELLS["relu3_1"]), -(-scale * width // CELLS["relu3_1"])
        finer = {name: CELLS["relu3_1"] // CELLS[name] for name in LAYERS}
        made["maps"] = {name: lr.new_zeros(batch, LAYERS[name], rows * n, columns * n) for name, n in finer.items()}
        made["similarity"] = lr.new_zeros(batch, 1, rows, columns)
    return made


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
        network(lr, **beside(network, lr))
    return counter.get_total_flops() // 2


PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.bmm)


def _learned(product: Any) -> Callable[..., int]:
    """Count a matrix product only if it belongs to the network: interpolation is computed in float64."""
    usual = flop_registry[product]

    def count(first: Tensor, second: Tensor, **rest: Any) -> int:
        return 0 if first.dtype == torch.float64 else usual(first, second, **rest)

    count._get_raw = True  # type: ignore[attr-defined]  # asks for the tensors in place of their shapes
    return count


@torch.no_grad()
def receptive_field(network: nn.Module, channels: int = 3) -> ReceptiveField:
    """How many pixels of its input an output pixel depends on, found by trying.

    One pixel of a long strip is not a number. Whatever is computed from it is none either, whatever the weights are:
    so many output pixels depend on it, and each of them on so many pixels of the input.

    Args:
        network: in evaluation mode, on the CPU.
        channels: of the LR image.
    """
    behind = None
    if getattr(network, "framework", None) == "pre":
        enlarge, network.upsample = network.upsample, Unchanged()
        behind = _seen(network, channels, 1)
        network.upsample = enlarge
    return ReceptiveField(_seen(network, channels, float(getattr(network, "scale", 1))), behind)


class Unchanged(nn.Module):
    """Stands in for an enlargement in front of a network: the image is large already."""

    def forward(self, x: Tensor, scale: float | None = None) -> Tensor:
        """The image as it is."""
        return x


def _seen(network: nn.Module, channels: int, scale: float) -> int | None:
    """Pixels along an axis of the input that an output pixel depends on; None for all of them."""
    for length in STRIPS:
        lr = torch.ones(1, channels, 2, length)
        lr[..., length // 2] = torch.nan
        extra = beside(network, lr)
        with Spreading():
            unknown = network(lr, **extra).isnan().flatten(0, 2).any(0)
        if not (unknown[0] or unknown[-1]):
            return math.ceil(int(unknown.sum()) / scale)
    return None


class Spreading(TorchFunctionMode):
    """Inside, "not a number" spreads to just those results that depend on it.

    Arithmetic does that by itself, with two exceptions. A product with 0 is not a number either, so that the zeros in
    a matrix that interpolates must be taken out. And a convolution is done with one channel a group in place of all,
    because all of its weights count alike, which makes the widest network quick.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return STAND_INS.get(func, func)(*args, **(kwargs or {}))


def _convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    thin, kernel = _one_channel(x, weight, groups)
    result = F.conv2d(thin, kernel, None, stride, padding, dilation, groups)
    return _all_channels(result, weight.shape[0] // groups)


def _convolve_transposed(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    thin, kernel = _one_channel(x, weight, groups)
    result = F.conv_transpose2d(thin, kernel, None, stride, padding, output_padding, groups, dilation)
    return _all_channels(result, weight.shape[1])


def _one_channel(x: Tensor, weight: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    # In float64, in which no library computes several pixels at once, so that one would spoil its neighbours.
    thin = x.unflatten(1, (groups, -1)).sum(2).double()
    return thin, thin.new_ones(groups, 1, *weight.shape[2:])


def _all_channels(x: Tensor, times: int) -> Tensor:
    # Ones, and no zeros, which a product would take for weights that let nothing through.
    return (x * 0 + 1).float().repeat_interleave(times, dim=1)


def _multiply(first: Tensor, second: Tensor) -> Tensor:
    def where(condition: Tensor) -> Tensor:
        return condition.to(first.dtype)

    met = where(first.isnan()) @ where(second != 0) + where(first != 0) @ where(second.isnan())
    return torch.where(met > 0, torch.nan, 1.0).to(first.dtype)


STAND_INS: dict[Any, Callable[..., Tensor]] = {
    F.conv2d: _convolve,
    F.conv_transpose2d: _convolve_transposed,
    torch.matmul: _multiply,
    Tensor.matmul: _multiply,
    Tensor.__matmul__: _multiply,
}
