"""CARN. Ahn et al., "Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network", ECCV 2018.

arXiv 1803.08664.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from sr_experiments.models.blocks import Cascade, ResidualBlock, ShiftMean, conv, div2k_mean
from sr_experiments.models.conversion import Converted, Layout, convert, layers_with_weights
from sr_experiments.models.scales import check_scales
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory

RESIDUALS = 3  # residual blocks in a cascading block


class CARN(nn.Module):
    """Cascades of cascades of residual blocks, one trunk for several scales (framework: post-upsampling).

    1,591,939 parameters for x2, x3 and x4 together, 1,111,875 for x4 alone; CARN-M, with grouped convolutions and
    shared blocks, has 414,787, of which 412,032 are weights of convolutions, the published 412K (section 3).

    Args:
        scale: the enlargement where `forward` is not asked for another.
        upsampler: a learned one, for each scale; every stage is followed by a ReLU.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of cascading blocks.
        scales: the enlargements that it is built for.
        groups: groups of the convolutions in a residual block (CARN-M: 4).
        shared: use one residual block three times within a cascading block (CARN-M).

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
        blocks: int = 3,
        scales: Sequence[int] = (2, 3, 4),
        groups: int = 1,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.scale = check_scales(scale, scales, "CARN")
        self.channels = channels
        self.scales = tuple(scales)
        mean = div2k_mean(channels)
        self.subtract_mean = ShiftMean(mean, -1)
        self.head = conv(channels, features)

        def cascading_block() -> Cascade:
            count = 1 if shared else RESIDUALS
            inside = [ResidualBlock(features, groups=groups, after=nn.ReLU) for _ in range(count)]
            return Cascade(features, inside, steps=RESIDUALS)

        self.body = Cascade(features, [cascading_block() for _ in range(blocks)])
        self.upsample = nn.ModuleDict()
        for each in self.scales:
            made = upsampler(channels=features, scale=each, activation=nn.ReLU)
            self.upsample[f"x{each}"] = require_learned(made, "CARN")
        self.tail = conv(features, channels)
        self.add_mean = ShiftMean(mean, +1)

    def forward(self, lr: Tensor, scale: int | None = None) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w), at `scale` or the configured one."""
        scale = check_scales(self.scale if scale is None else scale, self.scales, "CARN")
        features = self.body(self.head(self.subtract_mean(lr)))
        return self.add_mean(self.tail(self.upsample[f"x{scale}"](features)))

    def convert_published(self, state: Mapping[str, Tensor]) -> Converted:
        """From the weights of the authors for several scales and for one, github.com/nmhkahn/CARN-pytorch, carn/model.

        Raises:
            UserError: they subtract another mean colour than DIV2K's.
        """
        trunk = ["entry"]
        for b, cascade in enumerate(self.body.blocks, start=1):
            assert isinstance(cascade, Cascade)
            for r, residual in enumerate(cascade.blocks, start=1):
                trunk += [f"b{b}.b{r}.{layer}" for layer in layers_with_weights(residual)]
            trunk += [f"b{b}.c{c}.body.0" for c in range(1, len(cascade.fusions) + 1)]
        trunk += [f"c{c}.body.0" for c in range(1, len(self.body.fusions) + 1)]
        ups = {name: layers_with_weights(upsample) for name, upsample in self.upsample.items()}
        several = [f"upsample.up{name[1:]}.body.{3 * k}" for name, layers in ups.items() for k in range(len(layers))]
        single = [f"upsample.up.body.{3 * k}" for layers in ups.values() for k in range(len(layers))]
        layouts = [several, single] if len(ups) == 1 else [several]
        return convert(self, state, [Layout("CARN-pytorch", [*trunk, *up, "exit"]) for up in layouts])
