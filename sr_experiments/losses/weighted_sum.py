"""A loss is a sum of named, weighted terms."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError


class WeightedSum(nn.Module):
    """Weighted sum of terms; each takes what its `forward` names: `sr`, `hr`, `lr`, ...

    Args:
        terms: name -> {"weight": number, "term": module returning a scalar}. A term of weight 0 is never called.

    Raises:
        UserError: no term has a weight other than 0, or a term is not made of a weight and a module.
    """

    def __init__(self, terms: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        for name, entry in terms.items():
            if set(entry) != {"weight", "term"} or not isinstance(entry["term"], nn.Module):
                raise UserError(f"loss.terms.{name} must have a weight and a term with a _target_, and nothing else.")
        self.weights = {name: float(entry["weight"]) for name, entry in terms.items() if entry["weight"] != 0}
        if not self.weights:
            raise UserError("The loss has no term whose weight is not 0: there is nothing to train for.")
        self.terms = nn.ModuleDict({name: terms[name]["term"] for name in self.weights})
        self.needs = {
            name: list(inspect.signature(term.forward).parameters)  # type: ignore[arg-type]
            for name, term in self.terms.items()
        }

    def forward(self, **inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Add up the terms.

        Args:
            inputs: what terms may ask for by name, such as `sr` and `hr`, (B, C, H, W) in [0, 1].

        Returns:
            The weighted sum, and the value of every term before weighting (detached).

        Raises:
            UserError: a term needs an input that this training does not have.
        """
        values: dict[str, Tensor] = {}
        total: Tensor | None = None
        for name, term in self.terms.items():
            missing = [need for need in self.needs[name] if need not in inputs]
            if missing:
                raise UserError(f"The loss term {name} needs {', '.join(missing)}, which this training does not have.")
            value = term(**{need: inputs[need] for need in self.needs[name]})
            values[name] = value.detach()
            weighted = self.weights[name] * value
            total = weighted if total is None else total + weighted
        return torch.as_tensor(total), values
