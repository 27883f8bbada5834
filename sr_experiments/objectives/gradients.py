"""Penalties on the discriminator's slope."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def input_gradients(discriminator: nn.Module, images: Tensor) -> Tensor:
    """How each sample's logit (the mean over its places) depends on its pixels; itself differentiable.

    Args:
        discriminator: (B, 3, c, c) -> logits (B, 1) or (B, 1, h, w).
        images: (B, 3, c, c); taken as constants.

    Returns:
        (B, 3, c, c).
    """
    with torch.enable_grad():
        images = images.detach().requires_grad_(True)
        logits = discriminator(images).flatten(1).mean(dim=1)
        return torch.autograd.grad(logits.sum(), images, create_graph=True)[0]


def r1_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """Half the squared slope at HR crops, the mean over the batch.

    Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018, equation 9, without its gamma.
    """
    return 0.5 * (input_gradients(discriminator, real).flatten(1) ** 2).sum(dim=1).mean()
