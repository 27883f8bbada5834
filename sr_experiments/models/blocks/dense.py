"""Dense connections: layers that see the results of all layers before them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.models.blocks.basic import conv


class DenseLayers(nn.Module):
    """Convolutions with ReLU, each of which sees the concatenated results of those before it.

    Args:
        features: channels of the input.
        growth: channels that each layer adds.
        layers: number of layers.
        keep_input: whether the input counts as a result: seen by every layer, and part of the output.
    """

    def __init__(self, features: int, growth: int, layers: int, *, keep_input: bool = True) -> None:
        super().__init__()
        seen = [features + k * growth if keep_input or k == 0 else k * growth for k in range(layers)]
        self.layers = nn.ModuleList(nn.Sequential(conv(width, growth), nn.ReLU()) for width in seen)
        self.keep_input = keep_input

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> (B, layers * growth [+ features], h, w)."""
        known = [x] if self.keep_input else []
        for layer in self.layers:
            known.append(layer(torch.cat(known, dim=1) if known else x))
        return torch.cat(known, dim=1)


class ResidualDenseBlock(nn.Module):
    """x + a 1x1 convolution of densely connected layers (RDN's block, arXiv 1802.08797, section 3.2).

    Args:
        features: channels of the feature map.
        growth: channels that each layer adds.
        layers: number of layers.
    """

    def __init__(self, features: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = DenseLayers(features, growth, layers)
        self.fuse = conv(features + layers * growth, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        return x + self.fuse(self.layers(x))
