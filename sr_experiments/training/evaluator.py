"""The LightningModule that scores a network without training it."""

from __future__ import annotations

import pytorch_lightning as pl
from torch import nn

from sr_experiments.pixels.eightbit import full_precision
from sr_experiments.training.recipe import enlarge
from sr_experiments.training.stages import Stages
from sr_experiments.training.terms import Batch


class Evaluator(pl.LightningModule):
    """Enlarges the images of test sets; callbacks measure and keep them.

    Args:
        network: LR, and what else it takes, -> SR; on RGB or on luma.
        stages: what is done to a batch before.
    """

    loss = None

    def __init__(self, network: nn.Module, stages: Stages) -> None:
        super().__init__()
        self.network = network.to(memory_format=stages.memory_format)
        self.stages = stages

    @property
    def degradation(self) -> nn.Module:
        """What LR images are made with."""
        return self.stages.degradation

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Enlarge one image in full precision."""
        with full_precision(batch["hr"].device):
            images = self.stages(batch, 0)
            return {**images, "sr": enlarge(self.network, images)}
