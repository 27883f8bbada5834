"""DRRN. Tai et al., "Image Super-Resolution via Deep Recursive Residual Network", CVPR 2017."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.models.blocks import PreActivated, SharedUnit
from sr_experiments.upsamplers import require_fixed
from sr_experiments.upsamplers.base import UpsamplerFactory


class RecursiveBlock(nn.Module):
    """A convolution, then one residual unit applied again and again, each time added to what the block began with.

    Args:
        channels_in: channels of the input.
        features: channels of the output.
        units: how often the unit is applied.
    """

    def __init__(self, channels_in: int, features: int, units: int) -> None:
        super().__init__()
        self.begin = PreActivated(channels_in, features)
        self.unit = SharedUnit(features, units)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, h, w) -> (B, features, h, w)."""
        begun = self.begin(x)
        result = begun
        for application in range(len(self.unit)):
            result = begun + self.unit(result, application)
        return result


class DRRN(nn.Module):
    """Recursive blocks whose result is added to the image enlarged before (framework: pre-upsampling).

    297,216 weights of convolutions on one channel with one block of 25 units, 52 layers (section 3); with biases and
    the batch norms, which each application of a unit has of its own, 310,659 parameters.

    Args:
        scale: the enlargement.
        upsampler: a fixed one; it stands in front of the network.
        channels: channels of the image (the paper's: 1, luma).
        features: channels of the feature maps.
        blocks: number of recursive blocks (the paper's B).
        units: applications of the unit in each block (U).

    Raises:
        UserError: a learned upsampler.
    """

    framework = "pre"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 128,
        blocks: int = 1,
        units: int = 25,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.upsample = require_fixed(upsampler(channels=channels, scale=scale), "DRRN")
        widths = [channels] + [features] * (blocks - 1)
        self.body = nn.Sequential(*(RecursiveBlock(width, features, units) for width in widths))
        self.tail = PreActivated(features, channels)

    def forward(self, lr: Tensor, scale: int | None = None) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w), at `scale` or the configured one."""
        enlarged = self.upsample(lr, scale)
        return enlarged + self.tail(self.body(enlarged))
