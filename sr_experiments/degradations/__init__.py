"""Degradations: what turns HR into LR, as batched modules that run where the images are."""

from sr_experiments.degradations.base import Degradation
from sr_experiments.degradations.bicubic import Bicubic, MatlabResize
from sr_experiments.degradations.blur_noise import BlurNoise
from sr_experiments.degradations.bsrgan import Bsrgan
from sr_experiments.degradations.chain import Chain
from sr_experiments.degradations.gaussian import GaussianSubsample
from sr_experiments.degradations.jpeg import Jpeg
from sr_experiments.degradations.noise import Noise
from sr_experiments.degradations.pair_pool import PairPool
from sr_experiments.degradations.pillow import PillowResize, pillow_resize
from sr_experiments.degradations.real_esrgan import Order, RealEsrgan
from sr_experiments.pixels.imresize import bicubic_upsample, imresize

__all__ = [
    "Bicubic",
    "BlurNoise",
    "Bsrgan",
    "Chain",
    "Degradation",
    "GaussianSubsample",
    "Jpeg",
    "MatlabResize",
    "Noise",
    "Order",
    "PairPool",
    "PillowResize",
    "RealEsrgan",
    "bicubic_upsample",
    "imresize",
    "pillow_resize",
]
