"""Any optimizer of torch.optim; its learning rate is called `learning_rate`, since `lr` is the low-resolution image."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from sr_experiments.errors import UserError


def make(parameters: Iterable[nn.Parameter], type: str, learning_rate: float, **options: Any) -> Optimizer:
    """Make an optimizer.

    Args:
        parameters: what it updates, or groups of them.
        type: the name of a class of torch.optim, such as `Adam`.
        learning_rate: its `lr`.
        options: its further arguments, under torch's own names. `fused=False` may be given to any: it is what those
            without that argument do.

    Raises:
        UserError: there is no such optimizer, it needs the loss computed anew within a step, or it does not take an
            option.
    """
    kinds = _optimizers()
    if type not in kinds:
        raise UserError(
            f"optimizer.type={type} is not an optimizer of torch.optim that works here: use {', '.join(kinds)}."
        )
    kind = kinds[type]
    accepted = [name for name in inspect.signature(kind).parameters if name not in ("params", "lr")]
    if not options.get("fused", True) and "fused" not in accepted:
        options.pop("fused")
    for name in options:
        if name not in accepted:
            raise UserError(f"{type} takes no {name}: it takes {', '.join(accepted)}.")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for name, value in options.items()
    }
    try:
        return kind(parameters, lr=learning_rate, **values)
    except (TypeError, ValueError) as error:
        raise UserError(f"torch.optim.{type} cannot be made with {values}: {error}") from error


def _optimizers() -> dict[str, Any]:
    """The optimizers of torch.optim whose step needs no function that computes the loss again, as that of LBFGS."""
    found = {}
    for name, kind in inspect.getmembers(torch.optim, inspect.isclass):
        if issubclass(kind, Optimizer) and kind is not Optimizer:
            closure = inspect.signature(kind.step).parameters.get("closure")
            if closure is not None and closure.default is None:
                found[name] = kind
    return found
