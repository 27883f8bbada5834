"""Activations by name, each made for a number of channels, which only some of them have a use for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError


def relu(features: int) -> nn.Module:
    """max(x, 0)."""
    return nn.ReLU()


def leaky_relu(features: int, slope: float = 0.2) -> nn.Module:
    """max(x, 0) + slope * min(x, 0)."""
    return nn.LeakyReLU(slope)


def prelu(features: int, shared: bool = True) -> nn.Module:
    """Leaky ReLU with a learned slope, one for all channels (SRResNet) or, not `shared`, one for each."""
    return nn.PReLU(1 if shared else features)


def gelu(features: int) -> nn.Module:
    """The value times its normal distribution function (Hendrycks and Gimpel, arXiv 1606.08415)."""
    return nn.GELU()


def silu(features: int) -> nn.Module:
    """The value times its sigmoid, also called swish."""
    return nn.SiLU()


def tanh(features: int) -> nn.Module:
    """Hyperbolic tangent, with results in (-1, 1)."""
    return nn.Tanh()


class XUnit(nn.Module):
    """x * exp(-d^2), where d follows from the neighbourhood of each value in its channel: a learned, spatial gate.

    d = batch norm of a depthwise convolution of ReLU of batch norm of x. Kligvasser et al., "xUnit: Learning a Spatial
    Activation Function for Efficient Image Restoration", CVPR 2018 (arXiv 1711.06445), section 3.

    Args:
        features: channels of the feature map.
        kernel: size of the depthwise kernel; the paper's 9.

    Raises:
        UserError: an even kernel.
    """

    def __init__(self, features: int, kernel: int = 9) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise UserError(f"The kernel of xUnit must be odd, but is {kernel}: set activation.kernel to 9, say.")
        look = nn.Conv2d(features, features, kernel, padding=kernel // 2, groups=features)
        self.distance = nn.Sequential(nn.BatchNorm2d(features), nn.ReLU(), look, nn.BatchNorm2d(features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        return x * torch.exp(-(self.distance(x) ** 2))
