"""Learning rates as closed formulas of the generator update, so that a resumed run meets the same values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sr_experiments.errors import UserError


def constant(optimizer: Optimizer, warmup: int = 0) -> LambdaLR:
    """The optimizer's own learning rate throughout.

    Args:
        optimizer: whose learning rate is set.
        warmup: generator updates over which it rises linearly.
    """
    return _schedule(optimizer, lambda update: 1.0, warmup)


def step(optimizer: Optimizer, every: int, gamma: float, warmup: int = 0) -> LambdaLR:
    """Multiplied by `gamma` after every `every` generator updates.

    Raises:
        UserError: `every` is not positive.
    """
    if every < 1:
        raise UserError(f"scheduler.every must be at least 1 generator update, not {every}.")
    return _schedule(optimizer, lambda update: gamma ** (update // every), warmup)


def multistep(optimizer: Optimizer, milestones: Sequence[int], gamma: float, warmup: int = 0) -> LambdaLR:
    """Multiplied by `gamma` at each of `milestones` (generator updates)."""
    marks = sorted(milestones)
    return _schedule(optimizer, lambda update: gamma ** sum(update >= mark for mark in marks), warmup)


def cosine(optimizer: Optimizer, steps: int, minimum: float = 0.0, warmup: int = 0) -> LambdaLR:
    """Half a cosine from 1 to `minimum` times the optimizer's learning rate over `steps` generator updates.

    Raises:
        UserError: `steps` is not positive (a run without `trainer.max_steps` has no end to fall towards).
    """
    if steps < 1:
        raise UserError(f"scheduler.steps must be at least 1, not {steps}: set it, or trainer.max_steps.")

    def factor(update: int) -> float:
        return minimum + (1 - minimum) * 0.5 * (1 + math.cos(math.pi * min(update / steps, 1.0)))

    return _schedule(optimizer, factor, warmup)


def _schedule(optimizer: Optimizer, factor: Callable[[int], float], warmup: int) -> LambdaLR:
    if warmup < 0:
        raise UserError(f"scheduler.warmup must not be negative, but is {warmup}.")

    def with_warmup(update: int) -> float:
        return factor(update) * min((update + 1) / (warmup + 1), 1.0)

    return LambdaLR(optimizer, with_warmup)
