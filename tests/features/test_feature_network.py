"""The feature network against torchvision run by hand, and what it must keep away from a training."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.losses import FeatureNetwork

# torchvision's indices into VGG19's features
INDICES = {"conv1_1": 0, "relu1_1": 1, "relu1_2": 3, "pool1": 4, "relu2_2": 8, "pool2": 9, "conv3_1": 10, "relu3_4": 17}
INDICES |= {"pool3": 18, "conv4_1": 19, "relu4_4": 26, "pool4": 27, "conv5_4": 34, "relu5_4": 35, "pool5": 36}


def by_hand(features: nn.Sequential, image: Tensor) -> dict[str, Tensor]:
    """Every tap of torchvision's own network, copied before the in-place ReLU that follows overwrites it."""
    taken: dict[int, Tensor] = {}

    def keep(index: int) -> nn.Module:
        return features[index].register_forward_hook(lambda _m, _i, output: taken.update({index: output.clone()}))

    handles = [keep(index) for index in INDICES.values()]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        features((image - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    for handle in handles:
        handle.remove()
    return {name: taken[index] for name, index in INDICES.items()}


def test_taps_are_those_of_torchvision(vgg19: FeatureNetwork, torchvision_vgg19: nn.Sequential) -> None:
    image = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(1))
    expected = by_hand(torchvision_vgg19, image)
    found = vgg19(image, list(INDICES))
    assert set(found) == set(INDICES)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_taps_before_and_after_relu_differ(vgg19: FeatureNetwork) -> None:
    found = vgg19(torch.rand(1, 3, 32, 32), ["conv5_4", "relu5_4"])
    assert float(found["conv5_4"].min()) < 0
    torch.testing.assert_close(found["relu5_4"], found["conv5_4"].clamp(min=0))


def test_nothing_is_computed_beyond_the_deepest_layer(vgg19: FeatureNetwork) -> None:
    # pool5 would not exist in an image of 4x4 pixels.
    assert vgg19(torch.rand(1, 3, 4, 4), ["relu2_1", "relu1_1"])["relu2_1"].shape == (1, 128, 2, 2)
    ran = []
    handle = vgg19.network.features[7].register_forward_hook(lambda *_: ran.append(7))
    vgg19(torch.rand(1, 3, 8, 8), ["relu2_1"])
    assert not ran
    vgg19(torch.rand(1, 3, 8, 8), ["relu2_2"])
    handle.remove()
    assert ran == [7]


def test_the_training_does_not_see_it(vgg19_file: Path) -> None:
    network = FeatureNetwork("vgg19", vgg19_file)
    network.load()
    holder = nn.ModuleDict({"features": network})
    assert list(holder.parameters()) == []
    assert holder.state_dict() == {}
    holder.train()
    assert not network.network.training
    assert not any(p.requires_grad for p in network.network.parameters())


def test_it_moves_with_the_module_that_holds_it() -> None:
    holder = nn.ModuleDict({"features": FeatureNetwork("squeezenet1_1", "random")})
    image = torch.rand(1, 3, 16, 16)
    before = holder["features"](image, ["features.1"])["features.1"]
    holder.double()
    after = holder["features"](image.double(), ["features.1"])["features.1"]
    assert after.dtype == torch.float64
    torch.testing.assert_close(after.float(), before)
    twin = copy.deepcopy(holder)
    torch.testing.assert_close(twin["features"](image.double(), ["features.1"])["features.1"], after)


def test_gradient_reaches_the_image(vgg19: FeatureNetwork) -> None:
    image = torch.rand(1, 3, 8, 8, requires_grad=True)
    vgg19(image, ["relu2_2"])["relu2_2"].sum().backward()
    assert image.grad is not None
    assert float(image.grad.abs().sum()) > 0


def test_a_residual_network_is_tapped_by_node_names() -> None:
    network = FeatureNetwork("resnet18", "random")
    image = torch.rand(1, 3, 64, 64)
    found = network(image, ["layer1", "layer2.0.conv1"])
    inner = network.network
    with torch.no_grad():
        x = (image - network.mean) / network.std
        layer1 = inner.layer1(inner.maxpool(inner.relu(inner.bn1(inner.conv1(x)))))
        torch.testing.assert_close(found["layer1"], layer1)
        torch.testing.assert_close(found["layer2.0.conv1"], inner.layer2[0].conv1(layer1))


def test_random_weights_are_marked_and_always_the_same() -> None:
    torch.manual_seed(1)
    first = FeatureNetwork("squeezenet1_1", "random")
    state = torch.random.get_rng_state()
    first.load()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    second = FeatureNetwork("squeezenet1_1", "random")
    assert first.is_random
    assert not FeatureNetwork("squeezenet1_1", "imagenet").is_random
    for one, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_files_may_have_a_head_or_lack_the_prefix(vgg19: FeatureNetwork, vgg19_file: Path, tmp_path: Path) -> None:
    state = {name.removeprefix("features."): value.half() for name, value in load_file(vgg19_file).items()}
    save_file(state, tmp_path / "bare.safetensors")
    bare = FeatureNetwork("vgg19", tmp_path / "bare.safetensors").network.state_dict()
    for name, value in vgg19.network.state_dict().items():
        assert bare[name].dtype == torch.float32
        torch.testing.assert_close(bare[name], value, rtol=1e-3, atol=1e-4)
    whole = torchvision.models.squeezenet1_1(weights=None).state_dict()
    torch.save(whole, tmp_path / "whole.pth")
    loaded = FeatureNetwork("squeezenet1_1", tmp_path / "whole.pth").network.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in loaded.items())


def test_weights_that_cannot_be_had_say_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vgg19_file: Path
) -> None:
    with pytest.raises(UserError, match=r"feature_network\.weights=.*nowhere"):
        FeatureNetwork("vgg19", tmp_path / "nowhere.pth").load()
    with pytest.raises(UserError, match="does not fit VGG: missing"):
        FeatureNetwork("vgg16_bn", vgg19_file).load()
    # A file that is cut off needs no network to be found out.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    name = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2]
    (checkpoints / name).write_bytes(b"PK")
    with pytest.raises(UserError, match=r"squeezenet1_1-.*hub/checkpoints, or .*feature_network\.weights=FILE"):
        FeatureNetwork("squeezenet1_1").load()


def test_torchvision_weights_come_from_the_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    torch.save(state, checkpoints / torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2])
    loaded = FeatureNetwork("squeezenet1_1").network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


def test_bad_names_and_sizes_are_refused_with_advice(vgg19: FeatureNetwork) -> None:
    with pytest.raises(UserError, match=r"vgg19 has no layer relu5_5; nearest: .*relu5_4"):
        vgg19.check(["relu5_5"])
    with pytest.raises(UserError, match="nearest: vgg19"):
        FeatureNetwork("vgg-19")
    with pytest.raises(UserError, match="normalise=mean is unknown"):
        FeatureNetwork(normalise="mean")
    with pytest.raises(UserError, match="normalise=original is defined for vgg19, not for vgg16"):
        FeatureNetwork("vgg16", normalise="original")
    with pytest.raises(UserError, match=r"use feature_network\.photographs=null"):
        FeatureNetwork(normalise="original", photographs=["a.png"])
    with pytest.raises(UserError, match=r"16x64 pixels is too small for pool5 of vgg19, which need 32 a side"):
        vgg19(torch.rand(1, 3, 16, 64), ["pool5"])


def test_published_weights_see_a_photograph(assets: Path) -> None:
    from sr_experiments.data import training_photographs
    from sr_experiments.data.images import read_image
    from sr_experiments.losses import Perceptual

    network = FeatureNetwork("vgg19", assets / "weights" / "vgg19_imagenet_features.safetensors")
    pixels = read_image(training_photographs()[0].hr)[100:196, 200:296]
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    features = network(image, ["relu1_1", "relu5_4"])
    # The original VGG works on a scale of 0 to 255, and its weights in torchvision's layout keep that magnitude.
    assert 0.1 < float(features["relu1_1"].mean()) < 100
    assert float((features["relu1_1"] > 0).float().mean()) > 0.2
    assert float(Perceptual({"relu5_4": 1.0})(features, features)) == 0
