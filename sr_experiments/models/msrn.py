"""MSRN. Li et al., "Multi-scale Residual Network for Image Super-Resolution", ECCV 2018."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.models.blocks import (
    ActivationFactory,
    BlockFactory,
    MultiScaleBlock,
    ShiftMean,
    conv,
    div2k_mean,
    relu,
)
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class MSRN(nn.Module):
    """Blocks of two kernel sizes, all of which are fused at the end, on the small image (framework: post-upsampling).

    6,078,019 parameters at x4, 5,930,307 at x2, as in the authors' released code (section 3); the paper's 6.3M are of
    an older ending.

    Args:
        scale: the enlargement.
        upsampler: a learned one.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of multi-scale blocks.
        block: makes a block of the trunk.
        activation: makes the activations of the blocks.

    Raises:
        UserError: a fixed upsampler.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        blocks: int = 8,
        block: BlockFactory = MultiScaleBlock,
        activation: ActivationFactory = relu,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        mean = div2k_mean(channels)
        self.subtract_mean = ShiftMean(mean, -1)
        self.head = conv(channels, features)
        self.blocks = nn.ModuleList(block(features, activation=activation) for _ in range(blocks))
        self.fuse = nn.Sequential(conv((blocks + 1) * features, features, 1), conv(features, features))
        self.upsample = require_learned(upsampler(channels=features, scale=scale), "MSRN")
        self.tail = conv(features, channels)
        self.add_mean = ShiftMean(mean, +1)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        results = [self.head(self.subtract_mean(lr))]
        for block in self.blocks:
            results.append(block(results[-1]))
        features = self.fuse(torch.cat(results, dim=1))
        return self.add_mean(self.tail(self.upsample(features)))
