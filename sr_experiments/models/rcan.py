"""RCAN. Zhang et al., "Image Super-Resolution Using Very Deep Residual Channel Attention Networks", ECCV 2018.

arXiv 1807.02758.
"""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.models.blocks import ChannelAttention, ShiftMean, conv, div2k_mean
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class Residual(nn.Module):
    """x + body(x).

    Args:
        body: keeps the shape.
    """

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        return x + self.body(x)


class RCAN(nn.Module):
    """Residual groups of residual blocks with channel attention on the small image (framework: post-upsampling).

    15,592,355 parameters at x4, 15,444,643 at x2, 15,629,283 at x3, 15,740,067 at x8 (section 3).

    Args:
        scale: the enlargement.
        upsampler: a learned one.
        channels: channels of the image.
        features: channels of the feature maps.
        groups: number of residual groups.
        blocks: residual blocks in a group.
        reduction: how many times narrower the layer inside the attention is.

    Raises:
        UserError: a fixed upsampler, or a reduction that leaves no channel.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        groups: int = 10,
        blocks: int = 20,
        reduction: int = 16,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        mean = div2k_mean(channels)
        self.subtract_mean = ShiftMean(mean, -1)
        self.head = conv(channels, features)

        def block() -> Residual:
            attention = ChannelAttention(features, reduction)
            return Residual(conv(features, features), nn.ReLU(), conv(features, features), attention)

        def group() -> Residual:
            return Residual(*(block() for _ in range(blocks)), conv(features, features))

        self.body = Residual(*(group() for _ in range(groups)), conv(features, features))
        self.upsample = require_learned(upsampler(channels=features, scale=scale), "RCAN")
        self.tail = conv(features, channels)
        self.add_mean = ShiftMean(mean, +1)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        features = self.body(self.head(self.subtract_mean(lr)))
        return self.add_mean(self.tail(self.upsample(features)))
