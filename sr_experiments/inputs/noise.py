"""Noise, for networks that make one of many possible images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sr_experiments.inputs.base import Arguments, Input
from sr_experiments.models.traits import Traits
from sr_experiments.pixels.draws import keys_of, keys_of_part, normal_field, normal_window

_NOISE = 1201  # a part of what is drawn for a sample, far from those of degradations


class Noise(Input):
    """Independent numbers of the standard normal distribution, (B, channels, h, w), of the size of LR.

    They are drawn from a sample's key: in training from seed, step and sample, in evaluations from the sample. Of a
    picture it is such a tensor, or a `NoiseField`.
    """

    name = "noise"

    def of_batch(self, said: Traits, batch: Mapping[str, Any]) -> Arguments:
        """Draw the noise of every sample."""
        lr = batch["lr"]
        keys = keys_of_part(keys_of(lr, batch.get("key")), _NOISE)
        noise = normal_field(keys, (said.input_channels[self.name], *lr.shape[2:]), lr.device)
        return {self.name: noise.to(lr.dtype)}

    def of_picture(self, said: Traits, size: tuple[int, int]) -> NoiseField:
        """The noise of the first picture of a set, drawn window by window."""
        return NoiseField((said.input_channels[self.name], *size))

    def window(self, value: Tensor | NoiseField, top: int, left: int, height: int, width: int, scale: int) -> Arguments:
        """The noise of a window of the picture."""
        if isinstance(value, NoiseField):
            return {self.name: value.draw(slice(top, top + height), slice(left, left + width))}
        return super().window(value, top, left, height, width, scale)


class NoiseField:
    """The noise of a whole picture, of which every window can be drawn on its own.

    Args:
        shape: channels, height and width, in LR pixels.
        key: what it is drawn from.
    """

    def __init__(self, shape: tuple[int, int, int], key: int = 0) -> None:
        self.shape, self.key = shape, key

    def draw(self, rows: slice, columns: slice) -> Tensor:
        """(1, channels, h, w) float32, the same as in the whole field."""
        keys = keys_of_part(torch.tensor([self.key]), _NOISE)
        return normal_window(keys, self.shape, rows, columns, torch.device("cpu")).float()
