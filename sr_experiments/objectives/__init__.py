"""Adversarial objectives: what the discriminator and the generator want of the discriminator's logits."""

from sr_experiments.objectives.base import Objective
from sr_experiments.objectives.hinge import Hinge
from sr_experiments.objectives.least_squares import LeastSquares
from sr_experiments.objectives.ragan import RelativisticAverage
from sr_experiments.objectives.vanilla import Vanilla
from sr_experiments.objectives.wgan_gp import WassersteinGP

__all__ = ["Hinge", "LeastSquares", "Objective", "RelativisticAverage", "Vanilla", "WassersteinGP"]
