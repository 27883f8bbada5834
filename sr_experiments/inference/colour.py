"""Colour pictures for networks of one channel: they enlarge the luma, and bicubic interpolation enlarges the colours.

So SRCNN, FSRCNN, VDSR and the other networks of luma were trained and evaluated. Luma is BT.601's of limited range, on
which the field's PSNR is measured too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.degradations import Degradation, bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.losses import FeatureNetwork, LRConsistency, WeightedSum
from sr_experiments.metrics.luma import luma
from sr_experiments.models.traits import traits

# What white has more than black, in luma and in colours.
LUMA_RANGE, COLOUR_RANGE = 219, 255


def is_on_luma(network: nn.Module) -> bool:
    """Whether a network takes and makes luma alone; one that does not tell its `channels` works on RGB.

    Raises:
        UserError: its channels are neither luma nor RGB.
    """
    channels = traits(network).channels
    if channels not in (1, 3):
        raise UserError(f"model.channels={channels} is neither of an image's: use 3 for RGB, or 1 for luma alone.")
    return channels == 1


def to_luma(rgb: Tensor) -> Tensor:
    """Luma as these networks see it.

    Args:
        rgb: (..., 3, H, W) in [0, 1].

    Returns:
        (..., 1, H, W) from 16/255 (black) to 235/255 (white), not rounded.
    """
    return luma(rgb * 255) / 255


def with_luma(rgb: Tensor, y: Tensor) -> Tensor:
    """A picture with another luma and the same chroma (Cb and Cr).

    Luma has an equal part in red, green and blue, so that the three move alike.

    Args:
        rgb: (..., 3, H, W) in [0, 1].
        y: (..., 1, H, W), as from `to_luma`.

    Returns:
        (..., 3, H, W), not clipped.
    """
    return rgb + (y - to_luma(rgb)) * (COLOUR_RANGE / LUMA_RANGE)


def training_images(batch: Mapping[str, Any]) -> dict[str, Any]:
    """A prepared batch whose images are luma alone, (B, 1, H, W)."""
    return {**batch, **{name: to_luma(batch[name]) for name in ("hr", "lr", "target") if name in batch}}


class InColour(nn.Module):
    """A network on luma as one that enlarges colour pictures.

    Args:
        network: (B, 1, h, w), and whatever else it takes, -> (B, 1, scale * h, scale * w).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, lr: Tensor, *others: Any, **named: Any) -> Tensor:
        """(B, 3, h, w) in [0, 1], and what else the network takes -> (B, 3, scale * h, scale * w), not clipped."""
        y = self.network(to_luma(lr), *others, **named)
        return with_luma(bicubic_upsample(lr, size=(y.shape[-2], y.shape[-1])), y)


def in_colour(network: nn.Module) -> nn.Module:
    """What enlarges colour pictures: the network itself, or on luma the network with bicubic colours.

    Raises:
        UserError: its channels are neither luma nor RGB.
    """
    return InColour(network) if is_on_luma(network) else network


def check_loss(loss: WeightedSum) -> None:
    """See to it that a loss can be taken of luma.

    Raises:
        UserError: a term looks at colours: by a network that was trained on them, or by a discriminator.
    """
    in_the_way = [f"the loss term {name}" for name in loss.terms if needs_colours(loss, name)]
    if loss.adversarial is not None:
        in_the_way.append("the discriminator")
    if in_the_way:
        raise UserError(
            f"With model.channels=1 the network makes luma alone, but {in_the_way[0]} looks at colours: use "
            "model.channels=3, or a loss of pixels such as loss=mse."
        )


def needs_colours(loss: WeightedSum, name: str) -> bool:
    """Whether a term of a loss cannot be taken of luma.

    It looks through a network that was trained on colour pictures, shared or its own, or degrades SR as LR was
    degraded, with noise that was drawn for three colours.
    """
    term = loss.terms[name]
    sees = any(isinstance(part, FeatureNetwork) for part in term.modules()) or "sr_features" in loss.accepts[name]
    degradation = term.degradation if isinstance(term, LRConsistency) else None
    redraws = isinstance(degradation, Degradation) and bool(degradation.drawn(torch.zeros(1, dtype=torch.long)))
    return sees or redraws
