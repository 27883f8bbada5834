"""Blocks that several networks share."""

from sr_experiments.models.blocks.activations import XUnit, gelu, leaky_relu, prelu, relu, silu, tanh
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
from sr_experiments.models.blocks.dense import DenseBlock, DenseLayers, ResidualDenseBlock, ResidualInResidual
from sr_experiments.models.blocks.factories import ActivationFactory, BlockFactory
from sr_experiments.models.blocks.halved import HalvedBlock, haar_down, haar_up
from sr_experiments.models.blocks.multi_path import Cascade, MultiScaleBlock
from sr_experiments.models.blocks.pyramid import PyramidPooling
from sr_experiments.models.blocks.recursive import PreActivated, SharedResidual, SharedUnit

__all__ = [
    "DIV2K_MEAN",
    "ActivationFactory",
    "BlockFactory",
    "Cascade",
    "ChannelAttention",
    "DenseBlock",
    "DenseLayers",
    "FeatureTransform",
    "HalvedBlock",
    "MultiScaleBlock",
    "PreActivated",
    "PyramidPooling",
    "RegionNonLocal",
    "ResidualBlock",
    "ResidualDenseBlock",
    "ResidualInResidual",
    "SecondOrderAttention",
    "SharedResidual",
    "SharedUnit",
    "ShiftMean",
    "XUnit",
    "conv",
    "div2k_mean",
    "gelu",
    "haar_down",
    "haar_up",
    "leaky_relu",
    "prelu",
    "relu",
    "silu",
    "start_kaiming",
    "start_small",
    "tanh",
]
