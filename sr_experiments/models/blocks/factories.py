"""What a network is handed where its activations and the blocks of its trunk can be chosen."""

from __future__ import annotations

from typing import Protocol

from torch import nn


class ActivationFactory(Protocol):
    """Makes an activation for a feature map of so many channels."""

    def __call__(self, features: int) -> nn.Module:
        """Make the activation: (B, features, h, w) -> the same shape."""
        ...


class BlockFactory(Protocol):
    """Makes a block of a trunk: x + residual_scale * what it computes, with its own options already given."""

    def __call__(self, features: int, *, activation: ActivationFactory, residual_scale: float = 1.0) -> nn.Module:
        """Make the block: (B, features, h, w) -> the same shape."""
        ...
