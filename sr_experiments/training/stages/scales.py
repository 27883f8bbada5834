"""Several enlargements in one training: every generator update has one, drawn from seed and step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from sr_experiments.errors import UserError
from sr_experiments.models.scales import check_scales
from sr_experiments.models.traits import traits
from sr_experiments.models.which import models_that
from sr_experiments.pixels.eightbit import full_precision
from sr_experiments.training.terms import Batch

_SCALE = 2  # a stream of random numbers beside those of the sampler


class SeveralScales(nn.Module):
    """Cuts HR crops so that LR has one size at every scale, and makes LR at the scale of a generator update.

    LR has `crop_size` / the largest scale pixels a side. At a smaller scale a window of the HR crop is used, whose
    place is drawn with the scale. Both depend on seed and step alone, so that all processes, all parts of an update
    and a resumed run agree.

    In evaluations it does nothing: LR is then made at one scale, by the stage that follows.

    Args:
        scales: the enlargements.
        degradations: what makes LR from HR at each of them.
        seed: decides the draws.
        crop_size: HR pixels a side of the crops that the data brings.

    Raises:
        UserError: there are fewer than two scales, or an HR window at one of them would not be of whole pixels.
    """

    def __init__(self, scales: Sequence[float], degradations: Sequence[nn.Module], seed: int, crop_size: int) -> None:
        super().__init__()
        self.scales = tuple(scales)
        if len(self.scales) < 2:
            raise UserError(f"scales={list(self.scales)} must be several, as [2,3,4]; for one set scale, scales=null.")
        self.seed = seed
        self.lr_size = int(crop_size / max(self.scales) + 1e-6)
        for scale in self.scales:
            side = scale * self.lr_size
            if side < 1 or abs(side - round(side)) > 1e-6:
                raise UserError(
                    f"data.crop_size={crop_size} gives LR crops of {self.lr_size} pixels, which scale={scale} makes "
                    f"{side:g}: choose a crop_size whose LR crops are whole at all scales={list(self.scales)}."
                )
        self.degradations = nn.ModuleList(degradations)

    def check(self, network: nn.Module, scale: float) -> None:
        """See to it that a network can be trained at all scales, and is evaluated at one of them.

        Raises:
            UserError: it is not so.
        """
        name, listed = type(network).__name__, ",".join(f"{each:g}" for each in self.scales)
        if not traits(network).takes_scale:
            raise UserError(
                f"{name} has one enlargement, so that scales=[{listed}] cannot be trained in one network: set "
                f"scales=null, or choose {models_that(lambda said: said.takes_scale)}."
            )
        said = traits(network)
        possible = said.possible_scales
        for each in self.scales:
            if said.scales:
                check_scales(each, said.scales, name)  # type: ignore[arg-type]
            elif possible is not None and each not in possible:
                raise UserError(
                    f"{name} cannot enlarge by {each:g} of scales=[{listed}]: use {', '.join(map(str, possible))}."
                )
            elif each != int(each) and not said.real_scales:
                raise UserError(
                    f"{name} enlarges by whole numbers, not by {each:g} of scales: use "
                    f"{models_that(lambda said: said.real_scales)}."
                )
        if scale not in self.scales:
            raise UserError(f"scale={scale:g}, at which is validated and tested, is not among scales=[{listed}].")

    def draw(self, step: int, hr_size: int) -> tuple[int, int, int]:
        """Which of the scales the update after `step` others has, and where in HR crops of `hr_size` its windows lie.

        Returns:
            The number of the scale, and row and column of the window's first pixel.
        """
        random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_SCALE, step)))
        index = int(random.integers(len(self.scales)))
        top, left = random.integers(hr_size - self.hr_size(index) + 1, size=2)
        return index, int(top), int(left)

    def hr_size(self, index: int) -> int:
        """HR pixels a side of a window at the scale of this number."""
        return round(self.scales[index] * self.lr_size)

    @torch.no_grad()
    def forward(self, batch: Batch, step: int) -> Batch:
        """Make the pairs of a training batch at the scale of its update.

        Args:
            batch: with `hr`, (B, C, c, c) in [0, 1], and keys for the degradation.
            step: updates made before.

        Returns:
            The batch with `hr`, (B, C, scale * p, scale * p), `lr`, (B, C, p, p), and `scale`.

        Raises:
            UserError: the data bring LR images, which are of one scale.
        """
        if not self.training:
            return batch
        if "lr" in batch:
            raise UserError("Photographs with LR images of one scale cannot train several: set scales=null.")
        index, top, left = self.draw(step, batch["hr"].shape[-1])
        side = self.hr_size(index)
        hr = batch["hr"][..., top : top + side, left : left + side]
        degradation = self.degradations[index]
        # Rounding may make HR / scale a little more than it is, and LR a pixel larger.
        with full_precision(hr.device):
            lr = degradation(hr, batch.get("key"))[..., : self.lr_size, : self.lr_size]
        return {**batch, "hr": hr, "lr": lr, "scale": self.scales[index], "degradation": degradation}
