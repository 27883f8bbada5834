"""SRNTT. Zhang et al., "Image Super-Resolution by Neural Texture Transfer", CVPR 2019 (arXiv 1903.00834)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.models.blocks import ResidualBlock, conv
from sr_experiments.upsamplers import require_learned
from sr_experiments.upsamplers.base import UpsamplerFactory

# The layers of VGG19 whose textures are transferred, coarse to fine: cells of 4, 2 and 1 HR pixels a side.
LAYERS = {"relu3_1": 256, "relu2_1": 128, "relu1_1": 64}
CELLS = {"relu3_1": 4, "relu2_1": 2, "relu1_1": 1}

OUTPUTS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "tanh": lambda x, lr, scale: (torch.tanh(x) + 1) / 2,
    "linear": lambda x, lr, scale: (x + 1) / 2,
    "bicubic": lambda x, lr, scale: x / 2 + bicubic_upsample(lr, scale=scale),
}
NORMS: dict[str, Callable[[int], nn.Module] | None] = {"batch": nn.BatchNorm2d, "none": None}


class ContentExtractor(nn.Module):
    """SRResNet's trunk with ReLU: the features of the LR image, at its size (1,222,528 parameters).

    Args:
        channels: channels of the image.
        features: channels of the feature map.
        blocks: number of residual blocks.
        norm: `batch` or `none`; with batch norm the convolutions in front of it have no bias.
    """

    def __init__(self, channels: int, features: int, blocks: int, norm: str) -> None:
        super().__init__()
        self.head = nn.Sequential(conv(channels, features), nn.ReLU())
        self.body = residual_body(features, blocks, norm)
        initialise(self)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, features, h, w)."""
        x = self.head(2 * lr - 1)
        return x + self.body(x)


class SRNTTContent(nn.Module):
    """SRNTT's content extractor with an ending of its own: a network without reference (framework: post-upsampling).

    Training it prepares the content extractor of `SRNTT`. 1,518,147 parameters at x4, 295,619 of them in the ending.

    Args:
        scale: the enlargement.
        upsampler: a learned one; every stage is followed by a ReLU.
        channels: channels of the image.
        features: channels of the feature maps.
        blocks: number of residual blocks.
        norm: `batch` (the paper) or `none`.
        output: `tanh` (the paper), `linear`, or `bicubic`, what the network makes being added to the bicubic image.

    Raises:
        UserError: a fixed upsampler, or an unknown option.
    """

    framework = "post"

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        blocks: int = 16,
        norm: str = "batch",
        output: str = "tanh",
    ) -> None:
        super().__init__()
        check_options(norm, output)
        self.scale = scale
        self.output = output
        self.content = ContentExtractor(channels, features, blocks, norm)
        self.upsample = require_learned(upsampler(channels=features, scale=scale, activation=nn.ReLU), "SRNTT")
        self.tail = conv(features, channels, 1)
        initialise(self.tail)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, channels, h, w) in [0, 1] -> (B, channels, scale * h, scale * w)."""
        return OUTPUTS[self.output](self.tail(self.upsample(self.content(lr))), lr, self.scale)


class TextureTransfer(nn.Module):
    """One scale: fuse the features with the texture of a layer, and add what residual blocks make of both.

    Args:
        features: channels of the feature map.
        texture: channels of the layer.
        blocks: number of residual blocks.
        norm: `batch` or `none`.
    """

    def __init__(self, features: int, texture: int, blocks: int, norm: str) -> None:
        super().__init__()
        self.fuse = nn.Sequential(conv(features + texture, features), nn.ReLU())
        self.body = residual_body(features, blocks, norm)
        initialise(self)

    def forward(self, x: Tensor, texture: Tensor) -> Tensor:
        """Features (B, C, h, w) and texture (B, T, h, w) -> (B, C, h, w)."""
        return x + self.body(self.fuse(torch.cat([x, texture], dim=1)))


class SimilarityWeight(nn.Module):
    """Multiply a texture with sigmoid(slope * similarity + offset); both are learned and start at 1."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))
        self.offset = nn.Parameter(torch.ones(()))

    def forward(self, texture: Tensor, similarity: Tensor) -> Tensor:
        """Texture (B, T, r * h, r * w) and similarity (B, 1, h, w) -> (B, T, r * h, r * w), a new tensor."""
        alike = enlarge_similarity(similarity, texture.shape[-1] // similarity.shape[-1])
        return texture * torch.sigmoid(self.slope * alike + self.offset)


class SRNTT(nn.Module):
    """Textures of reference images, matched by VGG19, are fused with the content at three scales (post-upsampling).

    4,087,875 parameters at x4: 1,222,528 of the content extractor and 2,865,347 of the texture transfer.

    The layers lie at a quarter (relu3_1), a half (relu2_1) and the whole (relu1_1) of the HR size, whatever the scale.
    At x4, the paper's, the LR image has the size of relu3_1. At x8 its features are enlarged first, by one more stage
    of the upsampler. At x2 it has the size of relu2_1: there are two scales, and relu3_1 serves the matching alone.

    Args:
        scale: the enlargement: 2, or a multiple of 4.
        upsampler: a learned one, used wherever features are enlarged; every stage is followed by a ReLU.
        channels: channels of the image.
        features: channels of the feature maps.
        content_blocks: residual blocks of the content extractor.
        blocks: residual blocks at the levels of relu3_1, relu2_1 and relu1_1; at x2 there is no first level.
        normalise_maps: bring every channel of the maps to mean 0 and variance 1, by the batch in training and by
            running averages afterwards. The activations of the original VGG19 are some hundreds: without batch norm
            behind them they drown the content. The paper takes the maps as they are.
        weigh_maps: multiply the maps with sigmoid(a * similarity + b), a and b learned for every level. The paper has
            the similarity in the texture loss alone; in the released code the switch for this is never set.
        freeze_content: the content extractor's parameters are not trained.
        freeze_bn: the content extractor's batch norm uses, and keeps, its running averages also in training. None for
            the same as `freeze_content`; False with a frozen extractor is the released code's way: averages drift.
        norm: `batch` (the paper) or `none`, for all residual blocks.
        output: `tanh` (the paper), `linear`, or `bicubic`, what the network makes being added to the bicubic image.

    Raises:
        UserError: a fixed upsampler, a scale at which the layers have no place, or an unknown or useless option.
    """

    framework = "post"
    possible_scales = (2, 4, 8)
    inputs = ("textures",)

    def __init__(
        self,
        scale: int,
        upsampler: UpsamplerFactory,
        channels: int = 3,
        features: int = 64,
        content_blocks: int = 16,
        blocks: Sequence[int] = (16, 8, 4),
        normalise_maps: bool = False,
        weigh_maps: bool = False,
        freeze_content: bool = False,
        freeze_bn: bool | None = None,
        norm: str = "batch",
        output: str = "tanh",
    ) -> None:
        super().__init__()
        check_options(norm, output)
        check_levels(scale, blocks)
        if freeze_bn and norm == "none":
            raise UserError("model.freeze_bn=true has nothing to freeze with model.norm=none: leave it null.")
        self.scale = scale
        self.output = output
        self.needs_first_stage = freeze_content
        self.freeze_bn = freeze_content if freeze_bn is None else freeze_bn

        def enlarge(factor: int) -> nn.Module:
            return require_learned(upsampler(channels=features, scale=factor, activation=nn.ReLU), "SRNTT")

        self.content = ContentExtractor(channels, features, content_blocks, norm).requires_grad_(not freeze_content)
        self.enlarge_content = enlarge(scale // 4) if scale > 4 else nn.Identity()
        counts = dict(zip(LAYERS, blocks, strict=True))
        self.layers = [name for name in LAYERS if CELLS[name] <= scale]
        self.transfer = nn.ModuleDict(
            {name: TextureTransfer(features, LAYERS[name], counts[name], norm) for name in self.layers}
        )
        self.normalise = nn.ModuleDict(
            {name: nn.BatchNorm2d(LAYERS[name], affine=False) for name in self.layers} if normalise_maps else {}
        )
        self.weigh = nn.ModuleDict({name: SimilarityWeight() for name in self.layers} if weigh_maps else {})
        self.upsample = nn.ModuleDict({name: enlarge(2) for name in self.layers[:-1]})
        self.tail = nn.Sequential(conv(features, features // 2), conv(features // 2, channels, 1))
        initialise(self.tail)
        self.train()  # Lightning trains modules in the modes in which it finds them

    def forward(self, lr: Tensor, maps: Mapping[str, Tensor], similarity: Tensor) -> Tensor:
        """Enlarge with the textures that the matching found.

        Args:
            lr: (B, channels, h, w) in [0, 1].
            maps: layer -> (B, C, H', W'), at least as large as the layer lies at the HR size; what is more, at the
                bottom and the right, is not used.
            similarity: (B, 1, h4, w4), one value a cell of relu3_1; used by `weigh_maps`.

        Returns:
            (B, channels, scale * h, scale * w).
        """
        x = self.enlarge_content(self.content(lr))
        for name in self.layers:
            texture = maps[name]  # never changed in place: the loss looks at it as well
            if name in self.normalise:
                texture = self.normalise[name](texture)
            if name in self.weigh:
                texture = self.weigh[name](texture, similarity)
            x = self.transfer[name](x, texture[..., : x.shape[-2], : x.shape[-1]])
            if name in self.upsample:
                x = self.upsample[name](x)
        return OUTPUTS[self.output](self.tail(x), lr, self.scale)

    def train(self, mode: bool = True) -> SRNTT:
        """Switch between training and evaluation; a frozen batch norm stays in evaluation."""
        super().train(mode)
        if self.freeze_bn:
            self.content.eval()  # nothing else in it depends on the mode
        return self

    def begin_from(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Complete the weights of an `SRNTTContent` to weights of this network.

        Args:
            state: a state dict. If it is an `SRNTTContent`'s, its content extractor is taken, its ending is left out,
                and the texture transfer keeps the values that it has here. Any other comes back as it is.

        Returns:
            A state dict for `load_state_dict`.
        """
        parts = {name.split(".")[0] for name in state}
        if "content" not in parts or "transfer" in parts:
            return dict(state)
        own = {name: value for name, value in self.state_dict().items() if not name.startswith("content.")}
        return own | {name: value for name, value in state.items() if name.startswith("content.")}


def enlarge_similarity(similarity: Tensor, ratio: int) -> Tensor:
    """Bring a similarity map to the grid of a finer layer, bicubically as the released code does.

    Args:
        similarity: (B, 1, h, w).
        ratio: cells of the finer layer a cell of the map.

    Returns:
        (B, 1, ratio * h, ratio * w).
    """
    return similarity if ratio == 1 else bicubic_upsample(similarity, scale=ratio)


def residual_body(features: int, blocks: int, norm: str) -> nn.Sequential:
    """Residual blocks and one more convolution, as they stand between the ends of a long skip."""
    make = NORMS[norm]
    body = [ResidualBlock(features, norm=make, bias=make is None) for _ in range(blocks)]
    last = [conv(features, features, bias=make is None), *([make(features)] if make else [])]
    return nn.Sequential(*body, *last)


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Draw weights as the released code does: convolutions from N(0, 0.02), factors of batch norm from N(1, 0.02).

    An upsampler, which may have a way of its own, is left as it is.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, mean=1.0, std=0.02)


def check_options(norm: str, output: str) -> None:
    """Refuse unknown options.

    Raises:
        UserError: `norm` or `output` is unknown.
    """
    if norm not in NORMS:
        raise UserError(f"model.norm={norm} is unknown: use {' or '.join(NORMS)}.")
    if output not in OUTPUTS:
        raise UserError(f"model.output={output} is unknown: use {', '.join(OUTPUTS)}.")


def check_levels(scale: int, blocks: Sequence[int]) -> None:
    """Refuse scales and numbers of blocks that do not fit the three layers.

    Raises:
        UserError: no feature map of the network has the size of the layers, or there are not three positive numbers.
    """
    if scale != 2 and (scale < 4 or scale % 4):
        raise UserError(
            f"SRNTT cannot enlarge by scale={scale}: the textures lie at a quarter, a half and the whole of the HR "
            "size, where no feature map of that network lies. Use scale=2, 4 or 8."
        )
    if len(blocks) != len(LAYERS) or any(count < 1 for count in blocks):
        raise UserError(
            f"model.blocks={list(blocks)} must be three positive numbers, for {', '.join(LAYERS)}; the paper's are "
            "[16, 8, 4]."
        )
