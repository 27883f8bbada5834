"""Degradations: what turns HR into LR, as batched, differentiable modules that run where the images are."""

from sr_experiments.degradations.bicubic import Bicubic
from sr_experiments.degradations.imresize import bicubic_upsample, imresize
from sr_experiments.degradations.pillow import PillowResize, pillow_resize

__all__ = ["Bicubic", "PillowResize", "bicubic_upsample", "imresize", "pillow_resize"]
