"""Optimizers of `torch.optim`, with `learning_rate` for torch's `lr`, which is the low-resolution image here."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, get_type_hints

import torch
from torch import nn
from torch.optim import Optimizer

from sr_experiments.errors import UserError

# They need more than one gradient a step, or sparse gradients, which no training here gives them.
UNSUITED = ("LBFGS", "SparseAdam")


def make(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
    type: str,
    learning_rate: float,
    fused: bool = True,
    **arguments: Any,
) -> Optimizer:
    """Make an optimizer of `torch.optim`.

    Args:
        parameters: what it updates: parameters, or parameter groups.
        type: its class in `torch.optim`, such as `Adam`, `SGD` or `RAdam`.
        learning_rate: torch's `lr`.
        fused: update all parameters in one kernel, where the class can.
        arguments: its further arguments under torch's own names, such as `eps` or `betas`.

    Raises:
        UserError: there is no such optimizer, or torch refuses its arguments.
    """
    accepted = accepted_arguments(type)
    unknown = [name for name in arguments if name not in accepted]
    if unknown:
        raise UserError(f"The optimizer {type} takes no {unknown[0]}. It takes {', '.join(sorted(accepted))}.")
    if "fused" in inspect.signature(getattr(torch.optim, type)).parameters:
        arguments["fused"] = fused
    # Lists from a config become tuples: a checkpoint with a list of OmegaConf could not be loaded safely.
    plain = {name: value if _is_plain(value) else tuple(value) for name, value in arguments.items()}
    try:
        optimizer: Optimizer = getattr(torch.optim, type)(parameters, lr=learning_rate, **plain)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"The optimizer {type} cannot be made of its arguments: {error}") from error
    return optimizer


def accepted_arguments(type: str = "", **_: Any) -> dict[str, Any]:
    """The arguments that `make` takes for one class of `torch.optim`, with their type hints.

    Raises:
        UserError: there is no such optimizer.
    """
    kinds = sorted(name for name, kind in vars(torch.optim).items() if _is_optimizer(kind) and name not in UNSUITED)
    if type not in kinds:
        raise UserError(f"There is no optimizer {type} to train with. There are {', '.join(kinds)}.")
    own = get_type_hints(make)
    hints = get_type_hints(getattr(torch.optim, type).__init__)
    hidden = {"params", "lr", "fused", "return"}
    return {
        **{name: own[name] for name in ("type", "learning_rate", "fused")},
        **{name: hint for name, hint in hints.items() if name not in hidden},
    }


make.accepted_arguments = accepted_arguments  # type: ignore[attr-defined]  # read by the check of a config


def _is_optimizer(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Optimizer) and kind is not Optimizer


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
