"""Several paths side by side: kernels of several sizes, and cascades that fuse what came before."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sr_experiments.models.blocks.activations import relu
from sr_experiments.models.blocks.basic import conv
from sr_experiments.models.blocks.factories import ActivationFactory


class MultiScaleBlock(nn.Module):
    """x + a fusion of two paths of kernels 3 and 5 that exchange their results halfway.

    Li et al., "Multi-scale Residual Network for Image Super-Resolution", ECCV 2018, section 3.1.

    Args:
        features: channels of the feature map.
        activation: makes the activations.
        residual_scale: what the fusion is multiplied with before it is added.
    """

    def __init__(self, features: int, *, activation: ActivationFactory = relu, residual_scale: float = 1.0) -> None:
        super().__init__()
        self.first = nn.ModuleList(conv(features, features, kernel) for kernel in (3, 5))
        self.second = nn.ModuleList(conv(2 * features, 2 * features, kernel) for kernel in (3, 5))
        self.fuse = conv(4 * features, features, 1)
        widths = (features, 2 * features)
        self.activations = nn.ModuleList(nn.ModuleList(activation(width) for _ in range(2)) for width in widths)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        both = x
        for stage, activations in zip((self.first, self.second), self.activations, strict=True):
            paths = zip(stage, activations, strict=True)  # type: ignore[call-overload]
            both = torch.cat([activation(layer(both)) for layer, activation in paths], dim=1)
        return x + self.residual_scale * self.fuse(both)


class Cascade(nn.Module):
    """Blocks in a row; after each, a 1x1 convolution with ReLU fuses the results of all so far, and the input.

    Ahn et al., "Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network", ECCV 2018
    (arXiv 1803.08664), section 3.1. The next block gets the fusion.

    Args:
        features: channels of the feature map.
        blocks: what stands in the row; a single one is used again and again, with the same weights.
        steps: how many stand there (default: as many as `blocks`).
    """

    def __init__(self, features: int, blocks: Sequence[nn.Module], steps: int | None = None) -> None:
        super().__init__()
        steps = len(blocks) if steps is None else steps
        self.blocks = nn.ModuleList(blocks)
        self.fusions = nn.ModuleList(
            nn.Sequential(conv((k + 2) * features, features, 1), nn.ReLU()) for k in range(steps)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        known, fused = [x], x
        for step, fuse in enumerate(self.fusions):
            known.append(self.blocks[step % len(self.blocks)](fused))
            fused = fuse(torch.cat(known, dim=1))
        return fused
