"""Filters of mean activation 1, which leave what the network computes unchanged up to their factors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sr_experiments.data.images import write_png
from sr_experiments.errors import UserError
from sr_experiments.features.mean_one import rescale_to_mean_one
from sr_experiments.losses import FeatureNetwork

LAYERS = ["relu1_1", "relu1_2", "relu2_1", "relu3_1"]


class SmallVGG(nn.Module):
    """Enough of a VGG to be rescaled; the first filter of the second convolution never fires."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 5, 3, padding=1),
            nn.ReLU(),
        )
        # Away from 0, so that every other filter fires.
        for layer in (self.features[0], self.features[2], self.features[5]):
            nn.init.uniform_(layer.weight, -0.05, 0.05)
            nn.init.uniform_(layer.bias, 0.5, 1.0)
        self.features[2].bias.data[0] = -1000.0


def images(files: list[Path]) -> list[torch.Tensor]:
    from sr_experiments.data.images import read_image

    return [torch.from_numpy(read_image(file)).permute(2, 0, 1)[None].float() / 255 for file in files]


def means_after_relu(network: nn.Module, files: list[Path]) -> list[torch.Tensor]:
    """Mean of every filter over all positions of all photographs, layer by layer."""
    found = []
    with torch.no_grad():
        for depth, layer in enumerate(network.features):
            if isinstance(layer, nn.ReLU):
                maps = [network.features[: depth + 1](image - 0.5)[0].flatten(1) for image in images(files)]
                found.append(torch.cat(maps, dim=1).mean(dim=1))
    return found


def rescaled(network: nn.Module, photographs: list[Path] | Path, cache: Path) -> nn.Module:
    rescale_to_mean_one(network.requires_grad_(False), torch.full((1, 3, 1, 1), 0.5), torch.ones(1), photographs, cache)
    return network


def test_every_filter_that_fires_has_mean_one(photographs: list[Path], tmp_path: Path) -> None:
    before = means_after_relu(SmallVGG(), photographs)
    after = means_after_relu(rescaled(SmallVGG(), photographs, tmp_path), photographs)
    assert float(before[1][0]) == 0
    for old, new in zip(before, after, strict=True):
        assert float(old[old > 0].min()) > 0.1 * float(old.mean())
        torch.testing.assert_close(new, (old > 0).float())


def test_features_change_by_a_factor_a_channel_only(photographs: list[Path], tmp_path: Path) -> None:
    plain, changed = SmallVGG(), rescaled(SmallVGG(), photographs, tmp_path)
    means = means_after_relu(plain, photographs)
    image = torch.rand(1, 3, 12, 12) - 0.5
    torch.testing.assert_close(changed.features(image), plain.features(image) / means[-1].view(1, -1, 1, 1))


def test_a_filter_that_hardly_fires_is_not_blown_up(photographs: list[Path], tmp_path: Path) -> None:
    network = SmallVGG()
    network.features[0].weight.data[1] *= 1e-6
    network.features[0].bias.data[1] = 1e-6
    (old, *_), (new, *_) = (
        means_after_relu(network, photographs),
        means_after_relu(rescaled(network, photographs, tmp_path), photographs),
    )
    assert float(old[1]) < 1e-5
    torch.testing.assert_close(float(new[1]), float(old[1] / (0.1 * old.mean())), rtol=1e-4, atol=0)


def test_means_are_kept_and_told_apart_by_content(photographs: list[Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def kept() -> list[Path]:
        return sorted(cache.rglob("*.safetensors"))

    first = rescaled(SmallVGG(), photographs, cache)
    (file,) = kept()
    written = file.stat().st_mtime_ns
    second = rescaled(SmallVGG(), photographs[0].parent, cache)  # the same files, named by their folder
    assert kept() == [file]
    assert file.stat().st_mtime_ns == written
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    rescaled(SmallVGG(), photographs[:1], cache)
    assert len(kept()) == 2


def test_the_feature_network_does_it(vgg19_file: Path, photographs: list[Path], tmp_path: Path) -> None:
    network = FeatureNetwork("vgg19", vgg19_file, "mean_one", photographs, tmp_path)
    maps = [network(image, LAYERS) for image in images(photographs)]
    plain = [FeatureNetwork("vgg19", vgg19_file)(image, LAYERS) for image in images(photographs)]
    for layer in LAYERS:
        mean = torch.cat([features[layer][0].flatten(1) for features in maps], dim=1).mean(dim=1)
        old = torch.cat([features[layer][0].flatten(1) for features in plain], dim=1).mean(dim=1)
        # Random filters may hardly fire; those that do have a mean of 1.
        fires = old > 0.1 * old.mean()
        assert int(fires.sum()) > len(old) // 2
        torch.testing.assert_close(mean[fires], torch.ones(int(fires.sum())), rtol=1e-3, atol=1e-3)
        assert float(mean.max()) < 1.001


def test_what_cannot_be_normalised_is_refused(tmp_path: Path, vgg19_file: Path) -> None:
    with pytest.raises(UserError, match="VGG networks without batch normalisation"):
        FeatureNetwork("resnet18", "random", "mean_one", cache_dir=tmp_path).load()
    write_png(tmp_path / "small.png", np.zeros((64, 31, 3), dtype=np.uint8))
    with pytest.raises(UserError, match=r"small\.png is too small .* 32 pixels"):
        FeatureNetwork("vgg19", vgg19_file, "mean_one", [tmp_path / "small.png"], tmp_path).load()
    with pytest.raises(UserError, match="no photograph"):
        rescaled(SmallVGG(), [tmp_path / "nowhere.png"], tmp_path)
