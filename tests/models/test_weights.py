"""Weights from files that are whole, damaged, foreign or hostile."""

from __future__ import annotations

import os
import random
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sr_experiments.errors import UserError
from sr_experiments.models.bounded import bounded_building
from sr_experiments.models.edsr import EDSR
from sr_experiments.models.weights import describe_mismatch, load_weights, network_state, read_checkpoint
from sr_experiments.upsamplers import SubPixel


def network(features: int = 4) -> EDSR:
    return EDSR(2, SubPixel, features=features, blocks=1)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


class Hostile:
    """Pickled, it asks the reader to make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.mark}'",)


# reading


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".safetensors"])
def test_weights_come_back_from_a_file(tmp_path: Path, suffix: str) -> None:
    trained, fresh, file = network(), network(), tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(trained.state_dict(), file)
    else:
        torch.save(trained.state_dict(), file)
    assert not same(trained, fresh)
    load_weights(fresh, network_state(read_checkpoint(file)), file)
    assert same(trained, fresh)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no checkpoint .*nowhere\.ckpt"):
        read_checkpoint(tmp_path / "nowhere.ckpt")


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"hello world", b"# notes\n", b"<html></html>", b"{}", b"\x89PNG\r\n\x1a\n" + bytes(99), b"PK\x03\x04" * 9],
)
def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path: Path, content: bytes, suffix: str) -> None:
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"weights.* is not a (checkpoint|safetensors file), or it is cut off"):
        read_checkpoint(file)


def test_a_checkpoint_must_be_a_state_dict(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    with pytest.raises(UserError, match="it holds a list, not a state dict"):
        read_checkpoint(tmp_path / "list.pth")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_every_damage_is_told_apart_from_a_crash(tmp_path: Path, kind: str) -> None:
    file = tmp_path / ("damaged.safetensors" if kind == "safetensors" else "damaged.ckpt")
    content = {"weight": torch.arange(3.0)}
    if kind == "safetensors":
        save_file(content, file)
    else:
        torch.save({"state_dict": content, "step": 3}, file, _use_new_zipfile_serialization=kind == "zip")
    whole, draw, refused = file.read_bytes(), random.Random(0), 0
    damaged = [whole[:length] for length in range(0, len(whole), max(1, len(whole) // 60))]
    for _ in range(300):
        changed = bytearray(whole)
        for _ in range(draw.choice([1, 2, 5])):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        damaged.append(bytes(changed))
    for data in damaged:
        file.write_bytes(data)
        with suppress(UserError):  # and nothing else
            read_checkpoint(file)
            continue  # a changed number can be read
        refused += 1
    assert refused > 100


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_code_is_refused_and_does_not_run(tmp_path: Path, legacy: bool) -> None:
    mark, file = tmp_path / "it_ran", tmp_path / "hostile.ckpt"
    content = {"state_dict": {"network.weight": torch.ones(2)}, "extra": Hostile(mark)}
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match=r"hostile\.ckpt holds pickled Python objects.*is not opened"):
        read_checkpoint(file)
    assert not mark.exists()
    torch.load(file, weights_only=False)
    assert mark.exists()  # it would have


def test_harmless_objects_are_refused_alike(tmp_path: Path) -> None:
    torch.save({"path": tmp_path}, tmp_path / "path.ckpt")
    torch.save(network(), tmp_path / "module.pth")
    for name in ("path.ckpt", "module.pth"):
        with pytest.raises(UserError, match="holds pickled Python objects"):
            read_checkpoint(tmp_path / name)


# finding the network


ONE, TWO = torch.ones(1), torch.full((1,), 2.0)


@pytest.mark.parametrize(
    "checkpoint",
    [
        {"weight": ONE},
        {"weight": ONE, "epoch": 3},
        {"params": {"weight": ONE}},
        {"params": {"weight": TWO}, "params_ema": {"weight": ONE}},
        {"state_dict": {"weight": ONE}},
        {"state_dict": {"network.weight": ONE, "loss.terms.vgg.weight": TWO, "skipped_updates": TWO}},
        {"state_dict": {"network.weight": TWO, "ema.module.weight": ONE, "ema.n_averaged": TWO}},
        {"state_dict": {"network.weight": ONE, "network.note": "text", 3: TWO}, "optimizer_states": [TWO]},
    ],
)
def test_network_state_finds_the_network(checkpoint: dict[str, Any]) -> None:
    assert network_state(checkpoint) == {"weight": ONE}


# fitting


def test_describe_mismatch_names_everything() -> None:
    expected = {"a": torch.ones(2), "b": torch.ones(3, 1), "c": torch.ones(1)}
    assert describe_mismatch(expected, dict(expected)) == ""
    assert describe_mismatch(expected, {"b": torch.ones(3, 1), "c": ONE}) == "missing a"
    assert describe_mismatch(expected, {**expected, "d": ONE}) == "left over d"
    assert describe_mismatch(expected, {**expected, "b": torch.ones(1, 3)}) == "b is (1, 3) instead of (3, 1)"
    assert describe_mismatch(expected, {"b": ONE, "x": ONE}) == (
        "missing a, c; left over x; b is (1,) instead of (3, 1)"
    )


def test_describe_mismatch_names_a_few_of_many() -> None:
    many = {f"layer{number}": ONE for number in range(7)}
    assert describe_mismatch(many, {}) == "missing layer0, layer1, layer2, layer3 and 3 more"


def test_weights_of_another_size_are_refused_and_nothing_is_copied(tmp_path: Path) -> None:
    ours = network(features=4)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with pytest.raises(UserError, match=r"big\.pth does not fit EDSR: .*instead of .*and \d+ more\.$"):
        load_weights(ours, network(features=8).state_dict(), "big.pth")
    partial = network(features=4).state_dict()
    del partial["tail.bias"]
    with pytest.raises(UserError, match=r"half\.pth does not fit EDSR: missing tail\.bias\.$"):
        load_weights(ours, partial, "half.pth")
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_an_archive_that_inflates_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros(50_000_000, np.float32))
    torch.save({"a": torch.zeros(50_000_000)}, tmp_path / "plain.ckpt")
    with (
        zipfile.ZipFile(tmp_path / "plain.ckpt") as plain,
        zipfile.ZipFile(tmp_path / "zeros.ckpt", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for entry in plain.infolist():
            archive.writestr(entry.filename, plain.read(entry))
    for name in ("zeros.npz", "zeros.ckpt"):
        assert (tmp_path / name).stat().st_size < 1_000_000
        with pytest.raises(UserError, match="which no weights do"):
            read_checkpoint(tmp_path / name)
    assert read_checkpoint(tmp_path / "plain.ckpt")["a"].numel() == 50_000_000


def test_building_is_bounded_and_leaves_no_trace() -> None:
    with bounded_building(100, 10_000):
        built = network()
    assert isinstance(built, EDSR)
    with pytest.raises(UserError, match="more than 100 modules"), bounded_building(100, 10_000):
        nn.Sequential(*[nn.Sequential(nn.ReLU()) for _ in range(10**9)])
    with pytest.raises(UserError, match="more than 10000 weights"), bounded_building(100, 10_000):
        nn.Conv2d(3_000, 3_000, 3)
    nn.Sequential(*[nn.ReLU() for _ in range(200)])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    given = {name: tensor.clone() for name, tensor in network().state_dict().items()}
    name = next(iter(given))
    given[name].view(-1)[0] = value
    target = network()
    before = {key: tensor.clone() for key, tensor in target.state_dict().items()}
    with pytest.raises(UserError, match=rf"RUN holds weights that are not finite \({name}\)"):
        load_weights(target, given, "RUN")
    assert all(torch.equal(tensor, before[key]) for key, tensor in target.state_dict().items())


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "weights.ckpt"
    torch.save({"a": torch.rand(10_000)}, file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"weights.ckpt is damaged: its part .* does not have its checksum"):
        read_checkpoint(file)
