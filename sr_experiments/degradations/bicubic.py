"""Bicubic shrinking as MATLAB does it: the degradation called BI in the literature."""

from __future__ import annotations

from typing import get_args

from torch import Tensor, nn

from sr_experiments.degradations.imresize import Border, Rounding, imresize
from sr_experiments.degradations.options import check_choice, check_scale


class Bicubic(nn.Module):
    """Shrink a batch as MATLAB's `imresize(image, 1 / scale, 'bicubic')` does.

    The defaults give the LR files of Set5 as the benchmark distributes them, with no differing value.

    Args:
        scale: how many times smaller LR is than HR, at least 1.
        border: 'clamp' or 'symmetric', how the image continues beyond its edge; versions of MATLAB differ in this.
        rounding: where values are rounded to 8 bits: 'per_axis' (MATLAB on uint8), 'final', or 'none'.
        antialias: stretch the kernel by the scale.

    Raises:
        UserError: an option is not one of those named above.
    """

    def __init__(
        self, scale: float, border: Border = "clamp", rounding: Rounding = "per_axis", antialias: bool = True
    ) -> None:
        super().__init__()
        check_scale(scale)
        check_choice("border", border, get_args(Border))
        check_choice("rounding", rounding, get_args(Rounding))
        self.scale = scale
        self.border = border
        self.rounding = rounding
        self.antialias = antialias

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        """Make LR from HR.

        Args:
            hr: (B, C, H, W), floating point, in [0, 1].
            key: per-sample random keys, which a degradation without randomness has no use for.

        Returns:
            LR (B, C, ceil(H / scale), ceil(W / scale)) of the dtype of `hr`; in [0, 1] and on 8-bit levels, unless
            `rounding` is 'none'. Crop HR to a multiple of the scale first if the two are to lie on the same grid.
        """
        return imresize(hr, scale=1 / self.scale, antialias=self.antialias, border=self.border, rounding=self.rounding)

    def extra_repr(self) -> str:
        """Show the options in `print(module)`."""
        return f"scale={self.scale}, border={self.border}, rounding={self.rounding}, antialias={self.antialias}"
