"""RRDBNet, the generator of ESRGAN. Wang et al., ECCV Workshops 2018 (arXiv 1809.00219)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from sr_experiments.models.blocks import conv, start_small
from sr_experiments.models.conversion import layers_with_weights, rename_in_order
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory

RESIDUAL_SCALE = 0.2
LEAKY = partial(nn.LeakyReLU, 0.2)


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the results of all before it; x + 0.2 * the last.

    Args:
        features: channels of the feature map.
        growth: channels that each of the first four convolutions adds.
    """

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        outputs = [growth, growth, growth, growth, features]
        self.convs = nn.ModuleList(conv(features + k * growth, width) for k, width in enumerate(outputs))
        self.activation = LEAKY()

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        known = [x]
        for layer in self.convs[:-1]:
            known.append(self.activation(layer(torch.cat(known, dim=1))))
        return x + RESIDUAL_SCALE * self.convs[-1](torch.cat(known, dim=1))


class ResidualInResidual(nn.Module):
    """x + 0.2 * three dense blocks ("RRDB").

    Args:
        features: channels of the feature map.
        growth: see `DenseBlock`.
    """

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(DenseBlock(features, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        return x + RESIDUAL_SCALE * self.body(x)


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

    def convert_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename the weights of BasicSR, of ESRGAN's authors, and of their first release (`model.0.weight`, ...)."""
        stages = range(1, len(layers_with_weights(self.upsample)) + 1)
        convs = [(n, r, c) for n in range(self.blocks) for r in range(1, 4) for c in range(1, 6)]
        basicsr = ["conv_first", *(f"body.{n}.rdb{r}.conv{c}" for n, r, c in convs), "conv_body"]
        basicsr += [*(f"conv_up{k}" for k in stages), "conv_hr", "conv_last"]
        authors = ["conv_first", *(f"RRDB_trunk.{n}.RDB{r}.conv{c}" for n, r, c in convs), "trunk_conv"]
        authors += [*(f"upconv{k}" for k in stages), "HRconv", "conv_last"]
        first = ["model.0", *(f"model.1.sub.{n}.RDB{r}.conv{c}.0" for n, r, c in convs), f"model.1.sub.{self.blocks}"]
        # There a stage is three layers long: enlarge, convolve, activate.
        first += [*(f"model.{3 * k}" for k in stages), f"model.{3 * stages[-1] + 2}", f"model.{3 * stages[-1] + 4}"]
        return rename_in_order(self, state, [basicsr, authors, first])
