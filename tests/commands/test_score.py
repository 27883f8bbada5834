"""`sr-score` on real folders."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.commands.score import main, pair_by_name
from sr_experiments.errors import UserError
from sr_experiments.metrics import Protocol

Folders = tuple[Path, Path]


def write(path: Path, height: int, width: int, seed: int = 0, gray: bool = False) -> torch.Tensor:
    shape = (height, width) if gray else (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1) / 255


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return tmp_path / "sr", tmp_path / "hr"


def call(folders: Folders, *options: str) -> int:
    return main([str(folders[0]), str(folders[1]), *options])


def test_numbers_stamp_and_table(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sr, hr = folders
    images = {
        "baby": (write(sr / "baby_RCAN_x2.png", 30, 40, 1), write(hr / "baby.bmp", 31, 41, 2)),
        "bird": (write(sr / "bird.png", 24, 24, 3), write(hr / "bird.png", 24, 24, 4)),
    }
    file = tmp_path / "new" / "scores.json"
    assert call(folders, "--scale", "2", "--json", str(file)) == 0

    protocol = Protocol("y", border=2)
    expected = {name: protocol.score(a, b[:, : a.shape[1], : a.shape[2]]) for name, (a, b) in images.items()}
    result = json.loads(file.read_text())
    assert result["protocol"] == {"channel": "y", "border": 2, "gray": "keep", "rounding": "8bit"}
    assert result["scale"] == 2
    for name, scores in expected.items():
        assert result["images"][name] == pytest.approx(scores, abs=1e-9)
    assert result["mean"]["psnr"] == pytest.approx(sum(s["psnr"] for s in expected.values()) / 2, abs=1e-9)
    assert [path.name for path in file.parent.iterdir()] == ["scores.json"]
    printed = capsys.readouterr().out
    for text in ("baby", "bird", "mean of 2", f"{expected['baby']['psnr']:.2f}", f"{expected['bird']['ssim']:.4f}"):
        assert text in printed


def test_options_reach_the_protocol(folders: Folders, tmp_path: Path) -> None:
    a, b = write(folders[0] / "a.png", 30, 40, 1), write(folders[1] / "a.png", 30, 40, 2, gray=True)
    file = tmp_path / "scores.json"
    options = ("--scale", "2", "--json", str(file), "--border", "0", "--protocol", "rgb")
    for gray in ("keep", "rgb"):
        assert call(folders, *options, "--gray", gray) == 0
        expected = Protocol("rgb", 0, gray).score(a, b)
        assert json.loads(file.read_text())["images"]["a"] == pytest.approx(expected, abs=1e-9)


def test_infinite_psnr_is_valid_json(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in folders:
        write(folder / "a.png", 20, 20)
    file = tmp_path / "scores.json"
    assert call(folders, "--scale", "2", "--json", str(file)) == 0
    result = json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert float(result["mean"]["psnr"]) == float("inf")
    assert "inf" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("hr_size", "fits"), [((20, 20), True), ((22, 21), True), ((23, 20), False), ((20, 19), False)]
)
def test_sizes(folders: Folders, capsys: pytest.CaptureFixture[str], hr_size: tuple[int, int], fits: bool) -> None:
    write(folders[0] / "a_x3.png", 20, 20)
    write(folders[1] / "a.png", *hr_size)
    assert call(folders, "--scale", "3") == (0 if fits else 2)
    if not fits:
        message = capsys.readouterr().err
        for text in ("a_x3.png", "20x20", "a.png", f"{hr_size[1]}x{hr_size[0]}"):
            assert text in message


def test_too_small_image_is_named(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in folders:
        write(folder / "tiny.png", 12, 12)
    assert call(folders, "--scale", "4") == 2
    assert "tiny.png" in capsys.readouterr().err


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


def test_longest_matching_name_wins() -> None:
    sr, hr = paths("s/img_1_x4.png", "s/img_x4.png", "s/img_10.png"), paths("h/img.bmp", "h/img_1.bmp", "h/img_10.bmp")
    assert [(a.name, b.name) for a, b in pair_by_name(sr, hr)] == [
        ("img_x4.png", "img.bmp"),
        ("img_1_x4.png", "img_1.bmp"),
        ("img_10.png", "img_10.bmp"),
    ]


@pytest.mark.parametrize(
    ("sr", "hr", "named"),
    [
        (["a_x2.png", "a_x4.png"], ["a.png"], ["a_x2.png", "a_x4.png", "a.png"]),
        (["a.png"], ["a.png", "sub/a.bmp"], ["a.png", "sub/a.bmp"]),
        (["a.png"], ["a.png", "b.png", "c.png"], ["b.png", "c.png"]),
        (["a.png", "abc.png"], ["a.png"], ["abc.png"]),
    ],
)
def test_names_that_do_not_pair_are_named(sr: list[str], hr: list[str], named: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        pair_by_name(paths(*sr), paths(*hr))
    for name in named:
        assert name in str(raised.value)


def test_wrong_calls_are_explained(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(folders, "--scale", "2") == 2
    assert "sr" in capsys.readouterr().err
    with pytest.raises(SystemExit) as raised:
        call(folders, "--scale", "0")
    assert raised.value.code == 2
    assert "'0' is not a whole number" in capsys.readouterr().err
    for folder in folders:
        write(folder / "a.png", 20, 20)
    assert call(folders, "--scale", "2", "--border", "-1") == 2
    assert call(folders, "--scale", "2", "--json", str(tmp_path / "sr" / "a.png" / "x.json")) == 2
    assert "cannot write" in capsys.readouterr().err


def test_help_is_instant_and_the_module_runs() -> None:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "sr_experiments.commands.score", "--help"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "--scale" in done.stdout
    assert " torch\n" not in done.stderr
    assert time.perf_counter() - start < 5


def test_bicubic_row_from_files(assets: Path, tmp_path: Path) -> None:
    from sr_experiments.data.images import find_images, read_image, write_png
    from sr_experiments.degradations import bicubic_upsample

    for path in find_images(assets / "reference/matlab_lr/Set5/x4"):
        lr = torch.from_numpy(read_image(path)).permute(2, 0, 1) / 255
        sr = (bicubic_upsample(lr, 4).clamp(0, 1) * 255 + 0.5).floor().to(torch.uint8)
        write_png(tmp_path / "sr" / f"{path.stem}_bicubic_x4.png", sr.permute(1, 2, 0).numpy())
    file = tmp_path / "scores.json"
    assert main([str(tmp_path / "sr"), str(assets / "data/Set5"), "--scale", "4", "--json", str(file)]) == 0
    mean = json.loads(file.read_text())["mean"]
    assert (round(mean["psnr"], 2), round(mean["ssim"], 4)) == (28.43, 0.8113)
