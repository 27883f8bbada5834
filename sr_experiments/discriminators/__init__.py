"""Discriminators: (B, 3, c, c) in [0, 1] -> logits, (B, 1) for a crop or (B, 1, h, w) for its places; no sigmoid."""

from sr_experiments.discriminators.enhancenet import EnhanceNetDiscriminator
from sr_experiments.discriminators.esrgan import ESRGANDiscriminator
from sr_experiments.discriminators.features import FeatureDiscriminator
from sr_experiments.discriminators.patchgan import PatchGAN
from sr_experiments.discriminators.srgan import SRGANDiscriminator
from sr_experiments.discriminators.unet import UNetDiscriminator

__all__ = [
    "ESRGANDiscriminator",
    "EnhanceNetDiscriminator",
    "FeatureDiscriminator",
    "PatchGAN",
    "SRGANDiscriminator",
    "UNetDiscriminator",
]
