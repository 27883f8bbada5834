"""`sr-models`: the table against what is published and what the networks are, for people and for programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from hydra.utils import get_class
from rich.console import Console

from sr_experiments.app.compose import compose_config
from sr_experiments.app.networks import SETS, Row, overview, published_at, read_published
from sr_experiments.commands import models
from sr_experiments.inference.receptive_field import ReceptiveField
from sr_experiments.report.models_table import markdown, print_table, short
from sr_experiments.shipped import conf_dir

SURVEY = """
srcnn fsrcnn espcn vdsr drcn drrn memnet srdensenet lapsrn ms_lapsrn prosr dbpn edsr edsr_baseline mdsr carn
carn_m dsrn msrn rdn rcan san srresnet rrdb sft_gan enhancenet meta_rdn srmd
"""


def test_every_model_has_its_entry_and_every_entry_its_model() -> None:
    names = {file.stem for file in (conf_dir() / "model").glob("*.yaml")}
    assert set(read_published()) == names
    assert set(SURVEY.split()) <= names


@pytest.mark.parametrize("name", read_published())
def test_entry_is_well_formed(name: str) -> None:
    entry = read_published()[name]
    known = {"year", "paper", "parameters", "multiply_adds", "source", "unchecked", "remark", "scores"}
    assert set(entry) <= known
    assert ("year" in entry) == ("paper" in entry)
    assert set(entry.get("unchecked", [])) <= set(entry.get("scores", {}))
    assert {"source", "unchecked", "remark"}.isdisjoint(entry) or "scores" in entry
    for scale, row in entry.get("scores", {}).items():
        assert scale in (2, 3, 4, 8)
        assert len(row.split()) == 4
        for text in row.split():
            assert re.fullmatch(r"-|[23]\d\.\d\d(/\.\d{3,4})?", text)
    target = compose_config("train", [f"model={name}"]).model._target_
    told = sys.modules[get_class(target).__module__].__doc__ or ""
    for number in re.findall(r"arXiv (\S+)", entry.get("paper", "")):
        assert number in told


def test_published_numbers_are_in_the_order_of_the_benchmark() -> None:
    """Set5 is the easiest set, and no network is below bicubic, whose numbers are these."""
    bicubic = {2: (33.66, 30.24, 29.56, 26.88), 3: (30.39, 27.55, 27.21, 24.46), 4: (28.42, 26.00, 25.96, 23.14)}
    for entry in read_published().values():
        for scale, row in entry.get("scores", {}).items():
            psnr = [float(text.partition("/")[0]) if text != "-" else None for text in row.split()]
            assert psnr[0] is None or psnr[0] == max(filter(None, psnr))
            for value, least in zip(psnr, bicubic.get(scale, (24.4, 23.1, 23.67, 20.74)), strict=True):
                assert value is None or value > least


def test_what_one_scale_is_told() -> None:
    entry = read_published()["ms_lapsrn"]
    at_two, at_eight = published_at(entry, 2), published_at(entry, 8)
    assert at_two.scores == {
        "Set5": "37.78/.960",
        "Set14": "33.28/.915",
        "B100": "32.05/.898",
        "Urban100": "31.15/.919",
    }
    assert (at_two.source, at_eight.source) == ("the paper, unchecked", "the paper")
    assert (at_two.parameters, published_at(entry, 4).parameters) == (None, 222_000)
    assert published_at(entry, 3).scores == {}
    assert published_at(entry, 3).source is None
    assert published_at(read_published()["prosr"], 4).scores == {"Set14": "28.94", "B100": "27.68", "Urban100": "26.74"}


def test_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(["carn", "srcnn", "small", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    srcnn, carn, small = told["models"]
    assert [srcnn["name"], carn["name"], small["name"]] == ["srcnn", "carn", "small"]  # by year
    assert (told["scale"], told["picture"], told["left_out"]) == (4, [1280, 720], {})
    assert carn["parameters"] == 1_591_939
    assert carn["multiply_adds"] == pytest.approx(90.9e9, rel=1e-3)
    assert (carn["framework"], srcnn["framework"]) == ("post", "pre")
    assert srcnn["receptive_field"] == {"lr_pixels": 8, "enlarged_pixels": 17, "whole_image": False}
    assert srcnn["published"]["scores"]["Set5"] == {"psnr": 30.48, "ssim": 0.8628}
    assert small["published"]["scores"] == {}


def test_what_cannot_be_done_at_a_scale_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(["lapsrn", "carn", "--scale", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (carn,) = told["models"]
    # 720x1280 is no multiple of 3: counted at 240x427, and brought back to the size of the picture.
    assert carn["multiply_adds"] == pytest.approx(118.8e9, rel=1e-3)
    assert "cannot enlarge by scale=3: use 2, 4 or 8" in told["left_out"]["lapsrn"]


def test_real_scales(capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(["meta_rdn", "edsr_baseline", "--scale", "1.5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in told["models"]] == ["meta_rdn"]
    assert "by an integer" in told["left_out"]["edsr_baseline"]


def test_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(["rcn"]) == 2
    assert "There is no model rcn. Did you mean rcan?" in capsys.readouterr().err


@pytest.mark.parametrize("scale", ["1", "0", "-2", "four", "nan", "99"])
def test_senseless_scale(scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        models.main([f"--scale={scale}"])
    assert caught.value.code == 2
    assert "is not a number above 1" in capsys.readouterr().err


def rows() -> list[Row]:
    """A row a model, with the longest numbers that there are."""
    field = ReceptiveField(111, 333)
    return [
        Row(name, "progressive", 43_089_923, 18_046_535_270_400, field, published_at(entry, 4))
        for name, entry in read_published().items()
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_table_fits_a_terminal(width: int) -> None:
    out = StringIO()
    print_table(rows(), {"lapsrn": "It cannot."}, 4, Console(file=out, width=width))
    text = out.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for row in rows():
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [row.name]]
        assert line.split()[-4:] == [
            said if width > 100 else said.partition("/")[0]
            for said in (row.published.scores.get(name, "-") for name in SETS)
        ]
    assert "Not listed, lapsrn: It cannot." in text


@pytest.mark.parametrize(
    ("number", "expected"),
    [(None, "-"), (999, "999"), (12_809, "12.8K"), (999_600, "1M"), (1_591_939, "1.59M"), (18.04e12, "18T")],
)
def test_short_numbers(number: float | None, expected: str) -> None:
    assert short(number) == expected


def test_help_answers_at_once() -> None:
    code = "import sys; from sr_experiments.commands import models\ntry: models.main(['--help'])\nfinally: "
    code += "assert not {'torch', 'hydra', 'rich'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--scale" in done.stdout


@pytest.mark.slow
def test_committed_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "models.md"
    found, left_out = overview()
    assert set(left_out) == {"spandrel"}
    assert page.read_text() == markdown(found, left_out, 4), "sr-models --markdown > docs/models.md writes it anew"
