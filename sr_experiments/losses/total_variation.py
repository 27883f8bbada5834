"""Total variation: Rudin, Osher and Fatemi, 1992; as a loss for networks: Johnson et al., ECCV 2016."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError


class TotalVariation(nn.Module):
    """How much an image varies from pixel to pixel.

    Args:
        kind: `anisotropic`, |dx| + |dy|, or `isotropic`, sqrt(dx^2 + dy^2) (the survey's formula).
        reduction: `mean` divides by C * H * W, `sum` adds up an image (SRResNet-VGG22's 2e-8 belongs to it, on images
            in [-1, 1]); both average over the batch.

    Raises:
        UserError: `kind` or `reduction` is unknown.
    """

    def __init__(self, kind: str = "anisotropic", reduction: str = "mean") -> None:
        super().__init__()
        if kind not in ("anisotropic", "isotropic"):
            raise UserError(f"kind={kind} of total variation is unknown: use anisotropic or isotropic.")
        if reduction not in ("mean", "sum"):
            raise UserError(f"reduction={reduction} is unknown: use mean or sum.")
        self.kind = kind
        self.reduction = reduction

    def forward(self, sr: Tensor) -> Tensor:
        """(B, C, H, W) image -> a scalar."""
        dx = sr[..., :, 1:] - sr[..., :, :-1]
        dy = sr[..., 1:, :] - sr[..., :-1, :]
        if self.kind == "anisotropic":
            total = dx.abs().sum() + dy.abs().sum()
        else:
            squared = F.pad(dx, (0, 1)) ** 2 + F.pad(dy, (0, 0, 0, 1)) ** 2
            # The root has no gradient at 0; flat pixels contribute none.
            flat = squared == 0
            total = torch.sqrt(squared.masked_fill(flat, 1.0)).masked_fill(flat, 0.0).sum()
        return total / len(sr) if self.reduction == "sum" else total / sr.numel()
