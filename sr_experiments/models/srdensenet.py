"""SRDenseNet. Tong et al., "Image Super-Resolution Using Dense Skip Connections", ICCV 2017."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.models.blocks import DenseLayers, conv
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class SRDenseNet(nn.Module):
    """Dense blocks, densely connected among each other, on the small image (framework: post-upsampling).

    2,004,225 parameters at x4 on one channel with transposed convolutions whose kernels do not overlap. The authors
    published no code; others' tables give 2,015K parameters and 389.9G multiply-adds for a 1280x720 image, which this
    reading of the paper's figure 2 misses by 0.5 % and 0.2 %. Every block sees the first features and the results of
    all blocks before it, and so does the 1x1 convolution behind the last one.

    Args:
        scale: the enlargement.
        upsampler: a learned one; every stage is followed by a ReLU.
        channels: channels of the image (the paper's: 1, luma).
        features: channels between the 1x1 convolution and the image.
        blocks: number of dense blocks.
        layers: convolutions in a dense block.
        growth: channels that each of them adds.

    Raises:
        UserError: a fixed upsampler.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 256,
        blocks: int = 8,
        layers: int = 8,
        growth: int = 16,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        width = layers * growth
        self.head = nn.Sequential(conv(channels, width), nn.ReLU())
        self.blocks = nn.ModuleList(
            DenseLayers((k + 1) * width, growth, layers, keep_input=False) for k in range(blocks)
        )
        self.fuse = nn.Sequential(conv((blocks + 1) * width, features, 1), nn.ReLU())
        self.upsample = require_learned(upsampler(channels=features, scale=scale, activation=nn.ReLU), "SRDenseNet")
        self.tail = conv(features, channels)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        known = [self.head(lr)]
        for block in self.blocks:
            known.append(block(torch.cat(known, dim=1)))
        return self.tail(self.upsample(self.fuse(torch.cat(known, dim=1))))
