"""DRCN. Kim et al., "Deeply-Recursive Convolutional Network for Image Super-Resolution", CVPR 2016 (1511.04491)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.models.blocks import conv
from sr_experiments.upsamplers import require_fixed
from sr_experiments.upsamplers.base import UpsamplerFactory


class DRCN(nn.Module):
    """One convolution applied 16 times to the image enlarged before, an image from each (framework: pre-upsampling).

    1,774,080 weights of convolutions on one channel, 1,775,121 parameters with biases and the 16 weights by which the
    images are averaged (section 3).

    Args:
        scale: the enlargement.
        upsampler: a fixed one; it stands in front of the network.
        channels: channels of the image (the paper's: 1, luma).
        features: channels of the feature maps.
        recursions: how often the convolution is applied.

    Raises:
        UserError: a learned upsampler.
    """

    framework = "pre"

    def __init__(
        self, scale: int, upsampler: UpsamplerFactory, channels: int = 3, features: int = 256, recursions: int = 16
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.upsample = require_fixed(upsampler(channels=channels, scale=scale), "DRCN")
        self.embed = nn.Sequential(conv(channels, features), nn.ReLU(), conv(features, features), nn.ReLU())
        self.recursion = nn.Sequential(conv(features, features), nn.ReLU())
        self.reconstruct = nn.Sequential(conv(features, features), nn.ReLU(), conv(features, channels))
        self.average = nn.Parameter(torch.full((recursions,), 1 / recursions))
        shared = self.recursion[0]
        assert isinstance(shared, nn.Conv2d)
        assert shared.bias is not None
        nn.init.dirac_(shared.weight)  # the paper's start: each recursion hands on what it got
        nn.init.zeros_(shared.bias)

    def outputs(self, lr: Tensor) -> list[Tensor]:
        """The image after each recursion, and last their weighted sum, which is the network's output.

        Args:
            lr: (B, channels, h, w) in [0, 1].

        Returns:
            recursions + 1 images (B, channels, scale * h, scale * w).
        """
        enlarged = self.upsample(lr)
        features = self.embed(enlarged)
        images = []
        for _ in self.average:
            features = self.recursion(features)
            images.append(enlarged + self.reconstruct(features))
        return [*images, torch.einsum("k,kbchw->bchw", self.average, torch.stack(images))]

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        return self.outputs(lr)[-1]
