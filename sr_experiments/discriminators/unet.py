"""The U-Net discriminator of Real-ESRGAN: Wang et al., ICCV Workshops 2021, section 3.3."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.discriminators.blocks import check_crop, conv_layer


class UNetDiscriminator(nn.Module):
    """Judges every pixel, seeing detail and context: three halvings and three doublings with skip connections.

    Args:
        crop_size: pixels a side of the crops, a multiple of 8; any such size fits.
        channels: of the first layer (64: 4,376,897 parameters).
        norm: of all layers but the first and the last: `spectral` (the paper), `batch`, `instance` or `none`.

    Raises:
        UserError: the crops do not fit, or `norm` is unknown.
    """

    def __init__(self, crop_size: int, channels: int = 64, norm: str = "spectral") -> None:
        super().__init__()
        check_crop(crop_size, least=16, multiple=8)
        self.crop_size = crop_size
        widths = [channels, 2 * channels, 4 * channels, 8 * channels]
        self.first = conv_layer(3, channels)
        self.down = nn.ModuleList(
            conv_layer(inputs, outputs, kernel=4, stride=2, norm=norm, bias=False)
            for inputs, outputs in pairwise(widths)
        )
        self.up = nn.ModuleList(
            conv_layer(inputs, outputs, norm=norm, bias=False)
            for inputs, outputs in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.last = nn.Sequential(
            conv_layer(channels, channels, norm=norm, bias=False),
            conv_layer(channels, channels, norm=norm, bias=False),
            nn.Conv2d(channels, 1, kernel_size=3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], sides multiples of 8 -> logits (B, 1, H, W)."""
        features = self.first(images)
        skips = []
        for layer in self.down:
            skips.append(features)
            features = layer(features)
        for layer in self.up:
            larger = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = layer(larger) + skips.pop()
        return self.last(features)
