"""Random numbers that belong to samples: the same on every device, in every process and after every resume."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform_of(keys: Tensor, draw: int) -> Tensor:
    """One number for every key, by the finaliser of SplitMix64 (Steele et al., OOPSLA 2014).

    Args:
        keys: (B,) int64, which come from seed, step and position of a sample.
        draw: tells apart several numbers of one sample.

    Returns:
        (B,) float32 in [0, 1).
    """
    state = keys + _signed((draw + 1) * 0x9E3779B97F4A7C15)
    state = (state ^ _shifted(state, 30)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ _shifted(state, 27)) * _signed(0x94D049BB133111EB)
    state = state ^ _shifted(state, 31)
    return _shifted(state, 40).to(torch.float32) / 2**24


def _signed(value: int) -> int:
    """The 64-bit integer with the same bits, as torch's int64 has it."""
    value %= 2**64
    return value - 2**64 if value >= 2**63 else value


def _shifted(values: Tensor, bits: int) -> Tensor:
    """Shift to the right with zeros coming in; torch's own shift brings in the sign."""
    return (values >> bits) & (2 ** (64 - bits) - 1)
