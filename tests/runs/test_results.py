"""results.json: strict JSON, whole or absent."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sr_experiments.metrics.table import print_table
from sr_experiments.runs.results import versions, write_results

WRITER = """
import sys
from sr_experiments.runs.results import write_results
print("ready", flush=True)
for number in range(100_000):
    write_results(sys.argv[1], {"number": number, "values": [number] * 20_000})
"""


def strict(text: str) -> dict:
    """Python's reader takes NaN and Infinity, which JSON does not have."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_results_come_back(tmp_path: Path) -> None:
    results = {"status": "finished", "steps": 3, "seconds": 1.5, "test": {"Set5": {"psnr": 30.25}}, "none": None}
    path = write_results(tmp_path / "run" / "deep", results)
    assert path == tmp_path / "run" / "deep" / "results.json"
    assert strict(path.read_text()) == results
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_what_json_does_not_know_becomes_a_text_or_null(tmp_path: Path) -> None:
    results = {
        "perfect": float("inf"),
        "worst": float("-inf"),
        "missing": float("nan"),
        "numpy": np.float64("inf"),
        "nested": [{"psnr": float("inf"), "ssim": 1.0}, (1.0, float("nan"))],
        4: "a key that is a number",
    }
    assert strict(write_results(tmp_path, results).read_text()) == {
        "perfect": "inf",
        "worst": "-inf",
        "missing": None,
        "numpy": "inf",
        "nested": [{"psnr": "inf", "ssim": 1.0}, [1.0, None]],
        "4": "a key that is a number",
    }


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_results(tmp_path, {"status": "finished"})
    with pytest.raises(TypeError):
        write_results(tmp_path, {"status": object()})
    assert strict(path.read_text()) == {"status": "finished"}
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_a_reader_never_meets_half_a_file(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        path, seen, end = tmp_path / "results.json", set(), time.monotonic() + 20
        while len(seen) < 20 and time.monotonic() < end:
            if path.exists():
                read = strict(path.read_text())
                assert read["values"] == [read["number"]] * 20_000
                seen.add(read["number"])
        writer.kill()
    assert len(seen) >= 20
    last = strict(path.read_text())  # also after the writer was killed in the middle
    assert len(last["values"]) == 20_000


def test_versions_name_what_the_numbers_depend_on() -> None:
    found = versions()
    assert found["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert {"sr-experiments", "torch", "pytorch-lightning", "pillow"} <= set(found)


def test_table_shows_every_image_and_the_mean(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"psnr": 31.256, "ssim": 0.91234, "bicubic_psnr": 29.5, "bicubic_ssim": 0.88}
    perfect = {**row, "psnr": float("inf"), "ssim": 1.0}
    test = {
        "Set5": {
            "psnr": 30.1,
            "ssim": 0.85,
            "bicubic": {"psnr": 29.0, "ssim": 0.8},
            "images": {"baby": row, "copy": perfect},
        }
    }
    print_table(test, {"channel": "y", "border": 4})
    printed = capsys.readouterr().out
    for text in ("Set5 (protocol y, border 4)", "baby", "31.26", "+1.76", "0.9123", "copy", "inf", "+1.10", "0.8500"):
        assert text in printed


def scored(lpips: float | None) -> dict[str, Any]:
    """A set with scores of every kind: of an image, of a set, of references, and one that may be unavailable."""
    own = {"psnr": 31.0, "ssim": 0.9, "lr_psnr": 48.123, "lpips": lpips, "fid": None}
    row = {**own, **{f"bicubic_{name}": value for name, value in own.items()}, "similarity": 0.61234}
    means = {**own, "fid": 123.456}
    return {**means, "similarity": 0.61234, "bicubic": {**means, "lpips": lpips, "fid": 234.5}, "images": {"baby": row}}


@pytest.mark.parametrize("width", [80, 120])
def test_further_scores_keep_within_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    why = {"unavailable": {"lpips": "its weights [of AlexNet] are not there."}}
    print_table({"Set5": {**scored(None), **why}, "B": {**scored(None), **why}}, {"channel": "y", "border": 4})
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines()) <= width
    assert printed.count("Set5, continued") == (1 if width == 80 else 0)
    for text in ("lr_psnr ↑", "48.12", "lpips ↓", "fid ↓", "123.46", "234.50", "similarity ↑", "0.6123"):
        assert printed.count(text) >= 2, text
    assert printed.count("lpips is unavailable: its weights [of AlexNet] are not there.") == 1
    cells = [line.split("│")[1:-1] for line in printed.splitlines() if line.startswith("│ baby")]
    assert sum(cell.strip() == "-" for row in cells for cell in row) == 2  # LPIPS; FID is no score of an image
    assert sum(cell.strip() == "" for row in cells for cell in row) == 2


def test_a_score_that_is_there_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_table({"Set5": scored(0.25)}, {"channel": "y", "border": 4})
    printed = capsys.readouterr().out
    assert printed.count("0.2500") == 3
    assert "unavailable" not in printed
