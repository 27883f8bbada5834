"""D-DBPN. Haris et al., "Deep Back-Projection Networks for Super-Resolution", CVPR 2018 (arXiv 1803.02735)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.models.blocks import conv, start_kaiming
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory

OVERLAP = 4  # kernel size less stride: kernels 6, 8 and 12 for x2, x4 and x8


def _fuse(features: int, maps: int) -> nn.Module:
    """Many maps to one; nothing where there is only one."""
    if maps == 1:
        return nn.Identity()
    layer = conv(maps * features, features, 1)
    start_kaiming(layer)
    return nn.Sequential(layer, nn.PReLU())


def _enlarging(upsampler: UpsamplerFactory, features: int, scale: int) -> nn.Module:
    return require_learned(upsampler(channels=features, scale=scale, activation=nn.PReLU), "DBPN")


def _shrinking(features: int, scale: int) -> nn.Module:
    layer = nn.Conv2d(features, features, scale + OVERLAP, stride=scale, padding=OVERLAP // 2)
    start_kaiming(layer)
    return nn.Sequential(layer, nn.PReLU())


class UpProjection(nn.Module):
    """Enlarge, shrink again, and add what the error of that tells (section 3.1).

    Args:
        upsampler: a learned one.
        features: channels of each map.
        scale: the enlargement.
        maps: low-resolution maps that it gets; more than one are fused by a 1x1 convolution.
    """

    def __init__(self, upsampler: UpsamplerFactory, features: int, scale: int, maps: int) -> None:
        super().__init__()
        self.fuse = _fuse(features, maps)
        self.up = _enlarging(upsampler, features, scale)
        self.down = _shrinking(features, scale)
        self.up_error = _enlarging(upsampler, features, scale)

    def forward(self, low: Tensor) -> Tensor:
        """(B, maps * features, h, w) -> (B, features, scale * h, scale * w)."""
        low = self.fuse(low)
        high = self.up(low)
        return high + self.up_error(self.down(high) - low)


class DownProjection(nn.Module):
    """Shrink, enlarge again, and add what the error of that tells (section 3.1).

    Args:
        upsampler: a learned one.
        features: channels of each map.
        scale: by which it shrinks.
        maps: high-resolution maps that it gets; more than one are fused by a 1x1 convolution.
    """

    def __init__(self, upsampler: UpsamplerFactory, features: int, scale: int, maps: int) -> None:
        super().__init__()
        self.fuse = _fuse(features, maps)
        self.down = _shrinking(features, scale)
        self.up = _enlarging(upsampler, features, scale)
        self.down_error = _shrinking(features, scale)

    def forward(self, high: Tensor) -> Tensor:
        """(B, maps * features, scale * h, scale * w) -> (B, features, h, w)."""
        high = self.fuse(high)
        low = self.down(high)
        return low + self.down_error(self.up(low) - high)


class DBPN(nn.Module):
    """Projections up and down by turns, densely connected (framework: iterative up- and downsampling).

    10,426,358 parameters at x4, 5,953,526 at x2, 23,205,878 at x8 with transposed convolutions that overlap by four
    pixels (section 4.1).

    Args:
        scale: the enlargement; kernels at x3 follow the rule of the others.
        upsampler: a learned one, in every projection.
        channels: channels of the image.
        features: channels of each map in the projections (the paper's n_R).
        extracted: channels of the first features (n_0).
        stages: number of projections up (T).

    Raises:
        UserError: a fixed upsampler.
    """

    framework = "iterative"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        extracted: int = 256,
        stages: int = 7,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        first = [conv(channels, extracted), nn.PReLU(), conv(extracted, features, 1), nn.PReLU()]
        self.head = nn.Sequential(*first)
        # The first two projections up see one map: that of the head, and that of the first projection down.
        self.ups = nn.ModuleList(UpProjection(upsampler, features, scale, max(k, 1)) for k in range(stages))
        self.downs = nn.ModuleList(DownProjection(upsampler, features, scale, k + 1) for k in range(stages - 1))
        self.tail = conv(stages * features, channels)
        start_kaiming(self.head)
        start_kaiming(self.tail)

    def project(self, lr: Tensor) -> Tensor:
        """The high-resolution maps of all stages, the last one first: (B, stages * features, scale * h, scale * w)."""
        highs = self.ups[0](self.head(lr))
        lows: Tensor | None = None
        for down, up in zip(self.downs, self.ups[1:], strict=True):
            low = down(highs)
            lows = low if lows is None else torch.cat([low, lows], dim=1)
            highs = torch.cat([up(lows), highs], dim=1)
        return highs

    def outputs(self, lr: Tensor) -> list[Tensor]:
        """The image that the maps up to each stage make together; the last is the network's output.

        The convolution that makes the image is linear in the maps: an earlier image is made with its weights for the
        maps there are until then.

        Args:
            lr: (B, channels, h, w) in [0, 1].

        Returns:
            As many images (B, channels, scale * h, scale * w) as there are stages.
        """
        highs, weight = self.project(lr), self.tail.weight
        width = highs.shape[1] // len(self.ups)
        known = [highs.shape[1] - (stage + 1) * width for stage in range(len(self.ups))]
        return [F.conv2d(highs[:, k:], weight[:, k:], self.tail.bias, padding=1) for k in known]

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        return self.tail(self.project(lr))
