"""Dense connections: layers that see the results of all layers before them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.models.blocks.activations import leaky_relu, relu
from sr_experiments.models.blocks.basic import conv
from sr_experiments.models.blocks.factories import ActivationFactory

RESIDUAL_SCALE = 0.2  # of ESRGAN's blocks


class DenseLayers(nn.Module):
    """Convolutions with an activation, each of which sees the concatenated results of those before it.

    Args:
        features: channels of the input.
        growth: channels that each layer adds.
        layers: number of layers.
        keep_input: whether the input counts as a result: seen by every layer, and part of the output.
        activation: makes the activations.
    """

    def __init__(
        self,
        features: int,
        growth: int,
        layers: int,
        *,
        keep_input: bool = True,
        activation: ActivationFactory = relu,
    ) -> None:
        super().__init__()
        seen = [features + k * growth if keep_input or k == 0 else k * growth for k in range(layers)]
        self.layers = nn.ModuleList(nn.Sequential(conv(width, growth), activation(growth)) for width in seen)
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
        growth: channels that each layer adds; None for as many as the feature map has, which is RDN's choice.
        layers: number of layers.
        activation: makes the activations.
        residual_scale: what the residual is multiplied with before it is added.
    """

    def __init__(
        self,
        features: int,
        growth: int | None = None,
        layers: int = 8,
        *,
        activation: ActivationFactory = relu,
        residual_scale: float = 1.0,
    ) -> None:
        super().__init__()
        growth = features if growth is None else growth
        self.layers = DenseLayers(features, growth, layers, activation=activation)
        self.fuse = conv(features + layers * growth, features, 1)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        return x + self.residual_scale * self.fuse(self.layers(x))


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the results of all before it; x + 0.2 * the last.

    Args:
        features: channels of the feature map.
        growth: channels that each of the first four convolutions adds.
        activation: makes the activations, which the last convolution has none of.
    """

    def __init__(self, features: int, growth: int, activation: ActivationFactory = leaky_relu) -> None:
        super().__init__()
        outputs = [growth, growth, growth, growth, features]
        self.convs = nn.ModuleList(conv(features + k * growth, width) for k, width in enumerate(outputs))
        self.activations = nn.ModuleList(activation(growth) for _ in outputs[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        known = [x]
        for layer, activation in zip(self.convs[:-1], self.activations, strict=True):
            known.append(activation(layer(torch.cat(known, dim=1))))
        return x + RESIDUAL_SCALE * self.convs[-1](torch.cat(known, dim=1))


class ResidualInResidual(nn.Module):
    """x + 0.2 * three dense blocks ("RRDB": ESRGAN's block, arXiv 1809.00219, section 3.1).

    Args:
        features: channels of the feature map.
        growth: see `DenseBlock`.
        activation: likewise; the paper's leaks a fifth.
        residual_scale: a further factor of the residual.
    """

    def __init__(
        self,
        features: int,
        growth: int = 32,
        *,
        activation: ActivationFactory = leaky_relu,
        residual_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(*(DenseBlock(features, growth, activation) for _ in range(3)))
        self.residual_scale = RESIDUAL_SCALE * residual_scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        return x + self.residual_scale * self.body(x)
