"""Limits of gradients."""

from __future__ import annotations

from torch import nn
from torch.optim import Optimizer

from sr_experiments.errors import UserError


def check_algorithm(algorithm: str) -> None:
    """Raise a `UserError` unless `clip_gradients` knows it."""
    if algorithm not in ("norm", "value", "adjusted"):
        raise UserError(f"trainer.gradient_clip_algorithm={algorithm} is unknown: use norm, value or adjusted.")


def clip_gradients(optimizer: Optimizer, largest: float, algorithm: str) -> None:
    """Clip the gradients of an optimizer's parameters in place.

    Args:
        optimizer: whose parameters have gradients.
        largest: norm of all gradients together, or value of each.
        algorithm: `norm`; `value`; or `adjusted`, by value with the limit `largest` / learning rate, so that the limit
            of a step stays as the learning rate falls (VDSR: Kim et al., CVPR 2016, section 3.2; `largest` is theta).
    """
    if algorithm == "norm":
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], largest)
        return
    for group in optimizer.param_groups:
        # A schedule may end at a learning rate of 0.
        limit = largest / max(group["lr"], 1e-12) if algorithm == "adjusted" else largest
        nn.utils.clip_grad_value_(group["params"], limit)
