"""Cached matches: what they must not change, and when they must not be used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sr_experiments.degradations import Bicubic
from sr_experiments.errors import UserError
from sr_experiments.losses import FeatureNetwork
from sr_experiments.matching import Match, Matching


@pytest.fixture
def lr(photograph: Tensor) -> Tensor:
    return Bicubic(4)(photograph[None, :, :96, :80])


@pytest.fixture
def refs(photograph: Tensor) -> list[Tensor]:
    return [photograph[:, 200:280, 300:400], photograph[:, 50:90, 60:120]]


def same(one: Match, other: Match) -> bool:
    maps = zip(one.maps().values(), other.maps().values(), strict=True)
    return torch.equal(one.similarity, other.similarity) and all(torch.equal(a, b) for a, b in maps)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.fixture
def passes(network: FeatureNetwork) -> Iterator[list[tuple[int, ...]]]:
    """Sizes of the images that go through VGG from now on."""
    seen: list[tuple[int, ...]] = []
    handle = network.register_forward_pre_hook(lambda _module, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    yield seen
    handle.remove()


@pytest.mark.parametrize("self_reference", ["shared", "per_layer"])
@pytest.mark.parametrize("count", [2, 0])
def test_a_hit_gives_the_same_and_skips_the_matching(
    network: FeatureNetwork,
    lr: Tensor,
    refs: list[Tensor],
    tmp_path: Path,
    passes: list[tuple[int, ...]],
    self_reference: str,
    count: int,
) -> None:
    plain = Matching(network, Bicubic(4), 4, self_reference=self_reference)  # type: ignore[arg-type]
    expected = plain.find(lr, refs[:count])
    caching = Matching(network, Bicubic(4), 4, self_reference=self_reference, cache_dir=tmp_path / "m")  # type: ignore[arg-type]
    assert same(caching.find(lr, refs[:count]), expected)
    (file,) = files(tmp_path / "m")
    if count:
        assert file.stat().st_size < 5000  # 22 x 18 patches, 8 bytes each, and the header
    stamp = file.stat().st_mtime_ns
    passes.clear()
    hit = caching.find(lr, refs[:count])
    assert passes == []  # not one pass before maps are asked for
    assert same(hit, expected)
    sizes = [(80, 100), (40, 60)] if count else [(24, 20)]
    assert passes[: len(sizes)] == sizes  # then those of the sharp references, once
    assert file.stat().st_mtime_ns == stamp
    again = Matching(network, Bicubic(4), 4, self_reference=self_reference, cache_dir=tmp_path / "m")  # type: ignore[arg-type]
    assert same(again.find(lr, refs[:count]), expected)
    assert files(tmp_path / "m") == [file]


def test_everything_that_decides_a_match_decides_its_file(
    network: FeatureNetwork, lr: Tensor, refs: list[Tensor], tmp_path: Path
) -> None:
    folder = tmp_path / "m"

    def matching(scale: int = 4, degradation: torch.nn.Module | None = None, **options: str) -> Matching:
        return Matching(network, degradation or Bicubic(scale), scale, cache_dir=folder, **options)  # type: ignore[arg-type]

    runs: list[Callable[[], object]] = [
        lambda: matching().find(lr, refs),
        lambda: matching().find(lr.flip(-1), refs),
        lambda: matching().find(lr, refs[::-1]),
        lambda: matching().find(lr, refs[:1]),
        lambda: matching(2).find(lr, refs),
        lambda: matching(degradation=Bicubic(4, antialias=False)).find(lr, refs),
        lambda: matching().find(lr, []),
        lambda: matching(self_reference="per_layer").find(lr, []),
        lambda: Matching(FeatureNetwork("vgg13", "random"), Bicubic(4), 4, cache_dir=folder).find(lr, refs),
    ]
    for number, run in enumerate(runs, start=1):
        run()
        assert len(files(folder)) == number
    for run in runs[:4]:
        run()
    matching().find(lr, matching().references(refs))
    matching(chunk=1).find(lr, refs)  # type: ignore[arg-type]
    assert len(files(folder)) == len(runs)


def test_weights_not_their_file_name_a_match(
    lr: Tensor, refs: list[Tensor], tmp_path: Path, network: FeatureNetwork
) -> None:
    state = network.network.state_dict()
    for name in ("one", "two"):
        save_file(state, tmp_path / f"{name}.safetensors")
    save_file({**state, "features.0.bias": state["features.0.bias"] + 0.1}, tmp_path / "other.safetensors")
    counts = []
    for name in ("one", "two", "other"):
        from_file = FeatureNetwork("vgg11", tmp_path / f"{name}.safetensors")
        Matching(from_file, Bicubic(4), 4, cache_dir=tmp_path / "m").find(lr, refs)
        counts.append(len(files(tmp_path / "m")))
    assert counts == [1, 1, 2]


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:500])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def of_another_size(file: Path) -> None:
    save_file({name: value[1:].contiguous() for name, value in load_file(file).items()}, file)


def of_another_type(file: Path) -> None:
    save_file({name: value.double() for name, value in load_file(file).items()}, file)


def of_patches_that_do_not_exist(file: Path) -> None:
    save_file({name: value + 10_000 for name, value in load_file(file).items()}, file)


def without_a_part(file: Path) -> None:
    save_file({"relu3_1.index": load_file(file)["relu3_1.index"]}, file)


@pytest.mark.parametrize(
    "damage", [cut_off, empty, of_another_size, of_another_type, of_patches_that_do_not_exist, without_a_part]
)
def test_a_damaged_file_is_matched_and_written_anew(
    network: FeatureNetwork, lr: Tensor, refs: list[Tensor], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    matching = Matching(network, Bicubic(4), 4, cache_dir=tmp_path / "m")
    expected = matching.find(lr, refs)
    (file,) = files(tmp_path / "m")
    whole = file.read_bytes()
    damage(file)
    assert file.read_bytes() != whole
    assert same(matching.find(lr, refs), expected)
    assert files(tmp_path / "m") == [file]
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_named(
    network: FeatureNetwork, lr: Tensor, refs: list[Tensor], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    matching = Matching(network, Bicubic(4), 4, cache_dir=tmp_path / "file")
    with pytest.raises(UserError, match=rf"{os.sep}file.*matching\.cache_dir"):
        matching.find(lr, refs)
