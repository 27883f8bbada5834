"""The evaluation protocol: what exactly a PSNR or an SSIM is measured on.

Two papers' numbers differ by tenths of a dB for the same images when one scores luma and the other RGB, when the
border is left in, or when the output is not rounded. So every number here passes through a `Protocol` and is stored
together with its `stamp()`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from sr_experiments.errors import UserError
from sr_experiments.metrics.luma import full_range_luma, luma
from sr_experiments.metrics.psnr import psnr
from sr_experiments.metrics.ssim import WINDOW, ssim
from sr_experiments.pixels.eightbit import round_to_8bit, working_dtype
from sr_experiments.pixels.options import check_choice

Channel = Literal["y", "y_rounded", "rgb"]
Gray = Literal["keep", "rgb"]


@dataclass(frozen=True)
class Protocol:
    """How an upscaled image is scored against its original.

    Both are rounded to 8 bits first (clipped, halves up), as if they had been saved and read again.

    Attributes:
        channel: 'y' scores BT.601 luma (16..235) in floating point, as papers since EDSR do; 'y_rounded' rounds it to
            whole numbers first, as MATLAB's `rgb2ycbcr` does to 8-bit images and older papers did; 'rgb' scores
            colours: PSNR over all three channels, SSIM as their mean.
        border: pixels cut from every side before scoring; by custom the scale.
        gray: 'keep' scores an original that is a gray file on its gray values, 'rgb' treats it like any colour image
            with three equal channels.

    Raises:
        UserError: `channel`, `border` or `gray` is not one of those.
    """

    channel: Channel
    border: int
    gray: Gray = "keep"

    metrics: ClassVar[tuple[str, ...]] = ("psnr", "ssim")

    def __post_init__(self) -> None:
        check_choice("channel", self.channel, get_args(Channel))
        check_choice("gray", self.gray, get_args(Gray))
        if isinstance(self.border, bool) or not isinstance(self.border, int) or self.border < 0:
            raise UserError(f"border is {self.border!r}; give the number of pixels to cut from every side, 0 or more.")

    def stamp(self) -> dict[str, str | int]:
        """Give the protocol as plain values, to be stored with every number it gave."""
        return {**asdict(self), "rounding": "8bit"}

    @torch.no_grad()
    def score(self, sr: Tensor, hr: Tensor, is_gray: bool = False) -> dict[str, float]:
        """Score one image, in float64 (on MPS, which has none, in float32).

        Args:
            sr: the upscaled image, (3, H, W) or (1, H, W), floating point in [0, 1], where values outside are clipped,
                or uint8.
            hr: the original, (3, H, W) or (1, H, W), on the same device.
            is_gray: whether the original is a gray file; implied by one channel.

        Returns:
            `{"psnr": dB, "ssim": at most 1}`. The PSNR of identical images is infinite, and so is any mean over
            images that contains one: an image that is matched exactly has no finite score to be averaged.

        Raises:
            UserError: the sizes differ, the type is another, or too little is left after cutting the border for SSIM's
                11x11 window.
        """
        if sr.shape[-2:] != hr.shape[-2:]:
            raise UserError(
                f"the upscaled image has {_size(sr)} pixels, its original {_size(hr)}: give images of one size."
            )
        if min(hr.shape[-2:]) - 2 * self.border < WINDOW:
            raise UserError(
                f"an image of {_size(hr)} pixels is too small to be scored: cutting {self.border} from every side must "
                f"leave at least {WINDOW}x{WINDOW}. Leave it out or choose a smaller border."
            )
        is_gray = is_gray or hr.shape[0] == 1
        with torch.autocast(hr.device.type, enabled=False):  # float32 on MPS must not become float16
            upscaled, original = (self.plane(image, is_gray) for image in (sr, hr))
            return {"psnr": psnr(upscaled, original).item(), "ssim": ssim(upscaled, original).item()}

    def plane(self, image: Tensor, is_gray: bool = False) -> Tensor:
        """Reduce an image to what is scored.

        Args:
            image: (3, H, W) or (1, H, W), floating point in [0, 1].
            is_gray: whether the original is a gray file.

        Returns:
            (1 or 3, H - 2 * border, W - 2 * border) on the scale 0..255, in float64 (on MPS float32).
        """
        return self._cut(self._plane(image, is_gray and self.gray == "keep"))

    def _plane(self, image: Tensor, keep_gray: bool) -> Tensor:
        """Reduce an image to what is scored: (1 or 3, H, W) on the scale 0..255."""
        if not image.is_floating_point() and image.dtype != torch.uint8:
            raise UserError(f"images of type {image.dtype} cannot be scored: give floats in [0, 1], or uint8 levels.")
        peak = 1 if image.dtype == torch.uint8 else 255
        levels = round_to_8bit(image.to(working_dtype(image.device)) * peak)
        if keep_gray:
            return levels if len(levels) == 1 else round_to_8bit(full_range_luma(levels))
        levels = levels.expand(3, -1, -1)
        if self.channel == "rgb":
            return levels
        y = luma(levels)
        return round_to_8bit(y) if self.channel == "y_rounded" else y

    def _cut(self, plane: Tensor) -> Tensor:
        height, width = plane.shape[-2:]
        return plane[..., self.border : height - self.border, self.border : width - self.border]


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"
