"""The share of each loss term in the gradient."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def gradient_shares(weighted: Mapping[str, Tensor], sr: Tensor) -> dict[str, float]:
    """Share of each term in the sum of all terms' gradient norms at the image.

    The gradients at the image, unlike those at the weights, cost one backward pass through each term alone. The graph
    is kept for the update that follows.

    Args:
        weighted: name -> weighted term, a scalar with its graph.
        sr: what they were computed from; part of their graph.

    Returns:
        Name -> share in [0, 1]; they add up to 1, unless no term has a gradient.
    """
    norms = {}
    for name, value in weighted.items():
        gradient = None
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value, sr, retain_graph=True, allow_unused=True)
        norms[name] = 0.0 if gradient is None else float(gradient.norm())
    total = sum(norms.values())
    return {name: norm / total if total else 0.0 for name, norm in norms.items()}
