"""Blocks that work at half the size, and the exactly invertible ways there and back: Haar wavelet and desubpixel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.models.blocks.activations import relu
from sr_experiments.models.blocks.basic import conv
from sr_experiments.models.blocks.factories import ActivationFactory


def haar_down(x: Tensor) -> Tensor:
    """One level of the orthonormal Haar transform.

    Args:
        x: (B, C, h, w), both sides even.

    Returns:
        (B, 4 * C, h / 2, w / 2): all channels of the approximation, then of what differs between columns, between
        rows, and along the diagonal. The sum of squares stays the same.

    Raises:
        ValueError: an odd side.
    """
    if x.shape[2] % 2 or x.shape[3] % 2:
        raise ValueError(f"The Haar transform takes images of even sides, not {x.shape[2]} x {x.shape[3]}.")
    a, b, c, d = (x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1))
    return torch.cat([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d], dim=1) / 2


def haar_up(bands: Tensor) -> Tensor:
    """The inverse of `haar_down`.

    Args:
        bands: (B, 4 * C, h, w) in the order in which `haar_down` gives them.

    Returns:
        (B, C, 2 * h, 2 * w).
    """
    low, columns, rows, diagonal = bands.chunk(4, dim=1)
    a, b = low + columns + rows + diagonal, low - columns + rows - diagonal
    c, d = low + columns - rows - diagonal, low - columns - rows + diagonal
    # Pixel shuffle takes four neighbouring channels for the four pixels of a square.
    return F.pixel_shuffle(torch.stack([a, b, c, d], dim=2).flatten(1, 2) / 2, 2)


# Ways to half the size with four times the channels, and back.
TRANSFORMS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "haar": (haar_down, haar_up),
    "desubpixel": (partial(F.pixel_unshuffle, downscale_factor=2), partial(F.pixel_shuffle, upscale_factor=2)),
}


class HalvedBlock(nn.Module):
    """x + residual_scale * up(conv(activation(conv(down(x))))): a residual block of half the size and a wider view.

    With the Haar transform it is a step of MWCNN (Liu et al., "Multi-level Wavelet-CNN for Image Restoration", CVPRW
    2018, arXiv 1805.07071); with desubpixel, which takes every square of pixels for channels, one of FEQE (Vu et al.,
    "Fast and Efficient Image Quality Enhancement via Desubpixel Convolutional Neural Networks", ECCVW 2018). It has
    four times the weights of a plain residual block and as many multiply-adds.

    Args:
        features: channels of the feature map; an odd side of it is continued by its last row or column.
        activation: makes the activation.
        residual_scale: what the residual is multiplied with before it is added.
        transform: `haar` or `desubpixel`.

    Raises:
        UserError: an unknown transform.
    """

    cell = 2  # what is enlarged in tiles must be cut at multiples of it

    def __init__(
        self,
        features: int,
        *,
        activation: ActivationFactory = relu,
        residual_scale: float = 1.0,
        transform: str = "haar",
    ) -> None:
        super().__init__()
        if transform not in TRANSFORMS:
            raise UserError(f"block.transform={transform} is unknown: use {' or '.join(TRANSFORMS)}.")
        self.transform = transform
        self.body = nn.Sequential(conv(4 * features, features), activation(features), conv(features, 4 * features))
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        down, up = TRANSFORMS[self.transform]
        height, width = x.shape[2:]
        even = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        return x + self.residual_scale * up(self.body(down(even)))[:, :, :height, :width]
