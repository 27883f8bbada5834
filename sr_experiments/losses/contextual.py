"""Contextual loss: Mechrez et al., The Contextual Loss for Image Transformation with Non-Aligned Data, ECCV 2018.

For super-resolution: Mechrez et al., Maintaining Natural Image Statistics with the Contextual Loss, ACCV 2018.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sr_experiments.errors import UserError
from sr_experiments.losses.layers import weighted_layers

Features = Mapping[str, Tensor]
EPSILON = 1e-5


class Contextual(nn.Module):
    """-log of the mean similarity of every HR feature to its most similar SR feature, anywhere in the image.

    Distances are cosine distances after the mean HR feature is taken off (equations 2 to 4). The table of all pairs
    of positions is made a few rows at a time, in the backward pass as well, so that its size does not limit the crop.

    Args:
        layers: layer of the feature network -> weight; the paper on super-resolution takes conv3_4.
        bandwidth: h of equation 3: the smaller, the more only the nearest feature counts.
        rows: how many SR positions are compared with all HR positions at once.

    Raises:
        UserError: `bandwidth` or `rows` is not positive, or no layer has a weight.
    """

    def __init__(self, layers: Mapping[str, float], bandwidth: float = 0.1, rows: int = 1024) -> None:
        super().__init__()
        if bandwidth <= 0 or rows < 1:
            raise UserError("The bandwidth and the rows of the contextual term must be positive.")
        self.layers = weighted_layers(layers, "The contextual term")
        self.bandwidth = bandwidth
        self.rows = rows

    def forward(self, sr_features: Features, hr_features: Features) -> Tensor:
        """Layer -> activation (B, C, h, w) of both images -> a scalar, near 0 for equal images."""
        parts = [weight * self._compare(sr_features[name], hr_features[name]) for name, weight in self.layers.items()]
        return torch.stack(parts).sum()

    def _compare(self, sr: Tensor, hr: Tensor) -> Tensor:
        centre = hr.mean(dim=(2, 3), keepdim=True)
        x, y = (F.normalize(features - centre, dim=1).flatten(2) for features in (sr, hr))
        best: Tensor | None = None
        for part in x.split(self.rows, dim=2):
            met = checkpoint(self._met, part, y, use_reentrant=False, preserve_rng_state=False)
            best = met if best is None else torch.maximum(best, met)
        assert best is not None
        return -torch.log(best.mean(dim=1) + EPSILON).mean()

    def _met(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, C, N) and (B, C, M) unit vectors -> (B, M): the similarity of each of M to the most similar of N."""
        distance = (1 - x.mT @ y).clamp(min=0)  # rounding may take equal vectors below it
        relative = distance / (distance.amin(dim=2, keepdim=True) + EPSILON)
        # softmax is exp(.) divided by its row's sum, without overflow; the 1 of (1 - d) / h cancels.
        return torch.softmax(-relative / self.bandwidth, dim=2).amax(dim=1)
