"""MDSR, EDSR for several scales. Lim et al., CVPRW 2017 (arXiv 1707.02921), section 3.3."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sr_experiments.models.blocks import (
    ActivationFactory,
    BlockFactory,
    ResidualBlock,
    ShiftMean,
    conv,
    div2k_mean,
    relu,
)
from sr_experiments.models.scales import check_scales
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class MDSR(nn.Module):
    """One trunk of residual blocks; each scale has blocks in front and an upsampler (framework: post-upsampling).

    7,953,987 parameters for x2, x3 and x4 together.

    Args:
        scale: the enlargement where `forward` is not asked for another.
        upsampler: a learned one, for each scale.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual blocks of the trunk.
        scales: the enlargements that it is built for.
        block: makes a block of the trunk; those in front of it stay residual blocks of kernel 5.
        activation: makes the activations of all blocks.

    Raises:
        UserError: a scale that is not among the scales, or a fixed upsampler.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        blocks: int = 80,
        scales: Sequence[int] = (2, 3, 4),
        block: BlockFactory = ResidualBlock,
        activation: ActivationFactory = relu,
    ) -> None:
        super().__init__()
        self.scale = check_scales(scale, scales, "MDSR")
        self.channels = channels
        self.scales = tuple(scales)
        mean = div2k_mean(channels)
        self.subtract_mean = ShiftMean(mean, -1)
        self.head = conv(channels, features)
        self.begin, self.upsample = nn.ModuleDict(), nn.ModuleDict()
        for each in self.scales:
            begin = [ResidualBlock(features, kernel=5, activation=activation) for _ in range(2)]
            self.begin[f"x{each}"] = nn.Sequential(*begin)
            self.upsample[f"x{each}"] = require_learned(upsampler(channels=features, scale=each), "MDSR")
        body = [block(features, activation=activation) for _ in range(blocks)]
        self.body = nn.Sequential(*body, conv(features, features))
        self.tail = conv(features, channels)
        self.add_mean = ShiftMean(mean, +1)

    def forward(self, lr: Tensor, scale: int | None = None) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w), at `scale` or the configured one."""
        name = f"x{check_scales(self.scale if scale is None else scale, self.scales, 'MDSR')}"
        x = self.begin[name](self.head(self.subtract_mean(lr)))
        return self.add_mean(self.tail(self.upsample[name](x + self.body(x))))
