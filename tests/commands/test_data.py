import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_experiments.commands.data import main
from sr_experiments.data.images import read_image, write_png

RANDOM = np.random.default_rng(0)


def photo(path: Path, height: int = 24, width: int = 32, channels: int = 3) -> Path:
    write_png(path, RANDOM.integers(0, 256, (height, width, channels), dtype=np.uint8))
    return path


def test_check_finds_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "a.png")
    photo(tmp_path / "b.png", 48, 40, channels=1)
    assert main(["check", str(tmp_path), "--crop", "24", "--scale", "4"]) == 0
    output = capsys.readouterr().out
    for expected in ("32x24", "40x48", "RGB: 1", "L: 1", "Nothing wrong."):
        assert expected in output


def test_check_lists_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "small.png", 8, 8)
    photo(tmp_path / "twin.png")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "twin.jpg")
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert main(["check", str(tmp_path), "--crop", "16"]) == 1
    output = capsys.readouterr().out
    assert "small.png is 8x8 pixels, smaller than a crop of 16 pixels." in output
    assert f"twin.jpg and twin.png in {tmp_path} share one name" in output
    assert f"cannot read broken.png in {tmp_path}" in output
    assert "3 problems found." in output


def test_missing_folder_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"error: there is no folder {tmp_path / 'nowhere'}; check the path.\n"


def test_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "photos" / "a.png")
    command = ["cache", str(tmp_path / "photos"), "--cache-dir", str(tmp_path / "cache"), "--workers", "1"]
    assert main(command) == 0
    assert f"1 photographs are in {tmp_path / 'cache'}, 1 of them" in capsys.readouterr().out
    assert main(command) == 0
    assert "0 of them" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "filter_"), [("pillow_bicubic", Image.Resampling.BICUBIC), ("pillow_lanczos", Image.Resampling.LANCZOS)]
)
def test_lr_by_pillow(tmp_path: Path, kind: str, filter_: Image.Resampling) -> None:
    path = photo(tmp_path / "hr" / "deep" / "a.png", 26, 35)
    gray = photo(tmp_path / "hr" / "gray.png", 24, 32, channels=1)
    assert main(["lr", str(tmp_path / "hr"), str(tmp_path / "lr"), "--scale", "4", "--kind", kind]) == 0
    wanted = Image.fromarray(read_image(path)[:24, :32]).resize((8, 6), filter_)
    np.testing.assert_array_equal(read_image(tmp_path / "lr" / "deep" / "a.png"), np.asarray(wanted))
    wanted = Image.fromarray(read_image(gray, gray="keep")[..., 0]).resize((8, 6), filter_)
    np.testing.assert_array_equal(read_image(tmp_path / "lr" / "gray.png", gray="keep")[..., 0], np.asarray(wanted))


def test_lr_like_the_benchmarks(assets: Path, tmp_path: Path) -> None:
    assert main(["lr", str(assets / "data" / "Set5"), str(tmp_path), "--scale", "4"]) == 0
    references = sorted((assets / "reference" / "matlab_lr" / "Set5" / "x4").glob("*.png"))
    assert len(references) == 5
    for path in references:
        np.testing.assert_array_equal(read_image(tmp_path / path.name), read_image(path))


def test_lr_must_not_mix_with_the_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "a.png")
    assert main(["lr", str(tmp_path), str(tmp_path / "x4"), "--scale", "4"]) == 2
    assert "would be taken for HR" in capsys.readouterr().err


def test_help_comes_without_heavy_imports() -> None:
    code = (
        "import sys; from sr_experiments.commands.data import main\n"
        "try: main(['lr', '--help'])\n"
        "finally: print(sorted({'torch', 'numpy', 'PIL', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0
    assert "--scale" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sr_experiments.commands.data", "check", "--crop", "zero", "."],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "invalid number value: 'zero'" in done.stderr
