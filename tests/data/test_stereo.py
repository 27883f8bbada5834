import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sr_experiments.data import stereo_test, stereo_training, unrelated_photographs
from sr_experiments.data.images import read_image
from sr_experiments.data.sample import sample_file
from sr_experiments.errors import UserError

CUT = """
import sys
from sr_experiments.data import stereo_test, stereo_training
print(*[photo.hr.stat().st_mtime_ns for photo in stereo_training(sys.argv[1]) + stereo_test(sys.argv[1])])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stereo")


def place(part: np.ndarray, view: np.ndarray) -> tuple[int, int]:
    """Row and column of a part in its view, by looking for its first row of pixels."""
    row = part[0]
    width = len(row)
    found = [
        (top, left)
        for top in range(view.shape[0])
        for left in range(view.shape[1] - width + 1)
        if (view[top, left] == row[0]).all() and (view[top, left : left + width] == row).all()
    ]
    [(top, left)] = found
    np.testing.assert_array_equal(view[top : top + part.shape[0], left : left + width], part)
    return top, left


def test_training_and_test_show_different_things(folder: Path) -> None:
    left_view, right_view = (read_image(sample_file(f"motorcycle_{side}.png")) for side in ("left", "right"))
    with np.load(sample_file("motorcycle_disp.npz")) as arrays:
        displacement = arrays["arr_0"]
    displacement = np.where(np.isfinite(displacement), displacement, np.nan)
    [training] = stereo_training(folder)
    image, [reference] = read_image(training.hr), training.refs
    _, left = place(image, left_view)
    _, shifted = place(read_image(reference), right_view)
    assert read_image(reference).shape == image.shape
    last_trained = max(left + image.shape[1], shifted + image.shape[1] + np.nanmax(displacement))
    # What a crop shows is not further than this from the same place of its reference.
    seen = displacement[:, left : left + image.shape[1]]
    assert max(np.nanmax(seen) - (left - shifted), (left - shifted) - np.nanmin(seen)) < 32
    tests = stereo_test(folder)
    assert [photo.name for photo in tests] == ["shelf", "wheel"]
    for photo in tests:
        part = read_image(photo.hr)
        assert part.shape == (240, 240, 3)
        top, left = place(part, left_view)
        assert left > last_trained
        columns = np.arange(left, left + 240) - displacement[top : top + 240, left : left + 240]
        assert np.nanmin(columns) >= 0  # all within the right view
        assert photo.refs == (sample_file("motorcycle_right.png"),)


def test_parts_are_cut_once(folder: Path) -> None:
    before = {photo.hr: photo.hr.stat().st_mtime_ns for photo in stereo_training(folder) + stereo_test(folder)}
    for photo in stereo_training(folder) + stereo_test(folder):
        assert photo.hr.stat().st_mtime_ns == before[photo.hr]


def test_two_processes_at_once_write_each_part_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CUT, str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate(timeout=60)[0] for process in processes)
    assert first == second
    assert len(first.split()) == 3
    assert len(list((tmp_path / "cache" / "stereo").glob("*.png"))) == 4


def test_default_folder_is_that_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SR_CACHE", str(tmp_path / "named"))
    assert stereo_test()[0].hr.parent == tmp_path / "named" / "stereo"


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"cannot use the cache folder {tmp_path / 'file'}"):
        stereo_training(tmp_path / "file")


def test_unrelated_photographs_are_not_the_pair() -> None:
    names = [photo.name for photo in unrelated_photographs()]
    assert len(names) == 3
    assert not any("motorcycle" in name for name in names)
