"""Focal frequency loss: Jiang et al., Focal Frequency Loss for Image Reconstruction and Synthesis, ICCV 2021."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError


class FocalFrequency(nn.Module):
    """Squared distance of spectra, in which the frequencies with the largest error have the largest weight.

    The spectrum weight matrix is |difference|^alpha, divided by its largest value in each image and channel, and takes
    no gradient (equations 7 and 8). The transform is orthonormal, so that with alpha = 0 this is the MSE.

    Args:
        alpha: how much it is focused; the paper's 1.

    Raises:
        UserError: `alpha` is negative.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        if alpha < 0:
            raise UserError(f"The alpha of the focal frequency term must not be negative, but is {alpha}.")
        self.alpha = alpha

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Two (B, C, H, W) images in [0, 1] -> a scalar."""
        spectrum = torch.fft.fft2(sr - hr, norm="ortho")
        squared = spectrum.real**2 + spectrum.imag**2
        with torch.no_grad():
            focus = squared ** (self.alpha / 2)
            largest = focus.amax(dim=(-2, -1), keepdim=True)
            focus = torch.where(largest > 0, focus / largest, torch.zeros_like(focus))
        return (focus * squared).mean()
