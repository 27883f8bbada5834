"""Published weights: from their authors' names, layout and range of images to those of our networks.

A network whose weights were published elsewhere has a method `convert_published(state) -> Converted`, which
`load_weights` calls on weights that do not fit by name. What it does not recognise it passes on as it is, so that
weights that fit only in part are still refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.blocks.attention import ChannelAttention
from sr_experiments.models.blocks.basic import ShiftMean
from sr_experiments.models.traits import traits

# Convolutions that subtract and add the mean colour: EDSR-PyTorch's, and CARN-pytorch's.
MEAN_SHIFTS = re.compile(r"(sub|add)_mean\.(?:shifter\.)?(weight|bias)")


@dataclass(frozen=True)
class Layout:
    """How the weights of a network were published.

    Attributes:
        source: where, for messages.
        layers: its names of the layers that have weights, in the order in which our network defines them.
        image_range: its networks take and make images in [0, image_range]; a mean colour in the file knows better.
        has_biases: whether its convolutions have any; to have none is to have biases of zero.
    """

    source: str
    layers: Sequence[str]
    image_range: float = 1.0
    has_biases: bool = True


class Converted(NamedTuple):
    """Weights under our names, as far as they were known, and where the layout is from that they had ('': unknown)."""

    state: dict[str, Tensor]
    source: str


def layers_with_weights(network: nn.Module) -> list[str]:
    """Names of the layers that have weights of their own, in the order of their definition."""
    return [name for name, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))]


def convert(network: nn.Module, state: Mapping[str, Tensor], layouts: Iterable[Layout]) -> Converted:
    """Turn published weights into those with which `network` makes the same image in [0, 1].

    Args:
        network: its layers are defined in the order in which they run.
        state: weights named LAYER.KIND, as in `conv_first.bias`.
        layouts: the known ones; the one that shares most names with `state` is taken, its k-th layer for the k-th of
            `network`.

    Returns:
        The same tensors but for the biases, which are those for images in [0, 1]; names that the layout does not know
        are kept.

    Raises:
        UserError: the weights belong to another mean colour than the network subtracts.
    """
    own = layers_with_weights(network)
    layers = {name.rpartition(".")[0] for name in state}
    layout = max([Layout("", own), *layouts], key=lambda known: len(layers.intersection(known.layers)))
    if not layout.source:
        return Converted(dict(state), "")
    image_range = layout.image_range
    shift = traits(network).subtract_mean
    if isinstance(shift, ShiftMean):
        image_range = _range_of_means(state, -shift.mean.flatten().cpu(), type(network).__name__) or image_range
        state = {name: value for name, value in state.items() if not MEAN_SHIFTS.fullmatch(name)}
    ours = dict(zip(layout.layers, own, strict=False))
    renamed = {}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"{ours[layer]}.{kind}" if layer in ours else name] = value
    if not layout.has_biases:
        renamed = _with_zero_biases(network, renamed)
    return Converted(to_unit_range(network, renamed, image_range), layout.source)


def to_unit_range(network: nn.Module, state: Mapping[str, Tensor], image_range: float) -> dict[str, Tensor]:
    """From weights for images in [0, image_range] to those for [0, 1] that make the same image.

    Convolutions without bias, (leaky) ReLU, sums and pixel shuffling only scale with their input: f(r x) / r is f(x)
    with all biases divided by r. Channel attention is to weigh as before: it sees its input times r.

    Args:
        network: of convolutions, (leaky) ReLU, sums, pixel shuffling and channel attention.
        state: its weights.
        image_range: r.
    """
    if image_range == 1:
        return dict(state)
    attentions = [name for name, module in network.named_modules() if isinstance(module, ChannelAttention)]
    inside = tuple(f"{name}.weigh." for name in attentions)
    entrances = {f"{name}.weigh.0.weight" for name in attentions}
    scaled = {}
    for name, value in state.items():
        is_bias = name.endswith(".bias") and not name.startswith(inside)
        scaled[name] = value * image_range if name in entrances else value / image_range if is_bias else value
    return scaled


def _range_of_means(state: Mapping[str, Tensor], mean: Tensor, network: str) -> float | None:
    """The range of images that follows from the mean colours in `state`, which must be multiples of `mean`."""
    found = {match.group(1, 2): value for name, value in state.items() if (match := MEAN_SHIFTS.fullmatch(name))}
    image_range = None
    for (sign, kind), value in found.items():
        value = value.flatten().float()
        if kind == "weight":
            fits = torch.equal(value, torch.eye(len(mean)).flatten())
        elif fits := value.shape == mean.shape:
            factor = round(float(value @ mean / (mean @ mean)), 2)
            image_range = abs(factor)
            fits = (factor < 0) == (sign == "sub") and torch.allclose(value, factor * mean, rtol=1e-4)
        if not fits:
            raise UserError(
                f"These weights shift colours by {sign}_mean.{kind} = {[round(float(v), 4) for v in value]}, but "
                f"{network} by the mean {[round(float(m), 4) for m in mean]}, so that it would make another image."
            )
    return image_range


def _with_zero_biases(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add a bias of zero to every layer whose weight is there; nothing if any bias is."""
    filled = dict(state)
    if not any(name.endswith(".bias") for name in state):
        for name, value in network.state_dict().items():
            if name.endswith(".bias") and f"{name.removesuffix('bias')}weight" in state:
                filled[name] = torch.zeros_like(value)
    return filled


def from_tensorflow(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn TensorFlow's LAYER/weights and LAYER/biases into LAYER.weight and LAYER.bias of PyTorch's layout.

    Args:
        state: convolutions of layout (kh, kw, in, out); `|` may stand for `/`.

    Returns:
        Convolutions of layout (out, in, kh, kw); what is named otherwise is kept.
    """
    converted = {}
    for name, value in state.items():
        match = re.fullmatch(r"(.+)[/|](weight|bias)e?s", name)
        layout = value.permute(3, 2, 0, 1).contiguous() if match and value.ndim == 4 else value
        converted[f"{match[1].replace('|', '/')}.{match[2]}" if match else name] = layout
    return converted
