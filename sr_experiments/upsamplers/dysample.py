"""DySample: Liu et al., "Learning to Upsample by Learning to Sample", ICCV 2023 (arXiv 2308.15085)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.upsamplers.base import Activation, Upsampler, in_stages


class PointSampling(nn.Module):
    """Read every output pixel off the feature map at a point of its own, by bilinear interpolation.

    The points begin where bilinear enlargement has them; 1x1 convolutions of the features move them, by up to half a
    pixel or so ("linear + pixel shuffle" of the paper, its offsets scaled by the features as well).

    Args:
        channels: channels of the feature map.
        factor: the enlargement, a whole number.
        groups: groups of channels, each with points of its own.
        dynamic: scale the offsets by a number between 0 and 0.5 that depends on the features; False for 0.25 always.
    """

    begin: Tensor

    def __init__(self, channels: int, factor: int, groups: int, dynamic: bool) -> None:
        super().__init__()
        self.factor = factor
        self.groups = groups
        numbers = 2 * groups * factor**2
        self.offset = nn.Conv2d(channels, numbers, 1)
        nn.init.normal_(self.offset.weight, std=0.001)
        nn.init.zeros_(self.offset.bias)  # type: ignore[arg-type]
        self.scope = nn.Conv2d(channels, numbers, 1, bias=False) if dynamic else None
        if self.scope is not None:
            nn.init.zeros_(self.scope.weight)
        # Where bilinear enlargement reads, in input pixels from the centre of the one it belongs to.
        place = (torch.arange(factor) - (factor - 1) / 2) / factor
        rows, columns = torch.meshgrid(place, place, indexing="ij")
        begin = torch.stack([columns, rows])[:, None].expand(2, groups, factor, factor)
        self.register_buffer("begin", begin.reshape(1, numbers, 1, 1).clone(), persistent=False)

    def points(self, x: Tensor) -> Tensor:
        """Where to read, in input pixels: (B, 2 (x, y), groups, factor * h, factor * w), 0.5 the first centre."""
        offsets = self.offset(x)
        offsets = offsets * 0.25 if self.scope is None else offsets * self.scope(x).sigmoid() * 0.5
        offsets = F.pixel_shuffle(offsets + self.begin, self.factor).unflatten(1, (2, self.groups))
        height, width = (torch.arange(side * self.factor, device=x.device) // self.factor for side in x.shape[-2:])
        centres = torch.stack(torch.broadcast_tensors(width[None, :], height[:, None])) + 0.5
        return offsets + centres[:, None].to(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, channels, factor * h, factor * w)."""
        size = x.new_tensor([x.shape[-1], x.shape[-2]]).view(1, 2, 1, 1, 1)
        grid = (self.points(x) / size * 2 - 1).permute(0, 2, 3, 4, 1).flatten(0, 1)
        parts = x.unflatten(1, (self.groups, -1)).flatten(0, 1)
        made = F.grid_sample(parts, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return made.unflatten(0, (len(x), self.groups)).flatten(1, 2)


class DySample(Upsampler):
    """Sample the feature map at learned points, then convolve it, as `ResizeConv` does after interpolation.

    Args:
        channels: channels of the feature map.
        scale: the enlargement; a power of two is reached by repeated doubling.
        out_channels: channels of the result (default: `channels`).
        activation: made anew for every stage, after the convolution; not applied to a stage that makes the image.
        groups: groups of channels with points of their own.
        dynamic: let the features scale the offsets as well (DySample+ in the paper).

    Raises:
        UserError: `groups` does not divide the channels.
    """

    learned = True

    def __init__(
        self,
        *,
        channels: int,
        scale: int,
        out_channels: int | None = None,
        activation: Activation | None = None,
        groups: int = 4,
        dynamic: bool = True,
    ) -> None:
        super().__init__(scale)
        if groups < 1 or channels % groups:
            raise UserError(f"upsampler.groups={groups} must divide the {channels} channels that it is to enlarge.")

        def stage(channels_in: int, channels_out: int, factor: int) -> list[nn.Module]:
            enlarge = PointSampling(channels_in, factor, groups, dynamic)
            return [enlarge, nn.Conv2d(channels_in, channels_out, 3, padding=1)]

        self.layers = in_stages(stage, channels=channels, scale=scale, out_channels=out_channels, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, out_channels, scale * h, scale * w)."""
        return self.layers(x)
