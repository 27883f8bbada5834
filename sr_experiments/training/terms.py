"""The terms of a loss, and the mean of what several parts of a batch came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Batch = dict[str, Any]
Values = dict[str, Tensor]


@dataclass(frozen=True)
class Term:
    """A term of a loss.

    Attributes:
        value: its value before weighting, detached, for the log.
        weighted: what it adds to the loss, with its graph; None for a number that is only logged.
    """

    value: Tensor
    weighted: Tensor | None = None


Terms = dict[str, Term]


def mean_values(rows: list[Values]) -> Values:
    """The mean of every name over `rows` that all have the same names."""
    return {name: torch.stack([row[name].float() for row in rows]).mean() for name in rows[0]}
