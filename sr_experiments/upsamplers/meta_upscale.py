"""Meta-upscale: Hu et al., "Meta-SR: A Magnification-Arbitrary Network ...", CVPR 2019 (arXiv 1903.00875)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.upsamplers.base import Activation, Upsampler

KERNEL = 3


class MetaUpscale(Upsampler):
    """A small network predicts, for every output pixel, the filter that makes it from the features around it.

    Output pixel (i, j) belongs to the input pixel (floor(i / scale), floor(j / scale)). What is left of i / scale and
    j / scale, with 1 / scale, is all that the filter depends on, so that the same weights enlarge by any real number.

    Args:
        channels: channels of the feature map.
        scale: the enlargement, any number of at least 1.
        out_channels: channels of the result (default: `channels`); given, it makes the image and has no activation.
        activation: follows, where the feature map is kept.
        hidden: width of the small network.

    Raises:
        UserError: `scale` is below 1.
    """

    learned = True

    def __init__(
        self,
        *,
        channels: int,
        scale: float,
        out_channels: int | None = None,
        activation: Activation | None = None,
        hidden: int = 256,
    ) -> None:
        super().__init__(_at_least_one(scale))
        self.filter_shape = (channels * KERNEL**2, channels if out_channels is None else out_channels)
        numbers = self.filter_shape[0] * self.filter_shape[1]
        self.predict = nn.Sequential(nn.Linear(3, hidden), nn.ReLU(), nn.Linear(hidden, numbers))
        keeps = activation is not None and out_channels is None
        self.activation: nn.Module = activation() if keeps and activation is not None else nn.Identity()

    def forward(self, x: Tensor, scale: float | None = None) -> Tensor:
        """(B, channels, h, w) -> (B, out_channels, floor(scale * h), floor(scale * w)), at `scale` or its own."""
        scale = self.scale if scale is None else _at_least_one(scale)
        batch, _, height, width = x.shape
        rows, row_rests = _project(height, scale)
        columns, column_rests = _project(width, scale)
        patches = F.unfold(x, KERNEL, padding=KERNEL // 2).unflatten(-1, (height, width))
        patches = patches[:, :, :, columns.to(x.device)]
        kinds, kind_of_column = column_rests.unique(return_inverse=True)
        result = x.new_empty(batch, self.filter_shape[1], len(rows), len(columns))
        # Rows with the same rest share their filters: a few matrix products in place of a filter kept for each pixel.
        for rest in row_rests.unique():
            chosen = (row_rests == rest).nonzero()[:, 0]
            place = torch.stack([torch.full_like(kinds, 1 / scale), rest.expand_as(kinds), kinds], dim=1)
            filters = self.predict(place.to(x)).unflatten(-1, self.filter_shape)[kind_of_column.to(x.device)]
            seen = patches[:, :, rows[chosen].to(x.device)]
            result[:, :, chosen.to(x.device)] = torch.einsum("bkrw,wko->borw", seen, filters).to(result.dtype)
        return self.activation(result)


def _project(length: int, scale: float) -> tuple[Tensor, Tensor]:
    """For every output pixel of an axis the input pixel that it belongs to, and the rest."""
    # The small number keeps 3 / 1.1 * 1.1 and its like from falling under the whole number that they mean.
    position = torch.arange(int(length * scale + 1e-6), dtype=torch.float64) / scale
    cell = (position + 1e-6).floor().clamp(max=length - 1)
    return cell.long(), (position - cell).clamp(min=0).mul(1e6).round().div(1e6)


def _at_least_one(scale: float) -> float:
    if scale < 1:
        raise UserError(f"Meta-upscale enlarges by any number of at least 1, not by scale={scale}.")
    return scale
