"""LR consistency: SR, degraded again, should equal LR (cycle of Yuan et al., CVPR Workshops 2018; back-projection)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError


class LRConsistency(nn.Module):
    """Mean distance between the degraded SR image and LR.

    Args:
        degradation: (image, key) -> LR, the operator that made LR. Its rounding to 8 bits, if it does any, must let
            gradients through, as those of this package do.
        distance: `l1`, the absolute difference, or `l2`, the squared one.

    Raises:
        UserError: `distance` is unknown.
    """

    def __init__(self, degradation: nn.Module, distance: str = "l1") -> None:
        super().__init__()
        if distance not in ("l1", "l2"):
            raise UserError(f"distance={distance} of the LR-consistency term is unknown: use l1 or l2.")
        self.degradation = degradation
        self.distance = distance

    def forward(self, sr: Tensor, lr: Tensor, key: Tensor | None = None) -> Tensor:
        """SR (B, C, s * h, s * w), LR (B, C, h, w) and the keys with which LR was made -> a scalar."""
        shrunk = self.degradation(sr, key)
        return F.l1_loss(shrunk, lr) if self.distance == "l1" else F.mse_loss(shrunk, lr)
