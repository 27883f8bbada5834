"""RRDBNet, the generator of ESRGAN. Wang et al., ECCV Workshops 2018 (arXiv 1809.00219)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from sr_experiments.models.blocks import ResidualInResidual, conv, start_small
from sr_experiments.models.conversion import Converted, Layout, convert, layers_with_weights
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory

LEAKY = partial(nn.LeakyReLU, 0.2)


class RRDBNet(nn.Module):
    """Residual blocks of dense blocks on the small image (framework: post-upsampling).

    16,697,987 parameters at x4 with nearest-neighbour resize convolutions.

    Args:
        scale: the enlargement.
        upsampler: a learned one; every stage is followed by a leaky ReLU.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual-in-residual dense blocks.
        growth: channels that a convolution in a dense block adds.

    Raises:
        UserError: a fixed upsampler.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        blocks: int = 23,
        growth: int = 32,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.blocks = blocks
        self.head = conv(channels, features)
        trunk = nn.Sequential(*(ResidualInResidual(features, growth) for _ in range(blocks)))
        start_small(trunk)
        self.body = nn.Sequential(*trunk, conv(features, features))
        self.upsample = require_learned(upsampler(channels=features, scale=scale, activation=LEAKY), "RRDBNet")
        self.tail = nn.Sequential(conv(features, features), LEAKY(), conv(features, channels))

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        x = self.head(lr)
        return self.tail(self.upsample(x + self.body(x)))

    def convert_published(self, state: Mapping[str, Tensor]) -> Converted:
        """From the weights of BasicSR, of ESRGAN's authors, and of their first release (`model.0.weight`, ...).

        github.com/XPixelGroup/BasicSR, rrdbnet_arch.py; github.com/xinntao/ESRGAN. BasicSR's x2 and x1, which begin
        with a pixel unshuffling, are another network.
        """
        stages = range(1, len(layers_with_weights(self.upsample)) + 1)
        convs = [(n, r, c) for n in range(self.blocks) for r in range(1, 4) for c in range(1, 6)]
        basicsr = ["conv_first", *(f"body.{n}.rdb{r}.conv{c}" for n, r, c in convs), "conv_body"]
        basicsr += [*(f"conv_up{k}" for k in stages), "conv_hr", "conv_last"]
        authors = ["conv_first", *(f"RRDB_trunk.{n}.RDB{r}.conv{c}" for n, r, c in convs), "trunk_conv"]
        authors += [*(f"upconv{k}" for k in stages), "HRconv", "conv_last"]
        first = ["model.0", *(f"model.1.sub.{n}.RDB{r}.conv{c}.0" for n, r, c in convs), f"model.1.sub.{self.blocks}"]
        # There a stage is three layers long: enlarge, convolve, activate.
        first += [*(f"model.{3 * k}" for k in stages), f"model.{3 * stages[-1] + 2}", f"model.{3 * stages[-1] + 4}"]
        layouts = [("BasicSR", basicsr), ("ESRGAN", authors), ("ESRGAN's first release", first)]
        return convert(self, state, [Layout(source, layers) for source, layers in layouts])
