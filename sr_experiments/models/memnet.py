"""MemNet. Tai et al., "MemNet: A Persistent Memory Network for Image Restoration", ICCV 2017 (arXiv 1708.02209)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.models.blocks import PreActivated, SharedUnit
from sr_experiments.upsamplers import require_fixed
from sr_experiments.upsamplers.base import UpsamplerFactory


class MemoryBlock(nn.Module):
    """One residual unit applied again and again; a gate fuses its results with those of all blocks before.

    Args:
        features: channels of the feature map.
        recursions: how often the unit is applied.
        earlier: how many results of earlier blocks there are, the first being what entered the first block.
    """

    def __init__(self, features: int, recursions: int, earlier: int) -> None:
        super().__init__()
        self.unit = SharedUnit(features, recursions)
        self.gate = PreActivated((recursions + earlier) * features, features, kernel=1)

    def forward(self, memory: list[Tensor]) -> Tensor:
        """Results of earlier blocks, each (B, features, h, w) -> this block's, of the same shape."""
        x, results = memory[-1], []
        for application in range(len(self.unit)):
            x = x + self.unit(x, application)
            results.append(x)
        return self.gate(torch.cat([*memory, *results], dim=1))


class MemNet(nn.Module):
    """Memory blocks over the image enlarged before, an image from each block (framework: pre-upsampling).

    676,992 weights of convolutions on one channel with six blocks of six recursions, 80 layers (section 3); with
    biases, the batch norms, which each application has of its own, and the weights of the images, 695,497 parameters.

    Args:
        scale: the enlargement.
        upsampler: a fixed one; it stands in front of the network.
        channels: channels of the image (the paper's: 1, luma).
        features: channels of the feature maps.
        blocks: number of memory blocks (the paper's M).
        recursions: applications of the unit in each block (R).

    Raises:
        UserError: a learned upsampler.
    """

    framework = "pre"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        blocks: int = 6,
        recursions: int = 6,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.upsample = require_fixed(upsampler(channels=channels, scale=scale), "MemNet")
        self.head = PreActivated(channels, features)
        self.blocks = nn.ModuleList(MemoryBlock(features, recursions, earlier=k + 1) for k in range(blocks))
        # The convolution that makes an image is shared by all blocks, the batch norm in front of it is not.
        self.before_tail = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(features), nn.ReLU()) for _ in range(blocks))
        self.tail = nn.Conv2d(features, channels, 3, padding=1)
        self.average = nn.Parameter(torch.full((blocks,), 1 / blocks))

    def outputs(self, lr: Tensor, scale: int | None = None) -> list[Tensor]:
        """The image after each memory block, and last their weighted sum, which is the network's output.

        Args:
            lr: (B, channels, h, w) in [0, 1].
            scale: the enlargement; None for the configured one.

        Returns:
            blocks + 1 images (B, channels, scale * h, scale * w).
        """
        enlarged = self.upsample(lr, scale)
        memory, images = [self.head(enlarged)], []
        for block, before_tail in zip(self.blocks, self.before_tail, strict=True):
            memory.append(block(memory))
            images.append(enlarged + self.tail(before_tail(memory[-1])))
        return [*images, torch.einsum("k,kbchw->bchw", self.average, torch.stack(images))]

    def forward(self, lr: Tensor, scale: int | None = None) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w), at `scale` or the configured one."""
        return self.outputs(lr, scale)[-1]
