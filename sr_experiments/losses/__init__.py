"""Loss terms and their weighted sum."""

from sr_experiments.losses.pixel import L1, MSE, Charbonnier, SmoothL1
from sr_experiments.losses.total_variation import TotalVariation
from sr_experiments.losses.weighted_sum import WeightedSum

__all__ = ["L1", "MSE", "Charbonnier", "SmoothL1", "TotalVariation", "WeightedSum"]
