"""Wavelet loss: Huang et al., "Wavelet-SRNet: A Wavelet-based CNN for Multi-scale Face Super Resolution", ICCV 2017."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.models.blocks import haar_down


class Wavelet(nn.Module):
    """Squared distance of Haar wavelet packets, in which details have more weight than local means.

    Every level splits every band in four (section 3.2), so that `levels` of them give the mean of squares of 2^levels
    pixels a side, and 4^levels - 1 bands of details. The transform is orthonormal and the sum is divided by the number
    of pixels and channels: with both weights 1 this is the MSE.

    Args:
        levels: how often the image is split; the paper's is log2 of the enlargement.
        low: weight of the means (the authors' code: 0.01).
        high: weight of the details (0.99).

    Raises:
        UserError: no level, or a weight that is negative.
    """

    def __init__(self, levels: int = 2, low: float = 0.01, high: float = 0.99) -> None:
        super().__init__()
        if levels < 1:
            raise UserError(f"The wavelet term takes at least one level, not levels={levels}.")
        if low < 0 or high < 0:
            raise UserError(f"The weights of the wavelet term must not be negative, but are low={low}, high={high}.")
        self.levels = levels
        self.low = low
        self.high = high

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Two (B, C, H, W) images in [0, 1] -> a scalar; padded with zeros to multiples of 2^levels."""
        cell = 2**self.levels
        difference = F.pad(sr - hr, (0, -sr.shape[3] % cell, 0, -sr.shape[2] % cell))
        for _ in range(self.levels):
            difference = haar_down(difference)
        squared = difference.square()
        low, high = squared[:, : sr.shape[1]].sum(), squared[:, sr.shape[1] :].sum()
        return (self.low * low + self.high * high) / sr.numel()
