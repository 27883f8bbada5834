"""The pool in which the pairs of many batches are mixed, and its place in checkpoints."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from sr_experiments.degradations import PairPool
from sr_experiments.pixels.eightbit import full_precision
from sr_experiments.training.terms import Batch

NAME = "pair_pools"


class Pool(nn.Module):
    """Exchanges the pairs of a training batch for those of a pool; see `PairPool`.

    Args:
        pairs: in each process's pool; None for no pool.
        crop_size: HR pixels a side.
        scale: how many times smaller LR is.
    """

    def __init__(self, pairs: int | None, crop_size: int, scale: int) -> None:
        super().__init__()
        self.pairs = None if pairs is None else PairPool(pairs, crop_size, scale)

    @torch.no_grad()
    def forward(self, batch: Batch, step: int) -> Batch:
        """Other `hr`, `lr` and `key`, in the memory layout of those that came."""
        if self.pairs is None or not self.training:
            return batch
        with full_precision(batch["hr"].device):
            hr, lr, key = self.pairs(batch["hr"], batch["lr"], batch["key"])
        is_last = batch["hr"].is_contiguous(memory_format=torch.channels_last)
        memory_format = torch.channels_last if is_last else torch.contiguous_format
        hr, lr = (images.contiguous(memory_format=memory_format) for images in (hr, lr))
        return {**batch, "hr": hr, "lr": lr, "key": key}


def save_pools(pool: PairPool, trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Put the pools of all processes, which all have to call this, into a checkpoint."""
    pools: list[Any] = [{name: values.cpu() for name, values in pool.contents().items()}]
    if trainer.world_size > 1:
        mine, pools = pools[0], [None] * trainer.world_size
        torch.distributed.all_gather_object(pools, mine)
    checkpoint[NAME] = pools


def load_pools(pool: PairPool, trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Fill this process's pool again; with another number of processes it begins empty, as their shares are others."""
    pools = checkpoint.get(NAME, [])
    if len(pools) == trainer.world_size:
        pool.refill(pools[trainer.global_rank])
