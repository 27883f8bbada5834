"""ProSR. Wang et al., "A Fully Progressive Approach to Single-Image Super-Resolution", CVPRW 2018 (1804.02900)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.models.blocks import ShiftMean, div2k_mean
from sr_experiments.models.scales import DOUBLING_SCALES, check_scales, count_doublings
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


def mirrored(channels_in: int, channels_out: int) -> nn.Conv2d:
    """3x3 convolution of an image that is mirrored at its border."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, padding_mode="reflect")


class CompressionUnit(nn.Module):
    """Dense layers of a 1x1 and a 3x3 convolution, then a 1x1 convolution that compresses them ("DCU").

    Args:
        features: channels of the input.
        growth: channels that each layer adds.
        layers: number of dense layers.
        bottleneck: channels between the two convolutions of a layer, in multiples of `growth`.
        compressed: channels of the output; None for no compression.
        residual_scale: factor of the result, which is then added to the input; None for no such sum.
    """

    def __init__(
        self,
        features: int,
        growth: int,
        layers: int,
        bottleneck: int,
        compressed: int | None,
        residual_scale: float | None,
    ) -> None:
        super().__init__()
        inner = bottleneck * growth
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(features + k * growth, inner, 1), nn.ReLU(), mirrored(inner, growth))
            for k in range(layers)
        )
        grown = features + layers * growth
        self.compress = nn.Identity() if compressed is None else nn.Conv2d(grown, compressed, 1, bias=False)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> (B, compressed, h, w)."""
        known = x
        for layer in self.layers:
            known = torch.cat([known, layer(known)], dim=1)
        result = self.compress(known)
        return result if self.residual_scale is None else x + self.residual_scale * result


class Level(nn.Module):
    """The units of one level of the pyramid, and a convolution.

    Args:
        width: channels of the input.
        units: number of dense layers of each unit.
        growth: see `CompressionUnit`.
        bottleneck: see `CompressionUnit`.
        residual_scale: see `CompressionUnit`; given, the level's result is added to its input, too.
        compression: what the units, without residuals, compress their channels to; the last one does not.
        begin: channels that the input is compressed to first; None for not.
        most_features: channels of the output at most.
    """

    def __init__(
        self,
        width: int,
        units: Sequence[int],
        growth: int,
        bottleneck: int,
        residual_scale: float | None,
        compression: float,
        begin: int | None,
        most_features: int,
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        if begin is not None:
            parts.append(nn.Conv2d(width, begin, 1, bias=False))
            width = begin
        for number, layers in enumerate(units):
            grown = width + layers * growth
            if residual_scale is not None:
                compressed: int | None = width
            else:
                compressed = int(compression * grown) if number < len(units) - 1 else None
            parts.append(CompressionUnit(width, growth, layers, bottleneck, compressed, residual_scale))
            width = grown if compressed is None else compressed
        if width > most_features:
            parts.append(nn.Conv2d(width, most_features, 1, bias=False))
            width = most_features
        self.body = nn.Sequential(*parts, mirrored(width, width))
        self.residual = residual_scale is not None
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> (B, width of the output, h, w)."""
        return x + self.body(x) if self.residual else self.body(x)


class ProSR(nn.Module):
    """An asymmetric pyramid of dense units over a bicubic skip, for several scales (framework: progressive upsampling).

    15,537,609 parameters for x2, x4 and x8 together (section 3; published: 15.5M). ProSRs, the small one, has no
    residuals: features 24, growth 12, levels [[6, 6, 6, 6], [6, 6], [6]], residual_scale null, level_compression 0.5;
    2,550,191 parameters as its authors' code configures it, which is fewer than the 3.1M that are said of it.

    Args:
        scale: the enlargement where `forward` is not asked for another: 2, 4 or 8.
        upsampler: a learned one, which doubles the features at each level; followed by a ReLU.
        channels: channels of the image.
        features: channels of the first feature maps.
        growth: channels that a dense layer adds.
        levels: for each level the numbers of dense layers of its units.
        bottleneck: channels between the two convolutions of a dense layer, in multiples of `growth`.
        residual_scale: factor of a unit's result, which is added to its input; None for units without such a sum.
        compression: the fraction that a unit compresses its channels to (without residuals).
        level_compression: the fraction that a level compresses the channels from the level before to; None for
            `features`.
        most_features: channels at the end of a level at most.
        scales: the enlargements that it is built for, each with a first and a last convolution of its own.

    Raises:
        UserError: a scale that is not among the scales, or not 2, 4 or 8; too few levels; a fixed upsampler.
    """

    framework = "progressive"
    possible_scales = DOUBLING_SCALES

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 160,
        growth: int = 40,
        levels: Sequence[Sequence[int]] = ((8,) * 9, (8,) * 3, (8,)),
        bottleneck: int = 4,
        residual_scale: float | None = 0.2,
        compression: float = 0.4,
        level_compression: float | None = None,
        most_features: int = 312,
        scales: Sequence[int] = DOUBLING_SCALES,
    ) -> None:
        super().__init__()
        doublings = {each: count_doublings(each, "ProSR") for each in (*scales, scale)}
        self.scale = check_scales(scale, scales, "ProSR")
        self.channels = channels
        self.scales = tuple(scales)
        self.doublings = doublings
        if len(levels) < max(doublings.values()):
            raise UserError(f"model.levels has {len(levels)} levels, too few for scale={max(self.scales)}.")
        self.subtract_mean = ShiftMean(div2k_mean(channels), -1)
        self.heads = nn.ModuleDict({f"x{each}": mirrored(channels, features) for each in self.scales})
        self.levels, self.upsample, self.tails = nn.ModuleList(), nn.ModuleList(), nn.ModuleDict()
        width = features
        for number, units in enumerate(levels[: max(doublings.values())]):
            begin = features if level_compression is None else int(level_compression * width)
            options = (growth, bottleneck, residual_scale, compression, begin if number else None, most_features)
            level = Level(width, units, *options)
            width = level.width
            self.levels.append(level)
            made = upsampler(channels=width, scale=2, activation=nn.ReLU)
            self.upsample.append(require_learned(made, "ProSR"))
            if 2 ** (number + 1) in self.scales:
                self.tails[f"x{2 ** (number + 1)}"] = mirrored(width, channels)

    def forward(self, lr: Tensor, scale: int | None = None, blend: float = 1.0) -> Tensor:
        """Enlarge, by the configured scale or another of `scales`.

        Args:
            lr: (B, channels, h, w) in [0, 1].
            scale: the enlargement.
            blend: below 1 while a new level is grown: its share; the rest is the image of the level before, doubled.

        Returns:
            (B, channels, scale * h, scale * w).

        Raises:
            UserError: it is not built for that scale, or, to blend, for half of it.
        """
        scale = check_scales(self.scale if scale is None else scale, self.scales, "ProSR")
        features = self.heads[f"x{scale}"](self.subtract_mean(lr))
        before = features
        for level, upsample in zip(self.levels[: self.doublings[scale]], self.upsample, strict=False):
            before, features = features, upsample(level(features))
        residual = self.tails[f"x{scale}"](features)
        if blend < 1:
            half = self.tails[f"x{check_scales(scale // 2, self.scales, 'ProSR')}"](before)
            doubled = F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=True)
            residual = blend * residual + (1 - blend) * doubled
        return residual + bicubic_upsample(lr, scale=scale)
