"""The pools of training pairs in checkpoints: one a process, so that each goes on with its own."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from sr_experiments.degradations import PairPool

NAME = "pair_pools"


def save_pools(pool: PairPool | None, trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Put the pools of all processes, which all have to call this, into a checkpoint; nothing without pools."""
    if pool is None:
        return
    pools: list[Any] = [{name: values.cpu() for name, values in pool.contents().items()}]
    if trainer.world_size > 1:
        mine, pools = pools[0], [None] * trainer.world_size
        torch.distributed.all_gather_object(pools, mine)
    checkpoint[NAME] = pools


def load_pools(pool: PairPool | None, trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Fill this process's pool again; with another number of processes it begins empty, as their shares are others."""
    pools = checkpoint.get(NAME, [])
    if pool is not None and len(pools) == trainer.world_size:
        pool.refill(pools[trainer.global_rank])
