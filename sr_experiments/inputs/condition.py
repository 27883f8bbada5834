"""What a picture shows: a map of class probabilities, as SFT-GAN takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sr_experiments.data.conditions import open_condition, to_probabilities
from sr_experiments.data.photos import some
from sr_experiments.errors import UserError
from sr_experiments.inputs.base import Arguments, Input, Lists
from sr_experiments.models.traits import Traits


class Condition(Input):
    """Probabilities of classes at every HR pixel, (B, classes, scale * h, scale * w) in [0, 1].

    Of a picture it is such a tensor, or a `ConditionFile`.
    """

    name = "condition"

    def window(
        self, value: Tensor | ConditionFile, top: int, left: int, height: int, width: int, scale: int
    ) -> Arguments:
        """The probabilities for a window of the picture."""
        rows, columns = slice(top * scale, (top + height) * scale), slice(left * scale, (left + width) * scale)
        part = value.read(rows, columns) if isinstance(value, ConditionFile) else value[..., rows, columns]
        return {self.name: part}

    def stand_in(self, said: Traits, lr: Tensor) -> Arguments:
        """No class at any pixel."""
        height, width = (round(side * said.scale) for side in lr.shape[2:])
        return {self.name: lr.new_zeros(len(lr), said.input_channels[self.name], height, width)}

    def check(self, said: Traits, degradation: nn.Module, photos: Lists) -> None:
        """Refuse photographs without a map."""
        for name, of_name in photos.items():
            alone = [photo.name for photo in of_name if photo.condition is None]
            if alone:
                remedy = (
                    "give data.train.condition=DIR with NAME.npy or NAME.png for each (data=folder)"
                    if name == "data.train"
                    else f"put NAME.npy or NAME.png for each into the folder {name}/condition, or choose other sets"
                )
                raise UserError(
                    f"{said.name} takes a condition, a map of classes, beside LR, and none belongs to "
                    f"{some(alone)} of {name}: {remedy}."
                )


class ConditionFile:
    """The condition of a picture, read from a file window by window.

    Args:
        path: see `open_condition`; of the size of the enlarged picture.
        classes: number of classes.
        size: height and width of the enlarged picture.

    Raises:
        UserError: the file cannot be read, or has another size or number of classes.
    """

    def __init__(self, path: Path, classes: int, size: tuple[int, int]) -> None:
        self.maps = open_condition(path)
        self.path, self.classes = path, classes
        if self.maps.shape[:2] != size or self.maps.shape[2] not in (1, classes):
            shown = "x".join(map(str, self.maps.shape[1::-1]))
            raise UserError(
                f"The condition {path} covers {shown} pixels with {self.maps.shape[2]} channels; what is made is "
                f"{size[1]}x{size[0]}, and the network takes {classes} classes, or labels."
            )

    def read(self, rows: slice, columns: slice) -> Tensor:
        """Probabilities (1, classes, h, w) of these pixels of the enlarged picture."""
        values = torch.from_numpy(np.array(self.maps[rows, columns].transpose(2, 0, 1), order="C"))
        return to_probabilities(values, self.path, self.classes)[None]
