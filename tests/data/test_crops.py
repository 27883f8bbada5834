from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_experiments.data.cache import Cache
from sr_experiments.data.crops import TrainingCrops, training_files
from sr_experiments.data.images import write_png
from sr_experiments.data.photos import Photo
from sr_experiments.data.sampler import Draw, StepSampler
from sr_experiments.errors import UserError

SCALE = 4


def coordinates(height: int, width: int) -> np.ndarray:
    """Make an image whose pixels tell their row and column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, rows ^ columns], axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Photo], Cache]:
    """Three pairs whose HR pixels repeat the LR pixel they belong to, with one surplus pixel a side."""
    folder = tmp_path_factory.mktemp("crops")
    photos = []
    for number, (height, width) in enumerate([(12, 20), (15, 9), (8, 8)]):
        lr = coordinates(height, width)
        hr = np.pad(lr.repeat(SCALE, 0).repeat(SCALE, 1), ((0, 1), (0, 1), (0, 0)), constant_values=77)
        photo = Photo(str(number), folder / "hr" / f"{number}.png", folder / "lr" / f"{number}.png")
        write_png(photo.hr, hr)
        write_png(photo.lr, lr)
        photos.append(photo)
    cache = Cache(folder / "cache")
    cache.build(training_files(photos))
    return photos, cache


def alone(photos: list[Photo]) -> list[Photo]:
    return [Photo(photo.name, photo.hr) for photo in photos]


keys = st.integers(0, 2**63 - 1)


@given(st.integers(0, 2), keys, st.booleans())
def test_pairs_show_the_same_view(made: tuple[list[Photo], Cache], index: int, key: int, augment: bool) -> None:
    item = TrainingCrops(*made, SCALE, 24, augment=augment)[Draw(index, key)]
    assert item["hr"].shape == (3, 24, 24)
    assert item["lr"].shape == (3, 6, 6)
    assert item["key"] == key
    assert item["hr"].dtype == item["lr"].dtype == torch.uint8
    assert item["hr"].is_contiguous()
    assert torch.equal(item["lr"].repeat_interleave(SCALE, 1).repeat_interleave(SCALE, 2), item["hr"])


@given(keys)
def test_a_key_decides_everything(made: tuple[list[Photo], Cache], key: int) -> None:
    crops = TrainingCrops(*made, SCALE, 16)
    assert torch.equal(crops[Draw(1, key)]["hr"], crops[Draw(1, key)]["hr"])


def test_offsets_are_uniform_and_reach_every_border(made: tuple[list[Photo], Cache]) -> None:
    photos, cache = made
    crops = TrainingCrops(alone(photos), cache, SCALE, 28, augment=False)  # of a photograph of 33 x 33 pixels
    counts = torch.zeros(6, 6)
    # The photograph repeats LR coordinates; its own are found by comparing.
    whole = torch.from_numpy(np.array(cache.open(photos[2].hr))).permute(2, 0, 1)
    for batch in islice(StepSampler(1, 16, 0), 90):
        for draw in batch:
            crop = crops[Draw(2, draw.key)]["hr"]
            [place] = [
                (top, left)
                for top in range(6)
                for left in range(6)
                if torch.equal(whole[:, top : top + 28, left : left + 28], crop)
            ]
            counts[place] += 1
    expected = counts.sum() / 36
    assert ((counts - expected) ** 2 / expected).sum() < 70  # chi square, 35 degrees of freedom: p < 0.0005


def test_all_eight_orientations_occur(made: tuple[list[Photo], Cache]) -> None:
    photos, cache = made
    crops = TrainingCrops(photos[2:], cache, SCALE, 32)  # the whole photograph, up to its surplus pixel
    upright = TrainingCrops(photos[2:], cache, SCALE, 32, augment=False)[Draw(0, 0)]["hr"]
    wanted = {
        turned.numpy().tobytes()
        for flipped in (upright, upright.flip(2))
        for turned in (flipped.rot90(number, (1, 2)).contiguous() for number in range(4))
    }
    draws = chain.from_iterable(islice(StepSampler(1, 100, 0), 1))
    assert {crops[draw]["hr"].numpy().tobytes() for draw in draws} == wanted
    assert len(wanted) == 8


@pytest.mark.parametrize("with_lr", [True, False])
def test_too_small_a_photograph_is_refused_before_training(made: tuple[list[Photo], Cache], with_lr: bool) -> None:
    photos, cache = made
    size = "36x60" if with_lr else "37x61"
    with pytest.raises(UserError, match=rf"1\.png is {size} pixels, smaller than a crop of 40x40"):
        TrainingCrops(photos if with_lr else alone(photos), cache, SCALE, 40)


@settings(max_examples=20)
@given(keys, st.sampled_from([40, 80, 128]))
def test_padding_mirrors_and_keeps_pairs_aligned(made: tuple[list[Photo], Cache], key: int, side: int) -> None:
    photos, cache = made
    item = TrainingCrops(photos, cache, SCALE, side, pad=True)[Draw(2, key)]
    assert item["hr"].shape == (3, side, side)
    assert torch.equal(item["lr"].repeat_interleave(SCALE, 1).repeat_interleave(SCALE, 2), item["hr"])
    plain = TrainingCrops(alone(photos), cache, SCALE, side, augment=False, pad=True)[Draw(2, key)]["hr"]
    whole = np.array(cache.open(photos[2].hr))
    wanted = np.pad(whole, ((0, side - 33), (0, side - 33), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(plain.permute(1, 2, 0).numpy(), wanted)


@pytest.mark.parametrize("crop_size", [0, -4, 10])
def test_crop_size_must_fit_the_scale(made: tuple[list[Photo], Cache], crop_size: int) -> None:
    with pytest.raises(UserError, match=rf"crop_size={crop_size} .*scale=4"):
        TrainingCrops(*made, SCALE, crop_size)


def test_a_photograph_that_was_not_built(made: tuple[list[Photo], Cache], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not in the cache"):
        TrainingCrops(made[0], Cache(tmp_path / "empty"), SCALE, 16)
