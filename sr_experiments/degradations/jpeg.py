"""JPEG compression: libjpeg itself, and its arithmetic as differentiable tensor operations."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from sr_experiments.degradations.base import Degradation, check_range
from sr_experiments.degradations.blur import continued
from sr_experiments.errors import UserError
from sr_experiments.pixels.draws import Draws, keys_of
from sr_experiments.pixels.eightbit import round_to_8bit, to_pixels, working_dtype

# The example tables of the standard (ITU-T T.81, annex K), which libjpeg scales by the quality.
LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


class Jpeg(Degradation):
    """Compress and decompress, with the colours at half the resolution (4:2:0), as libjpeg does by default.

    Args:
        quality: libjpeg's quality, or [smallest, largest] to draw a whole number for every sample.
        differentiable: compute it on the images' device with tensor operations; gradients pass the roundings
            unchanged; False for libjpeg on the CPU, one image at a time.

    Raises:
        UserError: `quality` is not within 1 and 100.
    """

    scale = 1

    def __init__(self, quality: float | Sequence[float] = (30, 95), differentiable: bool = False) -> None:
        super().__init__()
        self.quality = check_range("quality", quality, 1, 100)
        self.differentiable = differentiable

    def drawn(self, key: Tensor) -> dict[str, Tensor]:
        """The quality of every sample."""
        return {"quality": Draws(key.cpu()).integer(math.ceil(self.quality[0]), math.floor(self.quality[1]))}

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        """(B, 1 or 3, H, W) in [0, 1] -> the same size, on 8-bit levels."""
        return compress(hr, self.drawn(keys_of(hr, key))["quality"], self.differentiable)

    def extra_repr(self) -> str:
        """Show the options in `print(module)`."""
        return f"quality={self.quality}, differentiable={self.differentiable}"


def compress(images: Tensor, quality: Tensor, differentiable: bool) -> Tensor:
    """Compress images (B, 1 or 3, H, W) in [0, 1] by libjpeg or, differentiably, by its arithmetic.

    Raises:
        UserError: the images have other channels, or need a gradient that libjpeg does not have.
    """
    if images.shape[1] not in (1, 3):
        raise UserError(f"JPEG compresses images of 1 or 3 channels, not of {images.shape[1]}.")
    if differentiable:
        return jpeg(images, quality)
    if images.requires_grad and torch.is_grad_enabled():
        raise UserError("libjpeg has no gradient: set differentiable=true in the degradation.")
    return libjpeg(images, [int(number) for number in quality.tolist()])


def libjpeg(images: Tensor, quality: Sequence[int]) -> Tensor:
    """Write every image as a JPEG file in memory and read it again.

    Args:
        images: (B, 1 or 3, H, W) in [0, 1].
        quality: of every image, 1 to 100.

    Returns:
        The same shape, dtype and device, on 8-bit levels, without gradient.
    """
    results = []
    for image, number in zip(images, quality, strict=True):
        file = io.BytesIO()
        pixels = to_pixels(image)
        picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
        picture.save(file, "JPEG", quality=number, subsampling="4:2:0")
        decoded = np.array(Image.open(file))
        results.append(torch.from_numpy(decoded.reshape(*decoded.shape[:2], -1)).permute(2, 0, 1))
    return torch.stack(results).to(images.device).to(images.dtype) / 255


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """What `libjpeg` does, up to the roundings of its integer transform, with gradients.

    Args:
        images: (B, 1 or 3, H, W) in [0, 1].
        quality: (B,), 1 to 100, whole or not.

    Returns:
        The same shape and dtype, on 8-bit levels. Gradients go straight through all roundings.
    """
    height, width = images.shape[-2:]
    values = round_to_8bit(images.to(working_dtype(images.device)) * 255)
    luma_table, chroma_table = (_scaled(table, quality, values) for table in (LUMA_TABLE, CHROMA_TABLE))
    if images.shape[1] == 1:
        return (_coded(values, luma_table) / 255).to(images.dtype)

    ycc = _mixed(values, _TO_YCC)
    ycc = round_to_8bit(ycc + ycc.new_tensor([0, 128, 128]).view(3, 1, 1))
    luma = _coded(ycc[:, :1], luma_table)
    even = continued(ycc[:, 1:], 0, 1, "clamp")[..., : height + height % 2, : width + width % 2]
    chroma = _coded(_halved(even), chroma_table)
    chroma = _doubled(chroma)[..., :height, :width] - 128
    return (round_to_8bit(_mixed(torch.cat([luma, chroma], dim=1), _TO_RGB)) / 255).to(images.dtype)


def _mixed(images: Tensor, weights: Sequence[Sequence[float]]) -> Tensor:
    return torch.einsum("dc,bchw->bdhw", images.new_tensor(weights), images)


def _straight(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Apply a rounding, with the gradient of the identity."""
    return values + (function(values.detach()) - values.detach())


def _round_half_away(values: Tensor) -> Tensor:
    return values.sign() * (values.abs() + 0.5).floor()


def _scaled(table: Sequence[Sequence[int]], quality: Tensor, like: Tensor) -> Tensor:
    """The quantisation table (B, 8, 8) of libjpeg for every quality."""
    number = quality.to(like).view(-1, 1, 1)
    percent = torch.where(number < 50, (5000 / number).floor(), 200 - 2 * number)
    return ((like.new_tensor(table) * percent + 50) / 100).floor().clamp(1, 255)


def _halved(chroma: Tensor) -> Tensor:
    """Means of 2x2 pixels; halves are rounded down in even columns and up in odd ones."""
    sums = F.avg_pool2d(chroma, 2) * 4
    bias = (torch.arange(sums.shape[-1], device=sums.device) % 2 + 1).to(sums)
    return _straight(torch.floor, (sums + bias) / 4)


def _doubled(chroma: Tensor) -> Tensor:
    """The 'fancy' enlargement of libjpeg: a quarter of the next pixel and three of the nearest, on either axis."""
    sums = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False) * 16
    bias = 8 - (torch.arange(sums.shape[-1], device=sums.device) % 2).to(sums)
    return _straight(torch.floor, (sums.detach().round() + (sums - sums.detach()) + bias) / 16)


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """Transform blocks of 8x8 of (B, C, H, W) planes, quantise them by their samples' (B, 8, 8) table, and go back."""
    height, width = planes.shape[-2:]
    whole = continued(planes, 0, max(-height % 8, -width % 8), "clamp")
    whole = whole[..., : height + -height % 8, : width + -width % 8]
    blocks = whole.unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).transpose(-3, -2) - 128
    transform = _cosines(planes)
    table = table[:, None, None, None]
    numbers = _straight(_round_half_away, transform @ blocks @ transform.mT / table)
    blocks = transform.mT @ (numbers * table) @ transform + 128
    return round_to_8bit(blocks.transpose(-3, -2).flatten(-2).flatten(-3, -2)[..., :height, :width])


def _cosines(like: Tensor) -> Tensor:
    """The discrete cosine transform of length 8 as an orthogonal matrix."""
    place = torch.arange(8, dtype=like.dtype, device=like.device)
    matrix = torch.cos((place + 0.5) * place[:, None] * math.pi / 8) / 2
    return torch.cat([matrix[:1] / math.sqrt(2), matrix[1:]])
