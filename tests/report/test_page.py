from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from sr_experiments.commands.report import main
from sr_experiments.data import test_photographs as sample_test_set
from sr_experiments.data.images import read_image
from sr_experiments.degradations import bicubic_upsample
from sr_experiments.pixels.imresize import imresize
from tests.harness import run
from tests.report.folders import picture, scores, write_run, write_sweep

EVIL = "<script>window.evil = 1</script>"


class Scripts(HTMLParser):
    """Which script elements a browser would see, and where they come from."""

    def __init__(self):
        super().__init__()
        self.kinds: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag, attrs):
        of = dict(attrs)
        if tag == "script":
            self.kinds.append(of.get("type", "code"))
        self.outside += [
            value for name, value in of.items() if name in ("src", "href") and not value.startswith("data:")
        ]


def data_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture
def small(tmp_path):
    root = tmp_path / "sweep"
    for loss, level in (("l1", 0.0), ("mse", -0.5)):
        folder = write_run(root / loss, {"loss": loss}, images=scores(["astronaut", "chelsea"], level))
        for place, name in enumerate(("astronaut", "chelsea")):
            picture(folder / "images" / "sample" / f"{name}.png", len(loss) + place, (512, 512))
    return root


def test_the_page_lies_in_the_folder_and_needs_nothing_from_outside(small, capsys):
    write_run(small / "bad", {"loss": "l2"}, results={"status": "failed", "error": "UserError: the loss is not finite"})
    assert main([str(small)]) == 0
    page = small / "report.html"
    assert "3 runs" in capsys.readouterr().out
    seen = Scripts()
    seen.feed(page.read_text(encoding="utf-8"))
    assert seen.outside == []
    assert seen.kinds.count("application/json") == 1
    data = data_of(page)
    assert [run["status"] for run in data["runs"]] == ["failed", "finished", "finished"]
    assert data["runs"][0]["error"] == "UserError: the loss is not finite"
    assert data["runs"][1]["folder"] == "l1"
    assert data["metrics"]["lpips"]["better"] == -1
    assert data["metrics"]["psnr"] == {"better": 1, "digits": 2}
    assert data["configs"][1]["loss.option"] == "l1"
    assert data["common"]["optimizer.learning_rate"] == "0.001"


def test_originals_and_bicubic_images_are_those_that_were_scored(small):
    main([str(small)])
    data = data_of(small / "report.html")
    assert data["files"]["0/HR/sample/chelsea"] == "report_files/0/HR/sample/chelsea.png"
    photo = next(photo for photo in sample_test_set() if photo.name == "chelsea")
    hr = read_image(photo.hr)
    hr = hr[: hr.shape[0] // 4 * 4, : hr.shape[1] // 4 * 4]
    np.testing.assert_array_equal(np.asarray(Image.open(small / "report_files/0/HR/sample/chelsea.png")), hr)
    import torch

    planes = torch.from_numpy(np.ascontiguousarray(hr)).permute(2, 0, 1)[None].float() / 255
    enlarged = bicubic_upsample(imresize(planes, scale=1 / 4), size=hr.shape[:2])[0]
    expected = (enlarged.clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    found = np.asarray(Image.open(small / "report_files/0/bicubic/sample/chelsea.png")).astype(float)
    assert np.abs(found - expected).max() <= 1


def test_an_infinite_score_reaches_the_page_as_such_and_null_as_none(tmp_path):
    for name, psnr, ssim in (("perfect", "inf", 1.0), ("old", None, 1.0), ("plain", 30.0, 0.9)):
        of = {"psnr": psnr, "ssim": ssim}
        test = {"sample": {**of, "bicubic": {"psnr": 28.0, "ssim": 0.8}, "images": {"x": of}}}
        write_run(tmp_path / name, {"loss": name}, results={"status": "finished", "scale": 4, "test": test})
    assert main([str(tmp_path)]) == 0
    # What is larger than any number of JavaScript is read as Infinity there.
    text = json.dumps(data_of(tmp_path / "report.html"))
    data = json.loads(text, parse_int=float)
    means = {row["name"]: row["sets"]["sample"]["mean"]["psnr"] for row in data["rows"]}
    assert means == {"loss=perfect": math.inf, "loss=old": None, "loss=plain": 30.0}
    assert {run["label"]: run["scores"]["sample"]["x"]["psnr"] for run in data["runs"]} == {
        "perfect": math.inf,
        "old": None,
        "plain": 30.0,
    }


def test_crops_lie_where_the_runs_differ(small):
    main([str(small)])
    of = data_of(small / "report.html")["pictures"][0]["sample"]["astronaut"]
    assert of["size"] == [512, 512]
    assert of["compared"] == 2
    ((x, y, side, _),) = of["crops"]
    assert x <= 48 <= 64 <= x + side
    assert y <= 32 <= 48 <= y + side


def test_names_and_values_cannot_become_markup(tmp_path):
    root = tmp_path / "sweep"
    overrides = {"loss": EVIL, EVIL: 1}
    folder = write_run(root / "<b>run&", overrides, images=scores(["</script><b>"], 0), of="a<set>")
    (folder / "images" / "a<set>").mkdir(parents=True)
    write_run(root / "other", {"loss": "l1"}, results={"status": "failed", "error": f"</script>{EVIL}<!--data-->"})
    plain = tmp_path / "plain"
    write_run(plain / "one", {"loss": "l1"}, images=scores(["x"], 0))
    main([str(root), "--title", f"</title>{EVIL}"])
    main([str(plain)])
    page, other = Scripts(), Scripts()
    page.feed((root / "report.html").read_text(encoding="utf-8"))
    other.feed((plain / "report.html").read_text(encoding="utf-8"))
    assert page.kinds == other.kinds
    data = data_of(root / "report.html")
    assert data["title"] == f"</title>{EVIL}"
    assert data["runs"][1]["error"].endswith("<!--data-->")
    assert data["runs"][0]["scores"]["a<set>"].keys() == {"</script><b>"}


def test_notes_say_what_is_missing_or_not_comparable(small, tmp_path, capsys):
    write_run(small / "x2", {"loss": "l1", "scale": 2}, images=scores(["astronaut"], 3))
    write_run(small / "fewer", {"loss": "tv"}, images=scores(["astronaut"], 3))
    lost = tmp_path / "lost"
    folder = write_run(
        lost, {"loss": "l1"}, images=scores(["x"], 0), of="Set5", config={"data": {"root": "nowhere", "sets": ["Set5"]}}
    )
    picture(folder / "images" / "Set5" / "x.png", 0)
    page = tmp_path / "page.html"
    assert main([str(small), str(lost), str(tmp_path / "none"), "-o", str(page)]) == 0
    assert "none is no folder" in capsys.readouterr().err
    notes = " ".join(data_of(page)["notes"])
    assert "differ in scale or protocol" in notes
    assert "not all runs were tested on the same images of sample" in notes
    assert "originals of Set5 were not found" in notes
    assert len(data_of(page)["groups"]) == 2


def test_a_damaged_image_changes_nothing_else(small):
    (small / "l1" / "images" / "sample" / "chelsea.png").write_bytes(b"\x89PNG broken")
    assert main([str(small)]) == 0
    of = data_of(small / "report.html")["pictures"][0]["sample"]
    assert of["chelsea"]["compared"] == 1
    assert of["astronaut"]["compared"] == 2


def test_embedded_images_make_one_file(small, tmp_path):
    page = tmp_path / "one.html"
    main([str(small), "-o", str(page), "--embed"])
    assert list(tmp_path.iterdir()) == [page, small] or set(tmp_path.iterdir()) == {page, small}
    text = page.read_text(encoding="utf-8")
    names = set(re.findall(r'data-image="([^"]+)"', text))
    assert {"run0/sample/chelsea", "run1/sample/astronaut", "0/HR/sample/chelsea", "0/bicubic/sample/chelsea"} <= names


def test_a_config_that_names_foreign_parts_runs_nothing(tmp_path):
    mark = tmp_path / "mark"
    evil = {"_target_": "pathlib.Path.touch", "self": str(mark)}
    config = {"degradation": {**evil, "_target_": "os.mkdir", "path": str(mark)}, "data": {"sets": [{"s": evil}]}}
    folder = write_run(tmp_path / "run", {"loss": "l1"}, images=scores(["x"], 0), of="s", config=config)
    picture(folder / "images" / "s" / "x.png", 0)
    assert main([str(folder)]) == 0
    assert not mark.exists()
    assert data_of(folder / "report.html")["files"] == {}


def test_nothing_to_report_is_an_error(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "No run was found" in capsys.readouterr().err


def test_help_answers_at_once():
    code = "import sys; from sr_experiments.commands import report; report.main(['--help'])"
    check = f"try:\n {code}\nfinally:\n assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{check.replace('import sys; ', '')}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "--embed" in done.stdout


@pytest.mark.slow
def test_two_hundred_runs_of_fourteen_images(tmp_path):
    write_sweep(tmp_path / "sweep", 200, 14, (512, 480))
    done = run("report", str(tmp_path / "sweep"), cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sweep" / "report.html").stat().st_size < 50e6
    assert len(data_of(tmp_path / "sweep" / "report.html")["rows"]) == 50
