"""What a network takes beside LR: conditions, degradation maps, textures of references, noise."""

from sr_experiments.inputs.base import Input
from sr_experiments.inputs.of_network import inputs_of, side_inputs, stand_ins

__all__ = ["Input", "inputs_of", "side_inputs", "stand_ins"]
