"""A term of a loss that fails in one process, for the tests of several."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NotFiniteOnce(nn.Module):
    """The mean absolute difference; not a number in the last process, the third time it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        self.calls += 1
        value = (sr - hr).abs().mean()
        rank, count = torch.distributed.get_rank(), torch.distributed.get_world_size()
        return value * float("nan") if self.calls == 3 and rank == count - 1 else value
