"""Distances between pixels. All are means over batch, channels and pixels of images in [0, 1] unless said otherwise."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError


class L1(nn.Module):
    """Mean absolute difference."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Two (B, C, H, W) images -> a scalar."""
        return F.l1_loss(sr, hr)


class MSE(nn.Module):
    """Mean squared difference.

    Args:
        reduction: `mean` over everything, or `sum` over an image, averaged over the batch; half of the latter is what
            VDSR and its kin were trained with (Caffe's Euclidean loss), and what their learning rates are made for.

    Raises:
        UserError: `reduction` is neither.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        check_reduction(reduction)
        self.reduction = reduction

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Two (B, C, H, W) images -> a scalar."""
        return F.mse_loss(sr, hr) if self.reduction == "mean" else F.mse_loss(sr, hr, reduction="sum") / len(sr)


class SmoothL1(nn.Module):
    """Quadratic below `beta`, linear above it (Girshick, ICCV 2015).

    Args:
        beta: where it turns linear; images lie in [0, 1], so torch's default of 1 would make it half the MSE.

    Raises:
        UserError: `beta` is not positive.
    """

    def __init__(self, beta: float = 0.01) -> None:
        super().__init__()
        if beta <= 0:
            raise UserError(f"The beta of smooth L1 must be positive, not {beta}.")
        self.beta = beta

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Two (B, C, H, W) images -> a scalar."""
        return F.smooth_l1_loss(sr, hr, beta=self.beta)


class Charbonnier(nn.Module):
    """sqrt(d^2 + epsilon^2), a differentiable L1 (LapSRN: Lai et al., CVPR 2017, section 3.3).

    Args:
        epsilon: the paper's 1e-3; squared inside the root.
        reduction: `mean` over everything, or the paper's `sum` over an image, averaged over the batch.

    Raises:
        UserError: `epsilon` is not positive, or `reduction` is neither.
    """

    def __init__(self, epsilon: float = 1e-3, reduction: str = "mean") -> None:
        super().__init__()
        if epsilon <= 0:
            raise UserError(f"The epsilon of Charbonnier must be positive, not {epsilon}.")
        check_reduction(reduction)
        self.epsilon = epsilon
        self.reduction = reduction

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Two (B, C, H, W) images -> a scalar."""
        distance = torch.sqrt((sr - hr) ** 2 + self.epsilon**2)
        return distance.mean() if self.reduction == "mean" else distance.sum() / len(sr)


def check_reduction(reduction: str) -> None:
    """Raise a `UserError` unless it is one that pixels are put together by."""
    if reduction not in ("mean", "sum"):
        raise UserError(f"reduction={reduction} is unknown: use mean or sum.")
