"""VDSR. Kim et al., "... Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016 (arXiv 1511.04587)."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.blocks import conv, start_kaiming
from sr_experiments.upsamplers import require_fixed
from sr_experiments.upsamplers.base import UpsamplerFactory


class VDSR(nn.Module):
    """Twenty convolutions whose result is added to the image enlarged before (framework: pre-upsampling).

    665,921 parameters on one channel, 664,704 without biases (section 3.1). The weights do not depend on the scale.

    Args:
        scale: the enlargement.
        upsampler: a fixed one; it stands in front of the network.
        channels: channels of the image (the paper's: 1, luma).
        features: channels of the feature maps.
        layers: number of convolutions, at least 2.

    Raises:
        UserError: a learned upsampler, or fewer than two layers.
    """

    framework = "pre"

    def __init__(
        self, scale: int, upsampler: UpsamplerFactory, channels: int = 3, features: int = 64, layers: int = 20
    ) -> None:
        super().__init__()
        if layers < 2:
            raise UserError(f"model.layers={layers} is too few: VDSR takes at least 2.")
        self.scale = scale
        self.channels = channels
        self.upsample = require_fixed(upsampler(channels=channels, scale=scale), "VDSR")
        body: list[nn.Module] = [conv(channels, features), nn.ReLU()]
        for _ in range(layers - 2):
            body += [conv(features, features), nn.ReLU()]
        self.body = nn.Sequential(*body, conv(features, channels))
        start_kaiming(self.body)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        enlarged = self.upsample(lr)
        return enlarged + self.body(enlarged)
