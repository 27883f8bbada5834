"""What the tests of this folder share: a small feature network and direct loops to compare with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sr_experiments.data.images import read_image
from sr_experiments.data.sample import training_photographs
from sr_experiments.losses import FeatureNetwork

Array = NDArray[np.float64]


@pytest.fixture(scope="session")
def network() -> FeatureNetwork:
    """VGG11 with random weights: the layers of VGG19's names, made in a fraction of the time."""
    network = FeatureNetwork("vgg11", "random")
    network.load()
    return network


@pytest.fixture(scope="session")
def photograph() -> Tensor:
    """A cup of coffee on a table, (3, 400, 600) in [0, 1]."""
    pixels = read_image(training_photographs()[0].hr)
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255


def random_map(*shape: int, seed: int = 0) -> Tensor:
    """A feature map after ReLU: about half of it zeros."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).clamp(min=0)


def match_directly(content: Tensor, references: list[Tensor]) -> tuple[NDArray[np.int64], Array, Array]:
    """Patch by patch: number of the best reference and its (row, column), cosine, and the margin to the next best."""
    rows, columns = content.shape[1] - 2, content.shape[2] - 2
    where, cosine = np.zeros((rows, columns, 3), np.int64), np.zeros((rows, columns))
    margin = np.zeros((rows, columns))
    maps = [reference.double().numpy() for reference in references]
    candidates = [
        (number, y, x, values[:, y : y + 3, x : x + 3])
        for number, values in enumerate(maps)
        for y in range(values.shape[1] - 2)
        for x in range(values.shape[2] - 2)
    ]
    for row in range(rows):
        for column in range(columns):
            patch = content.double().numpy()[:, row : row + 3, column : column + 3]
            scores = []
            for *_, other in candidates:
                norm = np.sqrt((other**2).sum())
                scores.append((patch * other).sum() / norm if norm > 0 else 0.0)
            best = int(np.argmax(scores))
            length = np.sqrt((patch**2).sum())
            where[row, column] = candidates[best][:3]
            cosine[row, column] = scores[best] / length if length > 0 else 0.0
            margin[row, column] = scores[best] - sorted(scores)[-2] if len(scores) > 1 else np.inf
    return where, cosine, margin


def paste_directly(layers: list[Tensor], where: NDArray[np.int64], ratio: int) -> Array:
    """Paste 3x3 cells of `ratio` positions a side, one patch after the other, and divide by how many lie there."""
    rows, columns = where.shape[:2]
    total = np.zeros((layers[0].shape[0], (rows + 2) * ratio, (columns + 2) * ratio))
    count = np.zeros(total.shape[1:])
    side = 3 * ratio
    for row in range(rows):
        for column in range(columns):
            number, y, x = where[row, column]
            patch = layers[number].double().numpy()[:, y * ratio : y * ratio + side, x * ratio : x * ratio + side]
            total[:, row * ratio : row * ratio + side, column * ratio : column * ratio + side] += patch
            count[row * ratio : row * ratio + side, column * ratio : column * ratio + side] += 1
    return total / count
