"""Additive white Gaussian noise."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sr_experiments.degradations.base import Degradation, check_range
from sr_experiments.pixels.draws import Draws, keys_of, keys_of_part, normal_field
from sr_experiments.pixels.eightbit import round_to_8bit


class Noise(Degradation):
    """Add white Gaussian noise, then clip and round to 8 bits: with level 30 after bicubic shrinking, DN of RDN.

    Args:
        level: standard deviation on the scale 0..255, or [smallest, largest] to draw one for every sample.
        gray: the same noise in all channels.

    Raises:
        UserError: `level` is neither, or negative.
    """

    scale = 1

    def __init__(self, level: float | Sequence[float] = 30.0, gray: bool = False) -> None:
        super().__init__()
        self.level = check_range("level", level, 0, 255)
        self.gray = gray

    def drawn(self, key: Tensor) -> dict[str, Tensor]:
        """The noise level of every sample."""
        return {"level": Draws(key.cpu()).uniform(*self.level)}

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [0, 1] -> the same size, on 8-bit levels."""
        keys = keys_of(hr, key)
        return add_noise(hr, keys_of_part(keys, 0), self.drawn(keys)["level"], self.gray)

    def extra_repr(self) -> str:
        """Show the options in `print(module)`."""
        return f"level={self.level}, gray={self.gray}"


def add_noise(images: Tensor, keys: Tensor, levels: Tensor, gray: bool = False, rounding: bool = True) -> Tensor:
    """Add white noise of the standard deviations `levels` (B,), on the scale 0..255, from the samples' `keys`."""
    batch, channels, height, width = images.shape
    noise = normal_field(keys, (1 if gray else channels, height, width), images.device)
    noisy = images.to(noise.dtype) * 255 + noise * levels.to(noise).view(batch, 1, 1, 1)
    return ((round_to_8bit(noisy) if rounding else noisy) / 255).to(images.dtype)
