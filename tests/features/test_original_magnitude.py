"""Layers brought to the magnitude of the original VGG19, by one factor each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sr_experiments.data import training_photographs
from sr_experiments.errors import UserError
from sr_experiments.features.original_magnitude import ORIGINAL_RMS, rescale_to_rms
from sr_experiments.losses import FeatureNetwork
from tests.features.test_mean_one import SmallVGG, images

WANTED = (45.0, 0.25, 130.0)
LAYERS = ["relu1_1", "relu1_2", "relu2_2", "relu3_1", "relu4_1", "relu5_1", "relu5_4"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def activations(network: nn.Module, files: list[Path]) -> list[list[Tensor]]:
    """Layer -> photograph -> activation after ReLU."""
    ends = [depth + 1 for depth, layer in enumerate(network.features) if isinstance(layer, nn.ReLU)]
    with torch.no_grad():
        return [[network.features[:end](image - 0.5) for image in images(files)] for end in ends]


def rms(maps: list[Tensor]) -> float:
    """Over all photographs, channels and positions."""
    squares = sum(float(x.double().square().sum()) for x in maps)
    return float((squares / sum(x.numel() for x in maps)) ** 0.5)


def rescaled(photographs: list[Path], cache: Path, network: nn.Module | None = None) -> nn.Module:
    network = (SmallVGG() if network is None else network).requires_grad_(False)
    rescale_to_rms(network, torch.full((1, 3, 1, 1), 0.5), torch.ones(1), WANTED, photographs, cache)
    return network


def test_every_layer_has_the_magnitude_by_one_factor(photographs: list[Path], tmp_path: Path) -> None:
    before = activations(SmallVGG(), photographs)
    after = activations(rescaled(photographs, tmp_path), photographs)
    for old, new, wanted in zip(before, after, WANTED, strict=True):
        assert rms(new) == pytest.approx(wanted, rel=1e-5)
        factor = wanted / rms(old)
        for x, y in zip(old, new, strict=True):
            torch.testing.assert_close(y, factor * x, rtol=1e-4, atol=1e-5 * wanted)


def test_a_layer_that_never_fires_stays_as_it_is(photographs: list[Path], tmp_path: Path) -> None:
    network = SmallVGG()
    network.features[2].bias.data.fill_(-1000.0)
    network.features[2].weight.data.zero_()
    after = activations(rescaled(photographs, tmp_path, network), photographs)
    assert [rms(maps) for maps in after] == pytest.approx([45, 0, 130], rel=1e-5)
    assert float(network.features[2].bias[0]) == -1000


def test_what_was_measured_is_kept(photographs: list[Path], tmp_path: Path) -> None:
    first = rescaled(photographs, tmp_path / "cache")
    (file,) = (tmp_path / "cache").rglob("*.safetensors")
    written = file.stat().st_mtime_ns
    second = rescaled(photographs, tmp_path / "cache")
    assert file.stat().st_mtime_ns == written
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def scaled_layers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same network with every layer's activation times a number of its own."""
    factors = [3e-2, 5.0, 0.3, 0.01, 1.7, 20.0, 0.5, 0.08, 2.5, 0.9, 11.0, 0.02, 0.6, 7.0, 0.15, 40.0]
    weights = sorted((name for name in state if name.endswith("weight")), key=lambda name: int(name.split(".")[1]))
    before, scaled = 1.0, dict(state)
    for name, factor in zip(weights, factors, strict=True):
        scaled[name] = state[name].float() * factor / before
        bias = name.replace("weight", "bias")
        scaled[bias] = state[bias].float() * factor
        before = factor
    return scaled


def seen(network: FeatureNetwork) -> dict[str, Tensor]:
    image = images([training_photographs()[0].hr])[0][..., 100:196, 200:296]
    return network(image, LAYERS)


def test_any_training_gets_the_magnitudes_of_the_original(assets: Path, tmp_path: Path) -> None:
    published = assets / "weights" / "vgg19_imagenet_features.safetensors"
    plain = FeatureNetwork("vgg19", published)
    expected = seen(plain)
    # The original itself stays as it is.
    original = FeatureNetwork("vgg19", published, "original", cache_dir=tmp_path)
    for old, new in zip(plain.network.parameters(), original.network.parameters(), strict=True):
        torch.testing.assert_close(new, old, rtol=1e-3, atol=1e-6)
    # With other magnitudes from layer to layer it is brought back.
    save_file(scaled_layers(load_file(published)), tmp_path / "scaled.safetensors")
    scaled = FeatureNetwork("vgg19", tmp_path / "scaled.safetensors")
    assert not torch.allclose(seen(scaled)["relu3_1"], expected["relu3_1"], rtol=0.1)
    found = seen(FeatureNetwork("vgg19", tmp_path / "scaled.safetensors", "original", cache_dir=tmp_path))
    for layer in LAYERS:
        torch.testing.assert_close(found[layer], expected[layer], rtol=1e-3, atol=1e-3 * float(expected[layer].max()))


def test_random_weights_get_them_too(tmp_path: Path) -> None:
    network = FeatureNetwork("vgg19", "random", "original", cache_dir=tmp_path)
    # The first layers tell, and are quick.
    layers = ["relu1_1", "relu1_2", "relu2_1"]
    found: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for image in images([photo.hr for photo in training_photographs()]):
        top, left = (max(0, (side - 384) // 2) for side in image.shape[-2:])
        with torch.no_grad():
            features = network(image[..., top : top + 384, left : left + 384], layers)
        for layer in layers:
            found[layer].append(features[layer])
    assert [rms(found[layer]) for layer in layers] == pytest.approx(ORIGINAL_RMS[:3], rel=1e-3)


def test_other_networks_are_refused(photographs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="defined for VGG19, 16 layers deep; this network has 3"):
        rescale_to_rms(SmallVGG(), torch.zeros(1), torch.ones(1), photographs=photographs, cache_dir=tmp_path)
    with pytest.raises(UserError, match="normalise=original is defined for VGG networks without batch normalisation"):
        rescale_to_rms(nn.Sequential(nn.Conv2d(3, 4, 3)), torch.zeros(1), torch.ones(1), cache_dir=tmp_path)
