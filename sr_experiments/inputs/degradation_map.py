"""How LR was made: the blur and the noise, as SRMD takes them."""

from __future__ import annotations

import torch
from torch import nn

from sr_experiments.data.photos import some
from sr_experiments.degradations import Degradation
from sr_experiments.errors import UserError
from sr_experiments.inputs.base import Input, Lists
from sr_experiments.models.traits import Traits


class DegradationMap(Input):
    """What the degradation says under this name, see `Degradation.extras`: (B, C), or (B, C, h, w)."""

    name = "degradation_map"

    def check(self, said: Traits, degradation: nn.Module, photos: Lists) -> None:
        """Refuse a degradation that does not give it, and stored LR images, of which nobody knows it."""
        key = torch.zeros(1, dtype=torch.int64)
        if not isinstance(degradation, Degradation) or self.name not in degradation.extras(key):
            raise UserError(
                f"{said.name} takes a {self.name} beside LR, which the degradation {type(degradation).__name__} does "
                "not give: leave the degradation to the model, or choose degradation=srmd."
            )
        for name, of_name in photos.items():
            stored = [photo.name for photo in of_name if photo.lr is not None]
            if stored:
                raise UserError(
                    f"{said.name} must be told how LR was made, and of the stored LR images of {some(stored)} in "
                    f"{name} nobody knows: choose photographs without LR images (of a set with both, "
                    "data.sets=[SET/HR])."
                )
