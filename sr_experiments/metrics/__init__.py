"""Metrics: the evaluation protocol, the scores under it, and their collection over images and processes."""

from sr_experiments.metrics.image_scores import ImageScores
from sr_experiments.metrics.luma import full_range_luma, luma
from sr_experiments.metrics.protocol import Protocol
from sr_experiments.metrics.psnr import psnr
from sr_experiments.metrics.ssim import ssim

__all__ = ["ImageScores", "Protocol", "full_range_luma", "luma", "psnr", "ssim"]
