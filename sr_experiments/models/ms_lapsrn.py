"""MS-LapSRN. Lai et al., "Fast and Accurate Image Super-Resolution with Deep Laplacian Pyramid Networks", 2017.

TPAMI 2018 (arXiv 1710.01992).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.models.blocks import conv, start_kaiming
from sr_experiments.models.lapsrn import LEAKY, ImageDoubling
from sr_experiments.models.scales import DOUBLING_SCALES, count_doublings
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class MSLapSRN(nn.Module):
    """LapSRN with the same weights at every level and recursion inside a level (framework: progressive upsampling).

    On one channel 222,352 weights of convolutions and 222,801 parameters with 3x3 transposed convolutions, at every
    scale (section 3; published: 222K). As all levels are one, a network made for x8 also does x2 and x4:
    its earlier outputs; `forward` takes any of them.

    Args:
        scale: the enlargement: 2, 4 or 8.
        upsampler: a learned one, which doubles the features at each level.
        channels: channels of the image (the paper's: 1, luma).
        features: channels of the feature maps.
        depth: convolutions of the recursive block (the paper's D).
        recursions: how often it is applied at each level (R).

    Raises:
        UserError: another scale, or a fixed upsampler.
    """

    framework = "progressive"
    possible_scales = DOUBLING_SCALES

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        depth: int = 5,
        recursions: int = 8,
    ) -> None:
        super().__init__()
        self.count = count_doublings(scale, "MSLapSRN")
        self.scale = scale
        self.channels = channels
        self.recursions = recursions
        self.head = conv(channels, features)
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [LEAKY(), conv(features, features)]
        self.block = nn.Sequential(*layers)
        self.upsample = require_learned(upsampler(channels=features, scale=2), "MSLapSRN")
        self.residual = conv(features, channels)
        self.enlarge = ImageDoubling(channels)
        nn.init.normal_(self.head.weight, std=1e-3)  # as in LapSRN
        for part in (self.block, self.residual):
            start_kaiming(part)

    def outputs(self, lr: Tensor, scale: int | None = None) -> list[Tensor]:
        """The image of every level, the smallest first; the last is the network's output.

        Args:
            lr: (B, channels, h, w) in [0, 1].
            scale: the enlargement: 2, 4 or 8; None for the configured one.

        Returns:
            Images (B, channels, 2 h, 2 w), (B, channels, 4 h, 4 w), ... up to the scale.
        """
        source, images = self.head(lr), [lr]
        for _ in range(self.count if scale is None else count_doublings(scale, "MSLapSRN")):
            features = source
            for _ in range(self.recursions):
                features = source + self.block(features)
            source = self.upsample(F.leaky_relu(features, 0.2))
            images.append(self.enlarge(images[-1]) + self.residual(source))
        return images[1:]

    def forward(self, lr: Tensor, scale: int | None = None) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w), at `scale` or the configured one."""
        return self.outputs(lr, scale)[-1]
