"""Ways to enlarge: fixed interpolation in front of a network, learned enlargement of feature maps inside it."""

from sr_experiments.upsamplers.base import Upsampler, require_fixed, require_learned
from sr_experiments.upsamplers.carafe import Carafe
from sr_experiments.upsamplers.dysample import DySample
from sr_experiments.upsamplers.interpolation import Interpolation
from sr_experiments.upsamplers.meta_upscale import MetaUpscale
from sr_experiments.upsamplers.resize_conv import ResizeConv
from sr_experiments.upsamplers.subpixel import SubPixel
from sr_experiments.upsamplers.transposed import Transposed

__all__ = [
    "Carafe",
    "DySample",
    "Interpolation",
    "MetaUpscale",
    "ResizeConv",
    "SubPixel",
    "Transposed",
    "Upsampler",
    "require_fixed",
    "require_learned",
]
