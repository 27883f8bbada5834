"""What a network takes beside LR: conditions, degradation maps, textures of references."""

from sr_experiments.inputs.beside import side_inputs

__all__ = ["side_inputs"]
