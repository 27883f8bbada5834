"""RDN. Zhang et al., "Residual Dense Network for Image Super-Resolution", CVPR 2018 (arXiv 1802.08797)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sr_experiments.models.blocks import ResidualDenseBlock, conv
from sr_experiments.models.conversion import Converted, Layout, convert, layers_with_weights
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory


class RDNFeatures(nn.Module):
    """All of RDN before the enlargement.

    Args:
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual dense blocks.
        layers: convolutions in a block.
        growth: channels that each of them adds.
    """

    def __init__(self, channels: int, features: int, blocks: int, layers: int, growth: int) -> None:
        super().__init__()
        self.head = conv(channels, features)
        self.second = conv(features, features)
        self.blocks = nn.ModuleList(ResidualDenseBlock(features, growth, layers) for _ in range(blocks))
        self.fuse = nn.Sequential(conv(blocks * features, features, 1), conv(features, features))

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, features, h, w)."""
        shallow = self.head(lr)
        x, results = self.second(shallow), []
        for block in self.blocks:
            x = block(x)
            results.append(x)
        return shallow + self.fuse(torch.cat(results, dim=1))


class RDN(nn.Module):
    """Residual dense blocks, all of which are fused at the end, on the small image (framework: post-upsampling).

    22,271,107 parameters at x4, 22,123,395 at x2 (section 3).

    Args:
        scale: the enlargement.
        upsampler: a learned one.
        channels: channels of the image.
        features: channels of the feature maps (the paper's G0).
        blocks: number of residual dense blocks (D).
        layers: convolutions in a block (C).
        growth: channels that each of them adds (G).

    Raises:
        UserError: a fixed upsampler.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        blocks: int = 16,
        layers: int = 8,
        growth: int = 64,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.blocks, self.layers = blocks, layers
        self.channels = channels
        self.body = RDNFeatures(channels, features, blocks, layers, growth)
        self.upsample = require_learned(upsampler(channels=features, scale=scale), "RDN")
        self.tail = conv(features, channels)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        return self.tail(self.upsample(self.body(lr)))

    def convert_published(self, state: Mapping[str, Tensor]) -> Converted:
        """From the weights of the authors' EDSR-PyTorch, for images in [0, 255], and of a port, for [0, 1].

        github.com/sanghyun-son/EDSR-PyTorch, model/rdn.py; github.com/yjn870/RDN-pytorch, models.py.
        """
        stages = range(len(layers_with_weights(self.upsample)))
        authors, port = ["SFENet1", "SFENet2"], ["sfe1", "sfe2"]
        for block in range(self.blocks):
            authors += [*(f"RDBs.{block}.convs.{k}.conv.0" for k in range(self.layers)), f"RDBs.{block}.LFF"]
            port += [*(f"rdbs.{block}.layers.{k}.conv" for k in range(self.layers)), f"rdbs.{block}.lff"]
        authors += ["GFF.0", "GFF.1", *(f"UPNet.{2 * k}" for k in range(len(stages) + 1))]
        port += ["gff.0", "gff.1", *(f"upscale.{2 * k}" for k in stages), "output"]
        return convert(self, state, [Layout("EDSR-PyTorch", authors, 255), Layout("RDN-pytorch", port)])
