"""SRResNet, the generator of SRGAN. Ledig et al., CVPR 2017 (arXiv 1609.04802), figure 4."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.models.blocks import ResidualBlock, conv
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class SRResNet(nn.Module):
    """Residual blocks with batch norm and PReLU on the small image (framework: post-upsampling).

    1,549,462 parameters at x4.

    Args:
        scale: the enlargement.
        upsampler: a learned one; every stage is followed by a PReLU.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual blocks.

    Raises:
        UserError: a fixed upsampler.
    """

    framework = "post"

    def __init__(
        self, scale: int, upsampler: UpsamplerFactory, channels: int = 3, features: int = 64, blocks: int = 16
    ) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(conv(channels, features, 9), nn.PReLU())
        body = [ResidualBlock(features, activation=nn.PReLU, norm=nn.BatchNorm2d) for _ in range(blocks)]
        self.body = nn.Sequential(*body, conv(features, features), nn.BatchNorm2d(features))
        self.upsample = require_learned(
            upsampler(channels=features, scale=scale, activation=nn.PReLU), "SRResNet"
        )
        self.tail = conv(features, channels, 9)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        x = self.head(lr)
        return self.tail(self.upsample(x + self.body(x)))
