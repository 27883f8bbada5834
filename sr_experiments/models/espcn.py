"""ESPCN. Shi et al., "Real-Time Single Image and Video Super-Resolution ...", CVPR 2016 (arXiv 1609.05158)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sr_experiments.models.blocks import conv
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class ESPCN(nn.Module):
    """Two tanh convolutions on the small image; the upsampler makes the large one (framework: post-upsampling).

    24,752 parameters at x4 on one channel with the paper's single-step sub-pixel convolution.

    Args:
        scale: the enlargement.
        upsampler: a learned one; its last stage makes the image.
        channels: channels of the image (the paper's: 1, luma).
        features: channels after the first and the second convolution.

    Raises:
        UserError: a fixed upsampler.
    """

    framework = "post"

    def __init__(
        self, scale: int, upsampler: UpsamplerFactory, channels: int = 3, features: Sequence[int] = (64, 32)
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        wide, narrow = features
        self.body = nn.Sequential(conv(channels, wide, 5), nn.Tanh(), conv(wide, narrow, 3), nn.Tanh())
        self.upsample = require_learned(upsampler(channels=narrow, scale=scale, out_channels=channels), "ESPCN")

    @property
    def last_layer(self) -> nn.Module:
        """What makes the image; it learns at a tenth of the others' rate in the paper."""
        return self.upsample

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        return self.upsample(self.body(lr))
