"""Attention: weights for channels from their mean or their covariance, and positions that look at each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.errors import UserError
from sr_experiments.models.blocks.basic import conv
from sr_experiments.pixels.eightbit import full_precision


def _weights_of_channels(features: int, reduction: int) -> nn.Sequential:
    if not 1 <= reduction <= features:
        raise UserError(f"reduction={reduction} of the attention must lie between 1 and the {features} features.")
    narrow = features // reduction
    return nn.Sequential(conv(features, narrow, 1), nn.ReLU(), conv(narrow, features, 1), nn.Sigmoid())


class ChannelAttention(nn.Module):
    """Multiplies every channel with a weight in (0, 1) that follows from the means of all channels.

    Zhang et al., "... Very Deep Residual Channel Attention Networks", ECCV 2018 (arXiv 1807.02758), section 3.3.

    Args:
        features: channels of the feature map.
        reduction: how many times narrower the layer is between the means and the weights.

    Raises:
        UserError: no such reduction.
    """

    def __init__(self, features: int, reduction: int = 16) -> None:
        super().__init__()
        self.weigh = _weights_of_channels(features, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        return x * self.weigh(x.mean((2, 3), keepdim=True))


def covariance(x: Tensor) -> Tensor:
    """Covariance of the channels over the positions of an image: (B, C, h, w) -> (B, C, C)."""
    flat = x.flatten(2)
    centred = flat - flat.mean(2, keepdim=True)
    return centred @ centred.transpose(1, 2) / flat.shape[2]


def matrix_root(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Square root of symmetric positive matrices by Newton-Schulz iterations, which need only products.

    Li et al., "Towards Faster Training of Global Covariance Pooling Networks ...", CVPR 2018 (arXiv 1712.01034).

    Args:
        matrix: (B, n, n).
        iterations: the more, the nearer to the root; the paper's 5 leave small eigenvalues too small.

    Returns:
        (B, n, n).
    """
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device).expand_as(matrix)
    trace = matrix.diagonal(dim1=1, dim2=2).sum(1).clamp_min(1e-12)[:, None, None]
    root, inverse = matrix / trace, identity
    for _ in range(iterations):
        step = 1.5 * identity - 0.5 * inverse @ root
        root, inverse = root @ step, step @ inverse
    return root * trace.sqrt()


class SecondOrderAttention(nn.Module):
    """Channel attention whose weights follow from the square root of the covariance of the channels.

    Dai et al., "Second-order Attention Network ...", CVPR 2019, section 3.3.

    Args:
        features: channels of the feature map.
        reduction: see `ChannelAttention`.
        iterations: of the matrix root.

    Raises:
        UserError: no such reduction.
    """

    def __init__(self, features: int, reduction: int = 16, iterations: int = 5) -> None:
        super().__init__()
        self.weigh = _weights_of_channels(features, reduction)
        self.iterations = iterations

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        with full_precision(x.device):
            root = matrix_root(covariance(x.float()), self.iterations)
        return x * self.weigh(root.mean(1)[:, :, None, None].to(x.dtype))


class RegionNonLocal(nn.Module):
    """x + what each position gathers from all positions of its quarter of the image, by their likeness.

    Wang et al., "Non-local Neural Networks", CVPR 2018; by quarters as in Dai et al., CVPR 2019, section 3.2.

    Args:
        features: channels of the feature map.
        inner: channels in which positions are compared; None for an eighth of them.
        grid: rows and columns of the regions.
    """

    def __init__(self, features: int, inner: int | None = None, grid: int = 2) -> None:
        super().__init__()
        inner = max(features // 8, 1) if inner is None else inner
        self.grid = grid
        self.query = conv(features, inner, 1)
        self.key = conv(features, inner, 1)
        self.value = conv(features, inner, 1)
        self.restore = conv(inner, features, 1)
        nn.init.zeros_(self.restore.weight)  # the block starts as the identity
        nn.init.zeros_(self.restore.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, h, w) -> the same shape."""
        return torch.cat([self.look_around(row) for row in self.cut(x, 2)], dim=2)

    def look_around(self, row: Tensor) -> Tensor:
        """One row of regions."""
        return torch.cat([region + self.restore(self.gather(region)) for region in self.cut(row, 3)], dim=3)

    def cut(self, x: Tensor, dim: int) -> list[Tensor]:
        """Cut into `grid` parts that differ by a pixel at most; an image too small for that has fewer."""
        edges = [x.shape[dim] * k // self.grid for k in range(1, self.grid)]
        return [part for part in x.tensor_split(edges, dim) if part.shape[dim]]

    def gather(self, region: Tensor) -> Tensor:
        """Attention within one region: (B, features, h, w) -> (B, inner, h, w)."""
        query, key, value = (layer(region).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value))
        found = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return found.transpose(1, 2).unflatten(2, region.shape[2:])
