"""Loss terms, the feature network that they share, and their weighted sum."""

from sr_experiments.features.feature_network import FeatureNetwork
from sr_experiments.losses.contextual import Contextual
from sr_experiments.losses.deep_supervision import PyramidSupervision, RecursiveSupervision
from sr_experiments.losses.dists import DISTS
from sr_experiments.losses.focal_frequency import FocalFrequency
from sr_experiments.losses.gradients import gradient_shares
from sr_experiments.losses.lpips import LPIPS
from sr_experiments.losses.lr_consistency import LRConsistency
from sr_experiments.losses.perceptual import Perceptual
from sr_experiments.losses.pixel import L1, MSE, Charbonnier, SmoothL1
from sr_experiments.losses.reference_texture import ReferenceTexture
from sr_experiments.losses.texture import Texture
from sr_experiments.losses.total_variation import TotalVariation
from sr_experiments.losses.wavelet import Wavelet
from sr_experiments.losses.weighted_sum import WeightedSum

__all__ = [
    "DISTS",
    "L1",
    "LPIPS",
    "MSE",
    "Charbonnier",
    "Contextual",
    "FeatureNetwork",
    "FocalFrequency",
    "LRConsistency",
    "Perceptual",
    "PyramidSupervision",
    "RecursiveSupervision",
    "ReferenceTexture",
    "SmoothL1",
    "Texture",
    "TotalVariation",
    "Wavelet",
    "WeightedSum",
    "gradient_shares",
]
