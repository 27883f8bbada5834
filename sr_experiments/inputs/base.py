"""What every input is that a network takes beside LR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from sr_experiments.data.photos import Photo
from sr_experiments.errors import UserError
from sr_experiments.models.traits import Traits

# Names of arguments of a network's `forward` -> their values.
Arguments = dict[str, Any]

# Where photographs are from -> the photographs: `data.train`, and the name of every set.
Lists = Mapping[str, Sequence[Photo]]


class Input:
    """Something that a network takes beside LR.

    A network names it in its `inputs`: a module of `sr_experiments.inputs`, or an object of a class derived from this.
    The defaults below are right for one argument whose values lie in the batch under its name.

    Attributes:
        name: as networks name it, and what `forward` calls the argument.
        can_be_turned: whether flipping and turning it with LR gives what belongs to the flipped and turned LR.
    """

    name: str
    can_be_turned = True

    def of_batch(self, said: Traits, batch: Mapping[str, Any]) -> Arguments:
        """What a prepared batch has for a network that says this of itself."""
        return {self.name: batch[self.name]}

    def step(self, scale: int) -> int:
        """Windows of it begin at multiples of so many LR pixels."""
        return 1

    def of_picture(self, said: Traits, size: tuple[int, int]) -> Any:
        """What a picture of this height and width in LR pixels has of it where nothing was given with the picture.

        Raises:
            UserError: something must be given.
        """
        raise UserError(f"{said.name} takes an input {self.name!r} beside LR, which was not given with the picture.")

    def window(self, value: Any, top: int, left: int, height: int, width: int, scale: int) -> Arguments:
        """The part of a picture's value that belongs to a window of it.

        Args:
            value: of the whole picture: here (1, C, H, W) of the size of LR, or (1, C) for the same everywhere.
            top: row of the window's first pixel, in LR pixels as all others.
            left: column of the window's first pixel.
            height: of the window.
            width: of the window.
            scale: the enlargement.
        """
        if value.ndim == 2:
            return {self.name: value}
        return {self.name: value[..., top : top + height, left : left + width]}

    def stand_in(self, said: Traits, lr: Tensor) -> Arguments:
        """Zeros as they would come with LR images (B, C, h, w): to count, to trace, to find out about sizes."""
        return {self.name: lr.new_zeros(len(lr), said.input_channels[self.name], *lr.shape[2:])}

    def check(self, said: Traits, degradation: nn.Module, photos: Lists) -> None:
        """Find out before a training or an evaluation whether it can be had.

        Args:
            said: what the network says of itself.
            degradation: what makes LR.
            photos: the photographs.

        Raises:
            UserError: it cannot.
        """
