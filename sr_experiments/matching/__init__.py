"""Feature swapping: finding textures for an image in reference images, by patches of VGG features."""

from sr_experiments.matching.correspondence import Correspondence, correspond
from sr_experiments.matching.features import CELL, LAYERS, extract
from sr_experiments.matching.matching import Match, Matching
from sr_experiments.matching.references import References
from sr_experiments.matching.swapping import cell_table, swap

__all__ = [
    "CELL",
    "LAYERS",
    "Correspondence",
    "Match",
    "Matching",
    "References",
    "cell_table",
    "correspond",
    "extract",
    "swap",
]
