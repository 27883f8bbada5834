"""One VGG19 with random weights for all tests of this folder, which takes seconds to make, and photographs to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from sr_experiments.data.images import write_png
from sr_experiments.losses import FeatureNetwork


@pytest.fixture(scope="session")
def torchvision_vgg19() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        features = torchvision.models.vgg19(weights=None).features.eval()
        # torchvision starts with biases of 0; these tell a forgotten one.
        for layer in features:
            if isinstance(layer, nn.Conv2d):
                nn.init.uniform_(layer.bias, -0.1, 0.1)
    return features


@pytest.fixture(scope="session")
def vgg19_file(torchvision_vgg19: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vgg19.safetensors"
    save_file({f"features.{name}": value for name, value in torchvision_vgg19.state_dict().items()}, path)
    return path


@pytest.fixture(scope="session")
def vgg19(vgg19_file: Path) -> FeatureNetwork:
    network = FeatureNetwork("vgg19", vgg19_file)
    network.load()
    return network


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """Two of different sizes."""
    files = [tmp_path / "photographs" / f"{index}.png" for index in range(2)]
    random = np.random.default_rng(1)
    for file, (height, width) in zip(files, ((40, 56), (48, 36)), strict=True):
        write_png(file, random.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return files
