"""LR consistency: whether SR, degraded again, equals LR."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.metrics.psnr import psnr
from sr_experiments.pixels.eightbit import working_dtype

# Identical images have an infinite PSNR, and no finite mean.
LARGEST = 100.0


class LRPSNR(nn.Module):
    """PSNR between the degraded SR image and LR, in RGB, at most 100 dB.

    It is meaningful only where LR was made by the run's own degradation, not where another LR is stored beside HR.
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
