from pathlib import Path

import numpy as np
import pytest

from sr_experiments.data import Photo, benchmark_set, hr_folder, paired_folders, sample
from sr_experiments.data.images import read_image, write_png
from sr_experiments.errors import UserError


def photo(path: Path, height: int = 8, width: int = 12) -> Path:
    write_png(path, np.zeros((height, width, 3), np.uint8))
    return path


def test_hr_folder_names_photos_by_where_they_lie(tmp_path: Path) -> None:
    for name in ("b.png", "a/b.png", "a/c.d.png"):
        photo(tmp_path / name)
    assert hr_folder(str(tmp_path)) == [
        Photo("a/b", tmp_path / "a" / "b.png"),
        Photo("a/c.d", tmp_path / "a" / "c.d.png"),
        Photo("b", tmp_path / "b.png"),
    ]


def test_two_files_of_one_name(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    photo(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=rf"a\.jpg and a\.png in {tmp_path}"):
        hr_folder(tmp_path)


@pytest.mark.parametrize("lr_name", ["0001.png", "0001x4.png", "0001_x4.png", "0001X4.png"])
@pytest.mark.parametrize("surplus", [0, 3])
def test_pairs_match_by_name(tmp_path: Path, lr_name: str, surplus: int) -> None:
    hr = photo(tmp_path / "hr" / "deep" / "0001.png", 32 + surplus, 48)
    lr = photo(tmp_path / "lr" / "deep" / lr_name, 8, 12)
    assert paired_folders(tmp_path / "hr", tmp_path / "lr", 4) == [Photo("deep/0001", hr, lr)]


@pytest.mark.parametrize(("height", "width"), [(31, 48), (36, 48), (32, 52), (32, 47)])
def test_pair_whose_sizes_do_not_fit(tmp_path: Path, height: int, width: int) -> None:
    photo(tmp_path / "hr" / "a.png", height, width)
    photo(tmp_path / "lr" / "a.png", 8, 12)
    with pytest.raises(UserError, match=rf"hr/a\.png is {width}x{height} .*lr/a\.png is 12x8, .*scale 4"):
        paired_folders(tmp_path / "hr", tmp_path / "lr", 4)


def test_missing_partners_are_named(tmp_path: Path) -> None:
    for number in range(8):
        photo(tmp_path / "hr" / f"{number}.png", 32, 48)
    photo(tmp_path / "lr" / "0x4.png", 8, 12)
    with pytest.raises(UserError, match=rf"no LR image at x4 in {tmp_path}/lr for 1, 2, 3, 4, 5 and 2 more"):
        paired_folders(tmp_path / "hr", tmp_path / "lr", 4)
    photo(tmp_path / "lr" / "stranger.png", 8, 12)
    with pytest.raises(UserError, match="no HR image belongs to stranger"):
        paired_folders(tmp_path / "hr", tmp_path / "lr", 4)


def test_two_lr_files_for_one_photo(tmp_path: Path) -> None:
    photo(tmp_path / "hr" / "a.png", 32, 48)
    photo(tmp_path / "lr" / "a.png")
    photo(tmp_path / "lr" / "ax4.png")
    with pytest.raises(UserError, match=r"a\.png and ax4\.png .* both belong to a"):
        paired_folders(tmp_path / "hr", tmp_path / "lr", 4)


def test_benchmark_with_ground_truth_alone(tmp_path: Path) -> None:
    path = photo(tmp_path / "Set5" / "baby.png")
    photo(tmp_path / "Set5" / "x4" / "baby.png")  # somebody's LR images must not count
    assert benchmark_set(tmp_path, "set5", 4) == [Photo("baby", path)]


@pytest.mark.parametrize("lr_folder", ["LR/x4", "LR_bicubic/X4"])
@pytest.mark.parametrize("hr_folder", ["HR", "hr"])
def test_benchmark_with_folders(tmp_path: Path, hr_folder: str, lr_folder: str) -> None:
    hr = photo(tmp_path / "Set5" / hr_folder / "baby.png", 32, 48)
    assert benchmark_set(tmp_path, "Set5", 4) == [Photo("baby", hr)]
    lr = photo(tmp_path / "Set5" / lr_folder / "babyx4.png", 8, 12)
    assert benchmark_set(tmp_path, "Set5", 4) == [Photo("baby", hr, lr)]
    assert benchmark_set(tmp_path, "Set5", 2) == [Photo("baby", hr)]


def test_benchmark_name_of_several_parts(tmp_path: Path) -> None:
    path = photo(tmp_path / "BSDS500" / "val" / "1.png")
    assert benchmark_set(tmp_path, "bsds500/val", 3) == [Photo("1", path)]


def test_missing_benchmarks_name_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder of benchmark sets at"):
        benchmark_set(tmp_path / "nowhere", "Set5", 4)
    with pytest.raises(UserError, match=r"no benchmark set 'Set5' in .* no folders"):
        benchmark_set(tmp_path, "Set5", 4)
    (tmp_path / "Set14").mkdir()
    (tmp_path / "Urban100").mkdir()
    with pytest.raises(UserError, match=r"no benchmark set 'Set5' in .*: it has Set14, Urban100\."):
        benchmark_set(tmp_path, "Set5", 4)
    with pytest.raises(UserError, match=r"no image in .*Set14"):
        benchmark_set(tmp_path, "Set14", 4)


def test_sample_photographs_are_there_and_disjoint() -> None:
    training, test = sample.training_photographs(), sample.test_photographs()
    assert (len(training), len(test)) == (6, 2)
    assert not {photo.hr for photo in training} & {photo.hr for photo in test}
    for photo in training + test:
        assert min(read_image(photo.hr).shape[:2]) >= 256


def test_asset_benchmarks(assets: Path) -> None:
    assert [photo.name for photo in benchmark_set(assets / "data", "set5", 4)] == [
        "baby",
        "bird",
        "butterfly",
        "head",
        "woman",
    ]
    assert len(benchmark_set(assets / "data", "BSDS500/val", 4)) == 100
