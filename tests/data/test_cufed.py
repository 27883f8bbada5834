from pathlib import Path

import numpy as np
import pytest

from sr_experiments.data import Photo, cufed5, cufed5_sets, reference_folders
from sr_experiments.data.images import write_png
from sr_experiments.errors import UserError


def files(folder: Path, *names: str) -> None:
    for name in names:
        write_png(folder / name, np.zeros((4, 5, 3), np.uint8))


def test_pairs_by_equal_names(tmp_path: Path) -> None:
    files(tmp_path / "input", "b.png", "a.png", "deep/c.png")
    files(tmp_path / "ref", "a.png", "deep/c.png")
    write_png(tmp_path / "ref" / "b.bmp.png", np.zeros((4, 5, 3), np.uint8))
    (tmp_path / "ref" / "b.bmp.png").rename(tmp_path / "ref" / "b.webp")
    photos = reference_folders(str(tmp_path / "input"), tmp_path / "ref")
    assert photos == [
        Photo("a", tmp_path / "input" / "a.png", refs=(tmp_path / "ref" / "a.png",)),
        Photo("b", tmp_path / "input" / "b.png", refs=(tmp_path / "ref" / "b.webp",)),
        Photo("deep/c", tmp_path / "input" / "deep" / "c.png", refs=(tmp_path / "ref" / "deep" / "c.png",)),
    ]


def test_pair_without_its_partner_is_named(tmp_path: Path) -> None:
    files(tmp_path / "input", *(f"{number}.png" for number in range(8)))
    files(tmp_path / "ref", "0.png")
    with pytest.raises(UserError, match=rf"no reference in {tmp_path}/ref for 1, 2, 3, 4, 5 and 2 more of .*input"):
        reference_folders(tmp_path / "input", tmp_path / "ref")
    with pytest.raises(UserError, match=rf"no photograph in {tmp_path}/ref for the reference 1, .* of .*input"):
        reference_folders(tmp_path / "ref", tmp_path / "input")


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    files(tmp_path, *(f"{group}_{number}.png" for group in ("010", "002") for number in range(6)))
    files(tmp_path, "readme.png", "LR/002_0.png", "LR/002_1.png")
    return tmp_path


def test_groups_of_the_test_set(groups: Path) -> None:
    assert cufed5(groups) == [
        Photo(name, groups / f"{name}_0.png", refs=tuple(groups / f"{name}_{number}.png" for number in range(1, 6)))
        for name in ("002", "010")
    ]
    [first, _] = cufed5(str(groups), [4, 2])
    assert first.refs == (groups / "002_4.png", groups / "002_2.png")


def test_levels_one_by_one_and_all_together(groups: Path) -> None:
    sets = cufed5_sets(groups)
    assert list(sets) == ["CUFED5_L1", "CUFED5_L2", "CUFED5_L3", "CUFED5_L4", "CUFED5_L5", "CUFED5_all"]
    for level in range(1, 6):
        assert sets[f"CUFED5_L{level}"] == cufed5(groups, [level])
    assert sets["CUFED5_all"] == cufed5(groups)
    assert list(cufed5_sets(groups, [2])) == ["CUFED5_L2", "CUFED5_all"]
    assert cufed5_sets(None, required=False) == {}
    with pytest.raises(UserError, match=r"data\.root, the folder with 000_0\.png"):
        cufed5_sets(None)


def test_missing_file_of_a_group_is_named(groups: Path) -> None:
    (groups / "010_3.png").unlink()
    with pytest.raises(UserError, match=r"group 010 .*has no reference 010_3\.png"):
        cufed5(groups)
    assert len(cufed5(groups, [1, 2])) == 2
    (groups / "002_0.png").unlink()
    with pytest.raises(UserError, match=r"group 002 .*has no photograph 002_0\.png"):
        cufed5(groups, [1])


def test_folder_that_is_not_laid_out_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        cufed5(tmp_path / "nowhere")
    files(tmp_path, "a.png", "deep/000_0.png", "deep/000_1.png")
    with pytest.raises(UserError, match=r"no image in .* is named as in CUFED5"):
        cufed5(tmp_path, [1])
    files(tmp_path, "7_0.png", "7_00.png")
    with pytest.raises(UserError, match=r"7_0\.png and 7_00\.png .* are the same of one group"):
        cufed5(tmp_path)
