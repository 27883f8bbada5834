"""Weights under their authors' names: they come in whole, in the right order, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.models.conversion import from_tensorflow
from sr_experiments.models.enhancenet import EnhanceNet
from sr_experiments.models.msrresnet import MSRResNet
from sr_experiments.models.rrdb import RRDBNet
from sr_experiments.models.small import SmallResNet
from sr_experiments.models.srresnet import SRResNet
from sr_experiments.models.weights import load_weights, network_state, read_checkpoint
from sr_experiments.upsamplers import ResizeConv, SubPixel

Weights = dict[str, Tensor]


def enhancenet() -> EnhanceNet:
    return EnhanceNet(4, ResizeConv, features=4, blocks=2, skip="tensorflow")


def rrdb(blocks: int = 2) -> RRDBNet:
    return RRDBNet(4, ResizeConv, features=4, blocks=blocks, growth=3)


def msrresnet() -> MSRResNet:
    return MSRResNet(4, SubPixel, features=4, blocks=2)


def srresnet() -> SRResNet:
    return SRResNet(4, SubPixel, features=4, blocks=2)


def copy_of(state: Weights, pairs: dict[str, str]) -> Weights:
    """The state with layer names replaced."""
    layers = {name.rpartition(".")[0] for name in state}
    assert layers == set(pairs)
    return {f"{pairs[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value for name, value in state.items()}


# The layouts written out: ours on the left, the published one on the right.

ENHANCENET = {
    "head.0": "generator|Conv",
    "body.0.body.0": "generator|Conv_1",
    "body.0.body.2": "generator|Conv_2",
    "body.1.body.0": "generator|Conv_3",
    "body.1.body.2": "generator|Conv_4",
    "upsample.layers.1": "generator|Conv_5",
    "upsample.layers.4": "generator|Conv_6",
    "tail.0": "generator|Conv_7",
    "tail.2": "generator|Conv_8",
}
DENSE = [(n, r, c) for n in range(2) for r in range(3) for c in range(5)]
BASICSR_RRDB = {
    "head": "conv_first",
    **{f"body.{n}.body.{r}.convs.{c}": f"body.{n}.rdb{r + 1}.conv{c + 1}" for n, r, c in DENSE},
    "body.2": "conv_body",
    "upsample.layers.1": "conv_up1",
    "upsample.layers.4": "conv_up2",
    "tail.0": "conv_hr",
    "tail.2": "conv_last",
}
AUTHORS_RRDB = {
    "head": "conv_first",
    **{f"body.{n}.body.{r}.convs.{c}": f"RRDB_trunk.{n}.RDB{r + 1}.conv{c + 1}" for n, r, c in DENSE},
    "body.2": "trunk_conv",
    "upsample.layers.1": "upconv1",
    "upsample.layers.4": "upconv2",
    "tail.0": "HRconv",
    "tail.2": "conv_last",
}
FIRST_RRDB = {
    "head": "model.0",
    **{f"body.{n}.body.{r}.convs.{c}": f"model.1.sub.{n}.RDB{r + 1}.conv{c + 1}.0" for n, r, c in DENSE},
    "body.2": "model.1.sub.2",
    "upsample.layers.1": "model.3",
    "upsample.layers.4": "model.6",
    "tail.0": "model.8",
    "tail.2": "model.10",
}
MSRRESNET = {
    "head.0": "conv_first",
    "body.0.body.0": "body.0.conv1",
    "body.0.body.2": "body.0.conv2",
    "body.1.body.0": "body.1.conv1",
    "body.1.body.2": "body.1.conv2",
    "upsample.layers.0": "upconv1",
    "upsample.layers.3": "upconv2",
    "tail.0": "conv_hr",
    "tail.2": "conv_last",
}
SRRESNET = {
    "head.0": "conv1.0",
    "head.1": "conv1.1",
    **{f"body.{n}.body.{k}": f"trunk.{n}.rcb.{k}" for n in range(2) for k in range(5)},
    "body.2": "conv2.0",
    "body.3": "conv2.1",
    "upsample.layers.0": "upsampling.0.upsample_block.0",
    "upsample.layers.2": "upsampling.0.upsample_block.2",
    "upsample.layers.3": "upsampling.1.upsample_block.0",
    "upsample.layers.5": "upsampling.1.upsample_block.2",
    "tail": "conv3",
}
PYTORCH = [
    (rrdb, BASICSR_RRDB),
    (rrdb, AUTHORS_RRDB),
    (rrdb, FIRST_RRDB),
    (msrresnet, MSRRESNET),
    (srresnet, SRRESNET),
]


def tensorflow_arrays(network: EnhanceNet) -> dict[str, np.ndarray]:
    """The weights of `network` as the published file names and turns them."""
    arrays = {}
    for name, value in copy_of(network.state_dict(), ENHANCENET).items():
        layer, _, kind = name.rpartition(".")
        suffix = {"weight": "weights", "bias": "biases"}[kind]
        arrays[f"{layer}|{suffix}"] = value.numpy().transpose(2, 3, 1, 0) if value.ndim == 4 else value.numpy()
    return arrays


def same(network: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in network.state_dict().items())


# whole files


@pytest.mark.parametrize(("make", "names"), PYTORCH)
def test_published_names_are_understood(make: Callable[[], nn.Module], names: dict[str, str]) -> None:
    source, target = make(), make()
    load_weights(target, copy_of(source.state_dict(), names), "weights.pth")
    assert same(target, source)


@pytest.mark.parametrize("wrapper", ["params", "params_ema"])
def test_published_file_is_read(tmp_path: Path, wrapper: str) -> None:
    source, target = rrdb(), rrdb()
    torch.save({wrapper: copy_of(source.state_dict(), BASICSR_RRDB)}, tmp_path / "rrdb.pth")
    load_weights(target, network_state(read_checkpoint(tmp_path / "rrdb.pth")), "rrdb.pth")
    assert same(target, source)


def test_tensorflow_file_is_read(tmp_path: Path) -> None:
    source, target = enhancenet(), enhancenet()
    np.savez(tmp_path / "enet.npz", **tensorflow_arrays(source))
    load_weights(target, network_state(read_checkpoint(tmp_path / "enet.npz")), "enet.npz")
    assert same(target, source)


def test_tensorflow_layout_by_hand() -> None:
    weights = torch.arange(24.0).view(1, 2, 3, 4)  # kernel 1x2, 3 channels in, 4 out
    converted = from_tensorflow({"a/b/weights": weights, "a|b|biases": torch.ones(4), "step": torch.ones(1)})
    assert set(converted) == {"a/b.weight", "a/b.bias", "step"}
    assert converted["a/b.weight"].shape == (4, 3, 1, 2)
    assert converted["a/b.weight"][3, 2, 0, 1] == weights[0, 1, 2, 3]


def test_srresnet_without_biases_in_front_of_batch_norm() -> None:
    source, target = srresnet(), srresnet()
    convs = ("conv2.0", *(f"trunk.{n}.rcb.{k}" for n in range(2) for k in (0, 3)))
    published = copy_of(source.state_dict(), SRRESNET)
    without = {name: value for name, value in published.items() if name not in {f"{c}.bias" for c in convs}}
    assert len(published) - len(without) == 5
    load_weights(target, without, "srresnet.pth")
    assert not target.body[0].body[0].bias.any()
    assert torch.equal(target.body[1].body[3].weight, source.body[1].body[3].weight)


@pytest.mark.parametrize("make", [enhancenet, rrdb, msrresnet, srresnet])
def test_our_own_names_still_load(make: Callable[[], nn.Module]) -> None:
    source, target = make(), make()
    load_weights(target, source.state_dict(), "last.ckpt")
    assert same(target, source)


# files that fit in part


@pytest.mark.parametrize(("make", "names"), PYTORCH)
def test_partial_file_is_refused_with_names(make: Callable[[], nn.Module], names: dict[str, str]) -> None:
    ours, theirs = list(names.items())[1]
    network = make()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = copy_of(make().state_dict(), names)
    del state[f"{theirs}.weight"]
    state["classifier.weight"] = torch.zeros(1)
    with pytest.raises(UserError) as error:
        load_weights(network, state, "some.pth")
    assert f"missing {ours}.weight" in str(error.value)
    assert "left over classifier.weight" in str(error.value)
    assert str(error.value).startswith("some.pth does not fit")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_partial_tensorflow_file_is_refused_with_names() -> None:
    state = {name: torch.from_numpy(array.copy()) for name, array in tensorflow_arrays(enhancenet()).items()}
    state["generator|Conv_9|biases"] = state.pop("generator|Conv_6|biases")
    with pytest.raises(UserError, match=r"missing upsample\.layers\.4\.bias; left over generator/Conv_9\.bias"):
        load_weights(enhancenet(), state, "enet.npz")


def test_file_of_a_deeper_network_is_refused() -> None:
    with pytest.raises(UserError, match=r"left over body\.1\.rdb1\.conv1\.weight.* and 26 more"):
        load_weights(rrdb(blocks=1), copy_of(rrdb().state_dict(), BASICSR_RRDB), "deep.pth")


def test_file_of_another_upsampler_is_refused() -> None:
    network = MSRResNet(4, ResizeConv, features=4, blocks=2)
    with pytest.raises(UserError, match=r"upsample\.layers\.1\.weight is \(16, 4, 3, 3\) instead of \(4, 4, 3, 3\)"):
        load_weights(network, copy_of(msrresnet().state_dict(), MSRRESNET), "msrresnet.pth")


def test_network_without_published_weights_says_the_same_as_before() -> None:
    network = SmallResNet(4, SubPixel, features=4, blocks=1)
    with pytest.raises(UserError, match=r"missing head\.weight.*; left over conv_first\.weight\.$"):
        load_weights(network, {"conv_first.weight": torch.zeros(1)}, "small.pth")


def test_tensorflow_weights_ask_for_their_skip() -> None:
    state = {name: torch.from_numpy(array.copy()) for name, array in tensorflow_arrays(enhancenet()).items()}
    network = EnhanceNet(4, ResizeConv, features=4, blocks=2)
    with pytest.raises(UserError, match=r"model\.skip=tensorflow"):
        load_weights(network, state, "enet.npz")


# archives that are none


class Trap:
    """Pickled, it would make a file where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_pickled_objects_in_an_archive_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "trap.npz", weights=np.array([Trap(tmp_path / "sprung")], dtype=object))
    with pytest.raises(UserError, match=r"trap\.npz"):
        read_checkpoint(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off", b"\x80\x04K\x01."])
def test_broken_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.npz is not an archive"):
        read_checkpoint(tmp_path / "broken.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archive_cut_off_anywhere_is_refused(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "whole.npz", weights=np.arange(20.0))
    whole = (tmp_path / "whole.npz").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.npz is not an archive"):
            read_checkpoint(tmp_path / "cut.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archive_with_a_changed_byte_is_read_or_refused(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "whole.npz", weights=np.arange(20.0))
    whole = bytearray((tmp_path / "whole.npz").read_bytes())
    answers = []
    for position in range(0, len(whole), 3):
        changed = whole.copy()
        changed[position] ^= 0xFF
        (tmp_path / "changed.npz").write_bytes(changed)
        try:
            answers.append(len(read_checkpoint(tmp_path / "changed.npz")))
        except UserError:
            answers.append(None)
    assert None in answers


def test_archive_of_words_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "words.npz", weights=np.array(["a", "b"]))
    with pytest.raises(UserError, match=r"words\.npz is not an archive of numeric arrays"):
        read_checkpoint(tmp_path / "words.npz")
