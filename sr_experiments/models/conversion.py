"""Published weights: from their authors' names and layout to those of our networks.

A network whose weights were published elsewhere has a method `convert_published(state) -> state`, which `load_weights`
calls on weights that do not fit by name. What it does not recognise it passes on as it is, so that weights that fit
only in part are still refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn


def layers_with_weights(network: nn.Module) -> list[str]:
    """Names of the layers that have weights of their own, in the order of their definition."""
    return [name for name, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))]


def rename_in_order(
    network: nn.Module, state: Mapping[str, Tensor], layouts: Iterable[Sequence[str]]
) -> dict[str, Tensor]:
    """Give weights our names, taking the k-th layer of a published layout for the k-th layer of `network`.

    Args:
        network: its layers are defined in the order in which they run.
        state: weights named LAYER.KIND, as in `conv_first.bias`.
        layouts: for each known layout the names of its layers, in the order in which they run; the one that shares
            most names with `state` is taken.

    Returns:
        The same tensors; names that the layout does not know are kept.
    """
    layers = {name.rpartition(".")[0] for name in state}
    layout = max(layouts, key=lambda names: len(layers.intersection(names)))
    ours = dict(zip(layout, layers_with_weights(network), strict=False))
    renamed = {}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"{ours[layer]}.{kind}" if layer in ours else name] = value
    return renamed


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
