"""Meta-RDN. Hu et al., "Meta-SR: A Magnification-Arbitrary Network ...", CVPR 2019 (arXiv 1903.00875)."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.blocks import ShiftMean, div2k_mean
from sr_experiments.models.rdn import RDNFeatures
from sr_experiments.upsamplers import MetaUpscale
from sr_experiments.upsamplers.base import UpsamplerFactory


class MetaRDN(nn.Module):
    """RDN's features, enlarged by any real number with one set of weights (framework: post-upsampling).

    22,419,072 parameters (section 3), whatever the scale.

    Args:
        scale: the enlargement where `forward` is not asked for another, any number of at least 1.
        upsampler: meta-upscale, which makes the image.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual dense blocks.
        layers: convolutions in a block.
        growth: channels that each of them adds.

    Raises:
        UserError: another upsampler, or a scale below 1.
    """

    framework = "post"
    real_scales = True

    def __init__(
        self,
        scale: float,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        blocks: int = 16,
        layers: int = 8,
        growth: int = 64,
    ) -> None:
        super().__init__()
        made = upsampler(channels=features, scale=scale, out_channels=channels)
        if not isinstance(made, MetaUpscale):
            raise UserError(
                f"MetaRDN enlarges by any real number, which the upsampler {type(made).__name__} cannot do: use "
                "upsampler=meta_upscale, or model=rdn for this one."
            )
        self.scale = scale
        self.channels = channels
        mean = div2k_mean(channels)
        self.subtract_mean = ShiftMean(mean, -1)
        self.body = RDNFeatures(channels, features, blocks, layers, growth)
        self.upsample = made
        self.add_mean = ShiftMean(mean, +1)

    def forward(self, lr: Tensor, scale: float | None = None) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, floor(scale * h), floor(scale * w)), at `scale` or its own."""
        return self.add_mean(self.upsample(self.body(self.subtract_mean(lr)), scale))
