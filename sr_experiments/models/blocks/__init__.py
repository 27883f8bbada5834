"""Blocks that several networks share."""

from sr_experiments.models.blocks.attention import ChannelAttention, RegionNonLocal, SecondOrderAttention
from sr_experiments.models.blocks.basic import (
    DIV2K_MEAN,
    ResidualBlock,
    ShiftMean,
    conv,
    div2k_mean,
    start_kaiming,
    start_small,
)
from sr_experiments.models.blocks.conditional import FeatureTransform
from sr_experiments.models.blocks.dense import DenseLayers, ResidualDenseBlock
from sr_experiments.models.blocks.multi_path import Cascade, MultiScaleBlock
from sr_experiments.models.blocks.recursive import PreActivated, SharedUnit

__all__ = [
    "DIV2K_MEAN",
    "Cascade",
    "ChannelAttention",
    "DenseLayers",
    "FeatureTransform",
    "MultiScaleBlock",
    "PreActivated",
    "RegionNonLocal",
    "ResidualBlock",
    "ResidualDenseBlock",
    "SecondOrderAttention",
    "SharedUnit",
    "ShiftMean",
    "conv",
    "div2k_mean",
    "start_kaiming",
    "start_small",
]
