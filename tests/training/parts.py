"""Trainings put together by hand, as a config would."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from sr_experiments.losses import L1, WeightedSum
from sr_experiments.training.module import Training
from sr_experiments.training.player import Player
from sr_experiments.training.recipes.supervised import Supervised
from sr_experiments.training.stages import Stages
from sr_experiments.training.stages.degrade import Degrade
from sr_experiments.training.stages.describe import Describe
from sr_experiments.training.stages.pool import Pool
from sr_experiments.training.stages.scales import SeveralScales


def stages(degradation: nn.Module, pool: Pool | None = None, scales: SeveralScales | None = None) -> Stages:
    return Stages(scales=scales, degrade=Degrade(degradation), pool=pool, describe=Describe())


def supervised(network: nn.Module, degradation: nn.Module, loss: WeightedSum | None = None, **options: Any) -> Training:
    """A training of one network; further options are those of the player and of `stages`."""
    before = {name: options.pop(name) for name in ("pool", "scales") if name in options}
    optimizer = options.pop("optimizer", partial(torch.optim.Adam, lr=1e-3))
    loss = WeightedSum({"l1": {"weight": 1.0, "term": L1()}}) if loss is None else loss
    return Training(Supervised(Player(network, optimizer, **options), loss), stages(degradation, **before))
