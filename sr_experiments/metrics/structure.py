"""MS-SSIM and VIF."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.metrics.ssim import WINDOW, gaussian_window, local_means, similarity_maps

# The exponents of the five scales, finest first.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


class MSSSIM(nn.Module):
    """Multi-scale SSIM (Wang et al., Asilomar 2003): contrast and structure at five scales, luminance at the last.

    As in SSIM the window stays inside the image, at all scales. torchmetrics lets it reach beyond the edge at the last.

    Example:
        >>> image = torch.rand(1, 176, 176, dtype=torch.float64) * 255
        >>> round(float(MSSSIM()(image, image)), 6)
        1.0
    """

    smallest_side = WINDOW * 2 ** (len(WEIGHTS) - 1)

    def forward(self, sr_plane: Tensor, hr_plane: Tensor) -> Tensor:
        """Compare what the protocol scores of one image.

        Args:
            sr_plane: (C, H, W) on the scale 0..255.
            hr_plane: the same shape.

        Returns:
            A tensor without dimensions, in [0, 1].

        Raises:
            UserError: a side is too short for the window at the last scale.
        """
        _check_size(hr_plane, self.smallest_side, "MS-SSIM")
        total = sr_plane.new_ones(())
        for scale, weight in enumerate(WEIGHTS):
            luminance, structure = similarity_maps(sr_plane, hr_plane)
            last = scale == len(WEIGHTS) - 1
            value = (luminance * structure if last else structure).mean()
            # A power of a negative mean would be no number.
            total = total * value.clamp(min=0) ** weight
            sr_plane, hr_plane = F.avg_pool2d(sr_plane, 2), F.avg_pool2d(hr_plane, 2)
        return total


class VIF(nn.Module):
    """Visual information fidelity in the pixel domain (Sheikh and Bovik, IEEE TIP 15(2), 2006).

    The share of the visual information in HR that is preserved in SR, at four scales.

    Args:
        noise: variance of the noise of the human visual system, on the scale 0..255.

    Example:
        >>> image = torch.rand(1, 64, 64, dtype=torch.float64) * 255
        >>> round(float(VIF()(image, image)), 6)
        1.0
    """

    smallest_side = 41

    def __init__(self, noise: float = 2.0) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, sr_plane: Tensor, hr_plane: Tensor) -> Tensor:
        """Compare what the protocol scores of one image.

        Args:
            sr_plane: (C, H, W) on the scale 0..255.
            hr_plane: the same shape.

        Returns:
            A tensor without dimensions, at least 0; above 1 where SR has more contrast than HR.

        Raises:
            UserError: a side is too short, or HR has no information because it is of one colour.
        """
        _check_size(hr_plane, self.smallest_side, "VIF")
        kept, there = torch.zeros_like(sr_plane[:, 0, 0]), torch.zeros_like(sr_plane[:, 0, 0])
        for scale in range(4):
            size = 2 ** (4 - scale) + 1
            window = gaussian_window(size, size / 5)
            if scale > 0:
                sr_plane = local_means(sr_plane, window)[:, ::2, ::2]
                hr_plane = local_means(hr_plane, window)[:, ::2, ::2]
            kept_here, there_here = self.information(sr_plane, hr_plane, window)
            kept, there = kept + kept_here, there + there_here
        if not bool((there > 0).all()):
            raise UserError("VIF is not defined for an original of one colour.")
        return (kept / there).mean()

    def information(self, sr: Tensor, hr: Tensor, window: list[float]) -> tuple[Tensor, Tensor]:
        """What SR kept of the information in HR, and what there was, for each channel of one scale."""
        tiny = 1e-10
        moments = torch.cat((hr, sr, hr * hr, sr * sr, hr * sr))
        hr_mean, sr_mean, hr_square, sr_square, product = local_means(moments, window).chunk(5)
        hr_variance = (hr_square - hr_mean * hr_mean).clamp(min=0)
        sr_variance = (sr_square - sr_mean * sr_mean).clamp(min=0)
        covariance = product - hr_mean * sr_mean

        # SR is modelled as `gain` times HR plus distortion; a flat patch on either side passes nothing on.
        gain = covariance / (hr_variance + tiny)
        distortion = sr_variance - gain * covariance
        flat_hr, flat_sr = hr_variance < tiny, sr_variance < tiny
        distortion = torch.where(flat_hr | (gain < 0), sr_variance, distortion)
        distortion = torch.where(flat_sr, torch.zeros_like(distortion), distortion).clamp(min=tiny)
        gain = torch.where(flat_hr | flat_sr, torch.zeros_like(gain), gain).clamp(min=0)
        hr_variance = torch.where(flat_hr, torch.zeros_like(hr_variance), hr_variance)

        kept = (1 + gain**2 * hr_variance / (distortion + self.noise)).log10().sum(dim=(1, 2))
        return kept, (1 + hr_variance / self.noise).log10().sum(dim=(1, 2))


def _check_size(plane: Tensor, smallest_side: int, name: str) -> None:
    if min(plane.shape[-2:]) < smallest_side:
        height, width = plane.shape[-2:]
        raise UserError(
            f"{name} needs {smallest_side} pixels a side after the border is cut; {width}x{height} are too few."
        )
