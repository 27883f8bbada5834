"""Training on the very image that is enlarged: ZSSR in its plain form, Shocher et al., CVPR 2018."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.inference.colour import is_on_luma, training_images
from sr_experiments.losses import WeightedSum
from sr_experiments.training.play import Play
from sr_experiments.training.player import Player
from sr_experiments.training.recipe import enlarge
from sr_experiments.training.recipes.supervised import Supervised
from sr_experiments.training.terms import Batch


class ZeroShot(Supervised):
    """Learns to make crops of LR out of what the degradation leaves of them, then enlarges LR; anew for every image.

    Args:
        player, loss: see `Supervised`; the paper's loss is L1.
        degradation: what LR was made with: (image, key) -> smaller image, with `scale`.
        steps: updates for each image.
        crop_size: pixels a side of the crops of LR, at least the scale; smaller images are taken whole.
    """

    per_image = True

    def __init__(self, player: Player, loss: WeightedSum, degradation: nn.Module, steps: int, crop_size: int = 128):
        super().__init__(player, loss)
        if crop_size < degradation.scale:  # type: ignore[operator]
            raise UserError(f"training.recipe.crop_size={crop_size} must be at least scale={degradation.scale}.")
        self.degradation, self.steps, self.crop_size = degradation, steps, crop_size
        self.start: list[Player] = []  # the player before the first image, out of sight of the state dict

    def enlarge(self, batch: Batch) -> Tensor:
        """Train on LR, (1, 3, h, w), and enlarge it."""
        with torch.inference_mode(False), torch.enable_grad():
            self.start = self.start or [self.player]
            self.player = copy.deepcopy(self.start[0])
            self.player.begin()
            lr, key = batch["lr"].clone(), batch["key"].clone()
            for step in range(self.steps):
                self.update([self.pair(lr, key, step)], Play(step))
                self.player.step_schedule()
        return enlarge(self.player.evaluated.eval(), batch)

    def pair(self, lr: Tensor, key: Tensor, step: int) -> Batch:
        """A crop of LR, flipped and turned, as drawn from key and step, and what the degradation leaves of it."""
        scale, draw = int(self.degradation.scale), np.random.default_rng([int(key[0]), step])  # type: ignore[arg-type]
        height, width = (min(self.crop_size, side) // scale * scale for side in lr.shape[-2:])
        top, left = (int(draw.integers(s - c + 1)) for s, c in zip(lr.shape[-2:], (height, width), strict=True))
        crop = lr[..., top : top + height, left : left + width].rot90(int(draw.integers(4)), (-2, -1))
        crop = crop.flip(-1) if draw.integers(2) else crop
        pair = {"hr": crop, "lr": self.degradation(crop, key + step), "key": key}
        return training_images(pair) if is_on_luma(self.player.network) else pair
