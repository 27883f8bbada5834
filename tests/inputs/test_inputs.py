"""What networks take beside LR: out of a batch, for a window of a picture, and as a stand-in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.app.compose import compose_config
from sr_experiments.data.images import write_png
from sr_experiments.data.photos import Photo
from sr_experiments.degradations import Bicubic, BlurNoise
from sr_experiments.errors import UserError
from sr_experiments.inputs import Input, inputs_of, side_inputs, stand_ins
from sr_experiments.inputs.condition import Condition, ConditionFile
from sr_experiments.inputs.noise import Noise, NoiseField
from sr_experiments.inputs.textures import CELL, Textures
from sr_experiments.matching import CELL as MATCHING_CELL
from sr_experiments.models.traits import traits

THIN = {
    "srmd": ["model.features=4", "model.layers=2", "model.maps=5"],
    "sft_gan": ["model.features=4", "model.blocks=1", "model.classes=2"],
    "srntt": ["model.features=4", "model.content_blocks=1", "model.blocks=[1,1,1]"],
    "small": ["model.features=4", "model.blocks=1", "model.noise=2"],
    "vdsr": ["model.features=4", "model.layers=2"],
}
KEYS = torch.tensor([5, -3, 7])


def made(name: str, *overrides: str) -> nn.Module:
    return instantiate(compose_config("train", [f"model={name}", *THIN[name], *overrides]).model).eval()


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("name", THIN)
def test_stand_ins_are_zeros_that_the_network_takes(name: str, scale: int) -> None:
    network, lr = made(name, f"scale={scale}"), torch.rand(2, 3, 6, 8)
    given = stand_ins(network, lr)
    assert not any(value.any() for value in given.values() if isinstance(value, Tensor))
    assert network(lr, **given).shape == (2, 3, 6 * scale, 8 * scale)
    assert all(value.dtype == torch.float64 for value in stand_ins(network, lr.double()).get("maps", {}).values())


def test_a_batch_gives_what_its_network_takes() -> None:
    batch: dict[str, Any] = {name: torch.rand(3, 2) for name in ("condition", "degradation_map", "similarity", "lr")}
    batch["maps"] = {"relu1_1": torch.rand(3, 2)}
    assert side_inputs(made("vdsr"), batch) == {}
    assert side_inputs(made("vdsr"), {**batch, "scale": 3}) == {"scale": 3}
    for name, names in (
        ("srmd", ["degradation_map"]),
        ("sft_gan", ["condition"]),
        ("srntt", ["maps", "similarity"]),
    ):
        given = side_inputs(made(name), batch)
        assert given == {each: batch[each] for each in names}


def test_inputs_are_found_by_name_and_may_be_brought_along() -> None:
    class Brightness(Input):
        name = "brightness"

        def of_batch(self, said: Any, batch: Any) -> dict[str, Tensor]:
            return {"brightness": batch["lr"].mean((1, 2, 3))}

    class Bright(nn.Module):
        inputs = ("noise", Brightness())

        def __init__(self) -> None:
            super().__init__()
            self.input_channels = {"noise": 1}

        def forward(self, lr: Tensor, noise: Tensor, brightness: Tensor) -> Tensor:
            return lr + noise * brightness[:, None, None, None]

    noise, brightness = inputs_of(Bright())
    assert isinstance(noise, Noise)
    assert isinstance(brightness, Brightness)
    assert traits(Bright()).inputs == ("noise", "brightness")
    lr = torch.rand(3, 3, 4, 5)
    given = side_inputs(Bright(), {"lr": lr, "key": KEYS})
    assert Bright()(lr, **given).shape == lr.shape
    with pytest.raises(UserError, match="takes an input 'brightness' beside LR, which was not given with the picture"):
        brightness.of_picture(traits(Bright()), (4, 5))

    class Asking(nn.Module):
        inputs = ("sonar",)

        def forward(self, lr: Tensor) -> Tensor:
            return lr

    with pytest.raises(UserError, match=r"Asking takes an input 'sonar', which is not in sr_experiments.inputs.sonar"):
        inputs_of(Asking())


# noise


def test_noise_belongs_to_the_sample() -> None:
    network, lr = made("small"), torch.rand(3, 3, 6, 5)
    noise = side_inputs(network, {"lr": lr, "key": KEYS})["noise"]
    assert noise.shape == (3, 2, 6, 5)
    assert noise.dtype == torch.float32
    alone = side_inputs(network, {"lr": lr[1:2], "key": KEYS[1:2]})["noise"]
    assert torch.equal(alone, noise[1:2])
    again = side_inputs(network, {"lr": torch.zeros_like(lr), "key": KEYS})["noise"]
    assert torch.equal(again, noise)
    values = side_inputs(network, {"lr": torch.rand(3, 3, 80, 80), "key": KEYS})["noise"]
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    assert abs(torch.corrcoef(values.flatten(1)) - torch.eye(3)).max() < 0.03


def test_another_noise_makes_another_image() -> None:
    network, lr = made("small"), torch.rand(1, 3, 6, 5).expand(3, -1, -1, -1)
    with torch.no_grad():
        images = network(lr, **side_inputs(network, {"lr": lr, "key": KEYS}))
        silent = made("small", "model.noise=0")
    assert not torch.allclose(images[0], images[1])
    assert side_inputs(silent, {"lr": lr, "key": KEYS}) == {}


def test_a_window_of_noise_is_a_part_of_the_whole() -> None:
    network = made("small")
    field = Noise().of_picture(traits(network), (30, 20))
    whole = Noise().window(field, 0, 0, 30, 20, 4)["noise"]
    assert torch.equal(Noise().window(field, 7, 3, 9, 17, 4)["noise"], whole[..., 7:16, 3:20])
    assert torch.equal(Noise().window(whole, 7, 3, 9, 17, 4)["noise"], whole[..., 7:16, 3:20])
    # As the first image of a set has it.
    batch = {"lr": torch.rand(1, 3, 30, 20), "key": torch.tensor([0])}
    assert torch.equal(side_inputs(network, batch)["noise"], whole)
    assert not torch.equal(NoiseField((2, 30, 20), key=1).draw(slice(30), slice(20)), whole)


# windows of the others


def test_a_window_of_a_condition(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (24, 40), np.uint8)
    write_png(tmp_path / "a.png", labels)
    whole = F.one_hot(torch.from_numpy(labels).long(), 3).permute(2, 0, 1)[None].float()
    file = ConditionFile(tmp_path / "a.png", 3, (24, 40))
    for value in (whole, file):
        part = Condition().window(value, 2, 3, 4, 5, 4)["condition"]
        assert torch.equal(part, whole[..., 8:24, 12:32])
    with pytest.raises(UserError, match="covers 40x24 pixels with 1 channels; what is made is 40x25"):
        ConditionFile(tmp_path / "a.png", 3, (25, 40))


def test_one_row_for_all_places_is_the_same_in_every_window() -> None:
    (each,) = inputs_of(made("srmd"))
    row = torch.rand(1, 5)
    assert torch.equal(each.window(row, 2, 3, 4, 5, 4)["degradation_map"], row)
    everywhere = torch.rand(1, 5, 9, 9)
    assert torch.equal(each.window(everywhere, 2, 3, 4, 5, 4)["degradation_map"], everywhere[..., 2:6, 3:8])


@pytest.mark.parametrize(
    ("scale", "pixels", "cells"),
    [(4, (3, 9), (3, 9)), (8, (3, 9), (6, 18)), (2, (4, 10), (2, 5)), (2, (4, 11), (2, 6)), (2, (0, 1), (0, 1))],
)
def test_windows_of_textures_in_cells(scale: int, pixels: tuple[int, int], cells: tuple[int, int]) -> None:
    class Asked:
        similarity = torch.arange(400.0).view(1, 1, 20, 20)

        def maps(self, rows: slice, columns: slice) -> dict[str, Any]:
            return {"asked": (rows, columns)}

    match: Any = Asked()
    start, length = pixels[0], pixels[1] - pixels[0]
    window = Textures().window(match, start, start, length, length, scale)
    assert window["maps"]["asked"] == (slice(*cells), slice(*cells))
    assert torch.equal(window["similarity"], Asked.similarity[..., slice(*cells), slice(*cells)])
    assert [Textures().step(each) for each in (2, 4, 8)] == [2, 1, 1]
    assert MATCHING_CELL == CELL


# whether it can be had


def test_what_cannot_be_had_is_found_out_before() -> None:
    photos = {"data.train": [Photo("a", Path("a.png"), lr=Path("b.png"))]}
    (told,), said = inputs_of(made("srmd")), traits(made("srmd"))
    told.check(said, BlurNoise(4), {"Set5": [Photo("a", Path("a.png"))]})
    with pytest.raises(UserError, match="which the degradation Bicubic does not give"):
        told.check(said, Bicubic(4), {})
    with pytest.raises(UserError, match=r"of the stored LR images of a in data.train nobody knows"):
        told.check(said, BlurNoise(4), photos)
    (condition,), said = inputs_of(made("sft_gan")), traits(made("sft_gan"))
    with pytest.raises(UserError, match=r"none belongs to a of data.train: give data.train.condition"):
        condition.check(said, Bicubic(4), photos)
    condition.check(said, Bicubic(4), {"Set5": [Photo("a", Path("a.png"), condition=Path("c.png"))]})
