"""Ranges of the numbers in a config that no part checks by itself; they are checked before anything runs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sr_experiments.errors import UserError


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`.

    Attributes:
        keys: a regular expression for dotted keys.
        low: the smallest.
        high: the largest.
        above: whether `low` itself is left out.
        why: what else to say in the message.
    """

    keys: str
    low: float
    high: float = math.inf
    above: bool = False
    why: str = ""

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high  # nan is in no range

    def __str__(self) -> str:
        if self.above:
            return f"more than {self.low}"
        return f"at least {self.low}" if math.isinf(self.high) else f"from {self.low} to {self.high}"


_SIZES = r"features|channels|growth|groups|kernel|hidden"
_COUNTS = r"blocks|layers|depth|recursions|units|stages"

RANGES = (
    Range(r"seed", 0, 2**32 - 1),
    Range(r"trainer\.log_every_n_steps", 1),
    Range(r"trainer\.gradient_clip_val", 0, above=True, why="; null: gradients are not clipped"),
    Range(r"trainer\.limit_test_batches", 0, above=True, why="; data.sets=[] trains without a test"),
    Range(r"trainer\.limit_val_batches", 0),
    Range(r"loss\.terms\.\w+\.weight", 0, why=": a negative weight would maximise the term"),
    Range(r"loss\.adversarial\.weight", 0, why=": a negative weight would help the discriminator"),
    Range(r"(discriminator_)?optimizer\.learning_rate", 0),
    Range(rf"(model|block|loss\.adversarial\.discriminator)\.({_SIZES})(\[\d+\])*", 1),
    Range(rf"(model|block)\.({_COUNTS})(\[\d+\])*", 0),
)


def check_ranges(config: DictConfig) -> None:
    """Refuse numbers out of range.

    Args:
        config: the composed config.

    Raises:
        UserError: a number is out of its range; named with its key.
    """
    for key, value in _numbers(OmegaConf.to_container(config, resolve=False)):
        for of in RANGES:
            if re.fullmatch(of.keys, key) and value not in of:
                raise UserError(f"{key}={value} must be {of}{of.why}.")


def check_choices(overrides: Sequence[str], config: DictConfig) -> None:
    """Refuse several options of a group that makes one part: Hydra would merge their keys.

    Args:
        overrides: of the command line.
        config: the composed config.

    Raises:
        UserError: there are several.
    """
    for override in overrides:
        several = re.fullmatch(r"(\w+)=\[(\w+(?:,\w+)+)\]", override)
        if several and OmegaConf.is_dict(config.get(several[1])) and "_target_" in config[several[1]]:
            raise UserError(
                f"{override} would merge several options into one part: choose one, or run a job for each with "
                f"-m {several[1]}={several[2]}."
            )


def _numbers(node: Any, key: str = "") -> list[tuple[str, int | float]]:
    if isinstance(node, dict):
        return [pair for name, child in node.items() for pair in _numbers(child, f"{key}.{name}" if key else str(name))]
    if isinstance(node, list):
        return [pair for place, child in enumerate(node) for pair in _numbers(child, f"{key}[{place}]")]
    return [(key, node)] if isinstance(node, int | float) and not isinstance(node, bool) else []
