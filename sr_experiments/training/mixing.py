"""Random numbers that belong to samples: the same on every device, in every process and after every resume."""

from __future__ import annotations

import torch
from torch import Tensor

from sr_experiments.pixels.draws import STEP, scrambled, shifted, signed


def uniform_of(keys: Tensor, draw: int) -> Tensor:
    """One number for every key, on its device, by SplitMix64 as the draws of degradations.

    Args:
        keys: (B,) int64, which come from seed, step and position of a sample.
        draw: tells apart several numbers of one sample.

    Returns:
        (B,) float32 in [0, 1).
    """
    return shifted(scrambled(keys + signed((draw + 1) * STEP)), 40).to(torch.float32) / 2**24
