"""Whether what a network made shrinks to what it was given."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.metrics.psnr import psnr
from sr_experiments.pixels.eightbit import working_dtype

# Images that are alike to the last level would have an infinite PSNR, and no mean.
LARGEST = 100.0


class LRPSNR(nn.Module):
    """PSNR between the degraded SR image and LR, in RGB, at most 100 dB.

    It speaks of the network only where LR was made by the degradation of the run, not stored beside HR by another.
    """

    def forward(self, degraded: Tensor, lr: Tensor) -> Tensor:
        """Compare one image.

        Args:
            degraded: LR made again, of SR, (1, 3, h, w) in [0, 1].
            lr: what SR was made of, the same shape.

        Returns:
            A tensor without dimensions, in dB.

        Raises:
            UserError: the degradation makes images of another size than LR.
        """
        if degraded.shape != lr.shape:
            sizes = [f"{image.shape[-1]}x{image.shape[-2]}" for image in (degraded, lr)]
            raise UserError(f"The degradation shrinks SR to {sizes[0]} pixels, but LR has {sizes[1]}.")
        dtype = working_dtype(lr.device)
        return psnr(degraded[0].to(dtype), lr[0].to(dtype), peak=1.0).clamp(max=LARGEST)
