"""How far a network sees: a number that follows from its code alone, whatever its weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sr_experiments.inference.colour import in_colour
from sr_experiments.inputs import stand_ins
from sr_experiments.models.traits import traits

# Widths of the strips in which the receptive field is looked for; what fills the last one is the whole image.
STRIPS = (48, 192, 768, 2048)

ROWS = 8  # of a strip, so that padding has something to mirror

WIDEST = 64  # LR pixels that a tile sees beyond its sides at most


@dataclass(frozen=True)
class ReceptiveField:
    """How many pixels a side of its input one output pixel depends on.

    Attributes:
        lr: in LR pixels; None for the whole image, however large.
        enlarged: for a network behind a fixed enlargement, in pixels of the enlarged image, as papers state it.
    """

    lr: int | None
    enlarged: int | None = None


def receptive_field(network: nn.Module, channels: int = 3) -> ReceptiveField:
    """How many pixels of its input an output pixel depends on, found by trying.

    One pixel of a long strip is not a number, nor is what a network takes beside it. Whatever is computed from it is
    none either, whatever the weights are: so many output pixels depend on it, and each of them on so many pixels of
    the input.

    Args:
        network: in evaluation mode, on the CPU.
        channels: of the LR image.
    """

    def width(scale: float) -> int | None:
        unknown = _unknown(network, network, channels, STRIPS)
        return None if unknown is None else math.ceil((unknown.last - unknown.first + 1) / scale)

    said = traits(network)
    behind = None
    if said.framework == "pre" and said.upsample is not None:
        with said.upsample.register_forward_hook(lambda _, given, made: given[0]):  # the image is large already
            behind = width(1)
    return ReceptiveField(width(said.scale), behind)


def reach(network: nn.Module, scale: int, step: int = 1) -> int:
    """How many LR pixels beyond its sides a tile must see, for the same image as without tiles; at most `WIDEST`.

    A network that looks further, or at the whole image (pooling, attention), gets the widest: the error is seldom seen.

    Args:
        network: in evaluation mode; of RGB or luma.
        scale: its enlargement.
        step: what windows of the image are aligned to.
    """
    on_cpu = network if all(p.device.type == "cpu" for p in network.parameters()) else copy.deepcopy(network).cpu()
    unknown = _unknown(in_colour(on_cpu), on_cpu, 3, [length for length in STRIPS if length <= 4 * WIDEST], step)
    if unknown is None:
        return WIDEST
    if unknown.last < unknown.first:  # it does not look at its input
        return 0
    before, behind = unknown.start - unknown.first // scale, unknown.last // scale - (unknown.start + step - 1)
    return min(max(before, behind, 0), WIDEST)


class Unknown(NamedTuple):
    """What depends on some columns of the input, of which `start` is the first: the output's from `first` to `last`."""

    start: int
    first: int
    last: int


@torch.no_grad()
def _unknown(
    enlarge: nn.Module, network: nn.Module, channels: int, strips: Sequence[int], step: int = 1
) -> Unknown | None:
    """What depends on `step` columns in the middle of a strip, the shortest that is long enough; None if none is.

    Args:
        enlarge: what is looked at.
        network: itself or the network in it, which says what it takes beside LR.
        channels: of the LR image.
        strips: lengths to try.
        step: the columns begin at a multiple of it, and are as many.
    """
    for length in strips:
        lr = torch.ones(1, channels, ROWS * step, length)
        given = stand_ins(network, lr)
        start = length // 2 // step * step
        for values in _images([lr, *given.values()]):
            ratio = values.shape[-1] / length
            values[..., round(start * ratio) : math.ceil((start + step) * ratio)] = torch.nan
        with Spreading():
            columns = enlarge(lr, **given).isnan().flatten(0, 2).any(0)
        (places,) = columns.nonzero(as_tuple=True)
        if not len(places):
            return Unknown(start, 0, -1)
        if not (columns[0] or columns[-1]):
            return Unknown(start, int(places[0]), int(places[-1]))
    return None


def _images(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Mapping):
            yield from _images(value.values())
        elif value.ndim == 4:
            yield value


class Spreading(TorchFunctionMode):
    """Inside, "not a number" spreads to just those results that depend on it.

    Arithmetic does that by itself, with three exceptions. A product with 0 is not a number either, so that the zeros in
    a matrix that interpolates must be taken out. What is sampled at a place that is not a number is not one. And a
    convolution is done with one channel a group in place of all, because all of its weights count alike, which makes
    the widest network quick.
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


def _sample(image: Tensor, grid: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    unknown = grid.isnan().any(-1)[:, None]
    return F.grid_sample(image, grid.nan_to_num(0), *args, **kwargs).masked_fill(unknown, torch.nan)


STAND_INS: dict[Any, Callable[..., Tensor]] = {
    F.conv2d: _convolve,
    F.conv_transpose2d: _convolve_transposed,
    F.grid_sample: _sample,
    torch.matmul: _multiply,
    Tensor.matmul: _multiply,
    Tensor.__matmul__: _multiply,
}
