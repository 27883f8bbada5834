"""Pyramid pooling: what the image is like as a whole, by halves, thirds and sixths, beside what is at each position."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.models.blocks.basic import conv


class PyramidPooling(nn.Module):
    """A fusion of the feature map with its means over grids of several sizes.

    For each size the means are narrowed by a 1x1 convolution with ReLU and enlarged bilinearly; a 1x1 convolution
    fuses them with the feature map. Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017 (arXiv 1612.01105),
    section 3.2, without its batch norms; in SR: Park et al., "Efficient Module Based Single Image Super Resolution for
    Multiple Problems", CVPRW 2018.

    Args:
        features: channels of the feature map.
        bins: rows and columns of each grid.

    Raises:
        UserError: no grid, or one without cells.
    """

    def __init__(self, features: int, bins: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        if not bins or min(bins) < 1:
            raise UserError(f"bins={list(bins)} of the pyramid pooling must be whole numbers of at least 1: [1,2,3,6].")
        self.bins = tuple(bins)
        narrow = max(features // len(bins), 1)
        self.narrow = nn.ModuleList(nn.Sequential(conv(features, narrow, 1), nn.ReLU()) for _ in bins)
        self.fuse = conv(features + len(bins) * narrow, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        seen = [x]
        for bins, narrow in zip(self.bins, self.narrow, strict=True):
            means = narrow(F.adaptive_avg_pool2d(x, bins))
            seen.append(F.interpolate(means, size=x.shape[2:], mode="bilinear", align_corners=False))
        return self.fuse(torch.cat(seen, dim=1))
