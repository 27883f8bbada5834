"""Optimizers under the project's names: `learning_rate`, since `lr` is the low-resolution image here."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def adam(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    fused: bool = True,
) -> torch.optim.Adam:
    """Adam (Kingma and Ba, ICLR 2015); `fused` updates all parameters in one kernel."""
    betas = (betas[0], betas[1])
    return torch.optim.Adam(
        parameters, lr=learning_rate, betas=betas, eps=epsilon, weight_decay=weight_decay, fused=fused
    )


def adamw(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    weight_decay: float = 1e-2,
    fused: bool = True,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, ICLR 2019); `fused` updates all parameters in one kernel."""
    betas = (betas[0], betas[1])
    return torch.optim.AdamW(
        parameters, lr=learning_rate, betas=betas, eps=epsilon, weight_decay=weight_decay, fused=fused
    )


def sgd(
    parameters: Iterable[nn.Parameter],
    learning_rate: float,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    fused: bool = True,
) -> torch.optim.SGD:
    """Gradient descent with momentum (VDSR, LapSRN); `weight_decay` w adds half of w * |parameters|^2 to the loss."""
    return torch.optim.SGD(
        parameters, lr=learning_rate, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=fused
    )
