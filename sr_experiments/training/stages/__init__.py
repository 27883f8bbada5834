"""What is done to a batch before it is learnt from or enlarged, one stage a file.

A stage is a module (batch, step) -> batch, where `step` counts the updates made before. In training mode it prepares
crops to learn from, else whole images to enlarge.
"""

from sr_experiments.training.stages.sequence import Stages

__all__ = ["Stages"]
