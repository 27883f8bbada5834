"""The stages of a training or an evaluation, in order."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sr_experiments.degradations import PairPool
from sr_experiments.matching import Matching
from sr_experiments.training.stages.degrade import Degrade
from sr_experiments.training.stages.match import Match
from sr_experiments.training.stages.pool import Pool, load_pools, save_pools
from sr_experiments.training.terms import Batch


class Stages(nn.ModuleDict):
    """Turns what the loader gives into images, uint8 -> float32 in [0, 1], and passes the batch through all stages.

    Args:
        channels_last: keep images in the memory layout that convolutions like best.
        stages: name -> stage; None leaves it out. `degrade` makes LR, and there must be one.
    """

    def __init__(self, channels_last: bool = True, **stages: nn.Module | None) -> None:
        super().__init__({name: stage for name, stage in stages.items() if stage is not None})
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, batch: Batch, step: int) -> Batch:
        """Prepare a batch of the loader for the update after `step` others, or for an evaluation."""
        batch = {**batch, **{name: self.to_image(batch[name]) for name in ("hr", "lr") if name in batch}}
        for stage in self.values():
            batch = stage(batch, step)
        return batch

    def to_image(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> float32 in [0, 1]."""
        return (pixels.float() / 255).contiguous(memory_format=self.memory_format)

    @property
    def degradation(self) -> nn.Module:
        """What LR images are made with in evaluations."""
        stage = self["degrade"]
        assert isinstance(stage, Degrade)
        return stage.degradation

    @property
    def matching(self) -> Matching | None:
        """What finds the textures of references, if anything does."""
        return next((stage.matching for stage in self.values() if isinstance(stage, Match)), None)

    @property
    def pair_pool(self) -> PairPool | None:
        """The pool of pairs, if there is one."""
        return next((stage.pairs for stage in self.values() if isinstance(stage, Pool)), None)

    def save(self, trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
        """Add what is not the same in all processes, which all have to call this, to a checkpoint."""
        if self.pair_pool is not None:
            save_pools(self.pair_pool, trainer, checkpoint)

    def load(self, trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
        """Take it out again."""
        if self.pair_pool is not None:
            load_pools(self.pair_pool, trainer, checkpoint)
