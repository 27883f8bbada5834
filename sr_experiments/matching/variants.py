"""References turned and scaled, so that textures are found that lie differently there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sr_experiments.pixels.imresize import imresize


@torch.no_grad()
def variants(image: Tensor, rotations: Sequence[float], scales: Sequence[float]) -> list[Tensor]:
    """Make all combinations of turning and scaling of a reference.

    Args:
        image: (1, 3, H, W) in [0, 1].
        rotations: degrees, counter-clockwise; 0 for the reference as it lies.
        scales: enlargements; 1 for the reference as large as it is.

    Returns:
        One image (1, 3, scale * H, scale * W), rounded, for each scale and rotation. A turned one is as large as
        the upright; what turns in from outside is mirrored.
    """
    sized = [image if scale == 1 else imresize(image, scale=scale).clamp(0, 1) for scale in scales]
    return [turn(one, degrees) for one in sized for degrees in rotations]


def turn(image: Tensor, degrees: float) -> Tensor:
    """Turn (1, C, H, W) around its middle, counter-clockwise, bicubically; its borders are continued by mirroring."""
    if degrees % 360 == 0:
        return image
    height, width = image.shape[-2:]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # From places in the result to places in the image, both from -1 to 1 along each axis.
    matrix = image.new_tensor([[cosine, -sine * height / width, 0], [sine * width / height, cosine, 0]])
    places = F.affine_grid(matrix[None], list(image.shape), align_corners=False)
    turned = F.grid_sample(image, places, mode="bicubic", padding_mode="reflection", align_corners=False)
    return turned.clamp(0, 1)
