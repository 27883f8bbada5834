from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sr_experiments.data.evaluation import EvaluationImages
from sr_experiments.data.images import read_image, write_png
from sr_experiments.data.photos import Photo
from sr_experiments.errors import UserError

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_cut_to_the_scale_at_bottom_and_right(tmp_path: Path, scale: int) -> None:
    pixels = RANDOM.integers(0, 256, (23, 34, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", pixels)
    item = EvaluationImages([Photo("a", tmp_path / "a.png")], scale)[0]
    cut = pixels[: 23 // scale * scale, : 34 // scale * scale]
    np.testing.assert_array_equal(item["hr"].permute(1, 2, 0), cut)
    assert item["hr"].dtype == torch.uint8
    assert item["hr"].is_contiguous()
    assert (item["gray"], item["name"], item["index"], item["key"]) == (False, "a", 0, 0)
    assert "lr" not in item


def test_gray_file_is_marked_and_has_three_channels(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 256, (8, 12, 1), dtype=np.uint8)
    write_png(tmp_path / "a.png", pixels)
    [batch] = DataLoader(EvaluationImages([Photo("a", tmp_path / "a.png")], 4))
    assert batch["hr"].shape == (1, 3, 8, 12)
    for channel in batch["hr"][0]:
        np.testing.assert_array_equal(channel, pixels[..., 0])
    assert batch["gray"].tolist() == [True]
    assert batch["name"] == ["a"]


def test_an_image_has_the_key_of_its_place_whatever_the_seed(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", RANDOM.integers(0, 256, (8, 12, 3), dtype=np.uint8))
    photos = [Photo(name, tmp_path / "a.png") for name in "abc"]
    for seed in (0, 7):
        images = EvaluationImages(photos, 4, seed=seed)
        assert [images[index]["key"] for index in range(3)] == [0, 1, 2]


def test_stored_lr_comes_along(tmp_path: Path) -> None:
    write_png(tmp_path / "hr.png", RANDOM.integers(0, 256, (23, 34, 3), dtype=np.uint8))
    write_png(tmp_path / "lr.png", RANDOM.integers(0, 256, (5, 8, 3), dtype=np.uint8))
    photo = Photo("a", tmp_path / "hr.png", tmp_path / "lr.png")
    item = EvaluationImages([photo], 4)[0]
    assert item["hr"].shape == (3, 20, 32)
    np.testing.assert_array_equal(item["lr"].permute(1, 2, 0), read_image(tmp_path / "lr.png"))
    with pytest.raises(UserError, match=r"hr\.png is 34x22 pixels .*lr\.png is 8x5.* scale 2"):
        EvaluationImages([photo], 2)[0]


def test_image_smaller_than_the_scale(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((3, 9, 3), np.uint8))
    with pytest.raises(UserError, match=r"a\.png is 9x3 pixels, too small for x4"):
        EvaluationImages([Photo("a", tmp_path / "a.png")], 4)[0]
