"""What every upsampler is, and which networks it fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from sr_experiments.errors import UserError

Activation = Callable[[], nn.Module]


class Upsampler(nn.Module):
    """Enlarges (B, C, h, w) to (B, C_out, scale * h, scale * w).

    Attributes:
        learned: True where it has weights and works on feature maps, False where it interpolates images.
    """

    learned: bool

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge `x`; subclasses say how."""
        raise TypeError(f"{type(self).__name__} does not say how it enlarges: it must define forward().")


class UpsamplerFactory(Protocol):
    """What a network is handed: everything about the upsampler but the place where it is used.

    `out_channels` (default: `channels`) lets the last stage also make the image; `activation` follows every stage that
    keeps the feature maps.
    """

    def __call__(
        self, *, channels: int, scale: float, out_channels: int | None = None, activation: Activation | None = None
    ) -> Upsampler:
        """Make the upsampler."""
        ...


def in_stages(
    stage: Callable[[int, int, int], list[nn.Module]],
    *,
    channels: int,
    scale: int,
    out_channels: int | None,
    activation: Activation | None,
    single_step: bool = False,
) -> nn.Sequential:
    """Stack the stages of a learned upsampler: repeated doubling where `scale` is a power of two, else one step.

    Args:
        stage: makes the layers of one stage from (channels in, channels out, factor).
        channels: channels of the feature map.
        scale: the enlargement.
        out_channels: channels of the last stage (default: `channels`); given, that stage makes the image and has no
            activation.
        activation: made anew for every stage that keeps the feature map.
        single_step: one stage of the whole scale.

    Raises:
        UserError: `scale` is not an integer of at least 2.
    """
    if scale != int(scale) or scale < 2:
        raise UserError(f"A learned upsampler enlarges by an integer of at least 2, not by scale={scale}.")
    scale = int(scale)
    doubling = not single_step and scale & (scale - 1) == 0
    factors = [2] * (scale.bit_length() - 1) if doubling else [scale]
    layers: list[nn.Module] = []
    for factor in factors[:-1]:
        layers += stage(channels, channels, factor)
        layers += [activation()] if activation is not None else []
    layers += stage(channels, channels if out_channels is None else out_channels, factors[-1])
    layers += [activation()] if activation is not None and out_channels is None else []
    return nn.Sequential(*layers)


def require_learned(upsampler: Upsampler, network: str) -> Upsampler:
    """Return `upsampler` if a network that enlarges its features can use it.

    Raises:
        UserError: it only interpolates images.
    """
    if not upsampler.learned:
        raise UserError(
            f"{network} enlarges its feature maps inside the network, which {_name(upsampler)} cannot do: choose a "
            "learned one, upsampler=subpixel, nearest_conv, bilinear_conv or transposed."
        )
    return upsampler


def require_fixed(upsampler: Upsampler, network: str) -> Upsampler:
    """Return `upsampler` if it can stand in front of a network that works on the enlarged image.

    Raises:
        UserError: it is a learned one.
    """
    if upsampler.learned:
        raise UserError(
            f"{network} works on an image that is enlarged before it enters the network, so {_name(upsampler)} does "
            "not fit: choose a fixed one, upsampler=bicubic, bilinear or nearest."
        )
    return upsampler


def _name(upsampler: Upsampler) -> str:
    return f"the upsampler {type(upsampler).__name__}"
