"""MATLAB's imresize; with the bicubic kernel, the degradation called BI in the literature."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from sr_experiments.degradations.base import Degradation
from sr_experiments.pixels.imresize import Border, Rounding, imresize
from sr_experiments.pixels.options import check_choice, check_scale

MatlabKernel = Literal["nearest", "bilinear", "bicubic", "lanczos", "area"]

_KERNEL_NAMES = {"nearest": "box", "bilinear": "linear", "bicubic": "cubic", "lanczos": "lanczos3", "area": "box"}


class MatlabResize(Degradation):
    """Shrink a batch as MATLAB's `imresize(image, 1 / scale, kernel)` does.

    Args:
        scale: how many times smaller LR is than HR, at least 1.
        kernel: 'nearest', 'bilinear', 'bicubic', 'lanczos' (MATLAB's lanczos3) or 'area' (MATLAB's box: the mean of
            what an LR pixel covers).
        border: 'clamp' or 'symmetric', how the image continues beyond its edge; versions of MATLAB differ in this.
        rounding: where values are rounded to 8 bits: 'per_axis' (MATLAB on uint8), 'final', or 'none'.
        antialias: stretch the kernel by the scale; 'nearest' takes one pixel and never does.

    Raises:
        UserError: an option is not one of those named above.
    """

    def __init__(
        self,
        scale: float,
        kernel: MatlabKernel = "bicubic",
        border: Border = "clamp",
        rounding: Rounding = "per_axis",
        antialias: bool = True,
    ) -> None:
        super().__init__()
        check_scale(scale)
        check_choice("kernel", kernel, get_args(MatlabKernel))
        check_choice("border", border, get_args(Border))
        check_choice("rounding", rounding, get_args(Rounding))
        self.scale = scale
        self.kernel = kernel
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
        return imresize(
            hr,
            scale=1 / self.scale,
            kernel=_KERNEL_NAMES[self.kernel],
            antialias=self.antialias and self.kernel != "nearest",
            border=self.border,
            rounding=self.rounding,
        )

    def extra_repr(self) -> str:
        """Show the options in `print(module)`."""
        return (
            f"scale={self.scale}, kernel={self.kernel}, border={self.border}, rounding={self.rounding}, "
            f"antialias={self.antialias}"
        )


class Bicubic(MatlabResize):
    """Shrink a batch as MATLAB's `imresize(image, 1 / scale, 'bicubic')` does.

    The defaults give the LR files of Set5 as the benchmark distributes them, with no differing value.

    Args:
        scale: how many times smaller LR is than HR, at least 1.
        border: see `MatlabResize`, as the other options.
        rounding: where values are rounded to 8 bits.
        antialias: stretch the kernel by the scale.

    Raises:
        UserError: an option is not one of those that `MatlabResize` names.
    """

    def __init__(
        self, scale: float, border: Border = "clamp", rounding: Rounding = "per_axis", antialias: bool = True
    ) -> None:
        super().__init__(scale, "bicubic", border, rounding, antialias)
