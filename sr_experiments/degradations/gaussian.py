"""Gaussian blur and subsampling: the degradation called BD, and the one that the SRGAN paper describes."""

from __future__ import annotations

import math
from typing import Literal, get_args

from torch import Tensor

from sr_experiments.degradations.base import Degradation, check_kernel_fits
from sr_experiments.degradations.blur import blur_and_subsample
from sr_experiments.errors import UserError
from sr_experiments.pixels.eightbit import round_to_8bit
from sr_experiments.pixels.options import check_choice

GaussianRounding = Literal["final", "none"]


class GaussianSubsample(Degradation):
    """Blur by a Gaussian, then keep the pixel at the centre of every cell of `scale` x `scale`.

    That is how the MATLAB code of RDN and RCAN makes its BD images: `imfilter` with replicated borders on 8-bit images.
    Where the scale is even a cell's centre lies between pixels, and so does the centre of the kernel.

    Args:
        scale: how many times smaller LR is than HR, a whole number.
        sigma: standard deviation in HR pixels; None for 0.4 * scale (the SRGAN paper names the method, no number).
        size: width of the kernel; None for that of RDN's code: 7 at scale 3, elsewhere ceil(3 sigma) * 2, and one more
            where the scale is odd, two where it is even.
        rounding: 'final' rounds LR to 8 bits, 'none' does not.

    Raises:
        UserError: an option is not one of those named above.
    """

    def __init__(
        self, scale: int, sigma: float | None = 1.6, size: int | None = None, rounding: GaussianRounding = "final"
    ) -> None:
        super().__init__()
        if isinstance(scale, bool) or not isinstance(scale, int | float) or scale != int(scale) or scale < 1:
            raise UserError(f"scale is {scale!r}; Gaussian blur with subsampling needs a whole number of at least 1.")
        check_choice("rounding", rounding, get_args(GaussianRounding))
        self.scale = int(scale)
        self.sigma = 0.4 * self.scale if sigma is None else float(sigma)
        if self.sigma <= 0:
            raise UserError(f"sigma is {sigma!r}; give a standard deviation above 0, in HR pixels.")
        self.size = self._usual_size() if size is None else int(size)
        if self.size < 1:
            raise UserError(f"size is {size!r}; give the width of the kernel in HR pixels, at least 1.")
        self.rounding = rounding

    def _usual_size(self) -> int:
        if self.scale == 3:
            return 7
        return math.ceil(3 * self.sigma) * 2 + (1 if self.scale % 2 else 2)

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        """Make LR from HR.

        Args:
            hr: (B, C, H, W), floating point, in [0, 1].
            key: per-sample random keys, which a degradation without randomness has no use for.

        Returns:
            LR (B, C, ceil(H / scale), ceil(W / scale)) of the dtype of `hr`, in [0, 1].

        Raises:
            UserError: the kernel is larger than the image.
        """
        check_kernel_fits(self.size, hr)
        lr = blur_and_subsample(hr, int(self.scale), self.size, self.sigma)
        return lr if self.rounding == "none" else round_to_8bit(lr * 255) / 255

    def extra_repr(self) -> str:
        """Show the options in `print(module)`."""
        return f"scale={self.scale}, sigma={self.sigma:g}, size={self.size}, rounding={self.rounding}"
