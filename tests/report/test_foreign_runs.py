"""A run folder from elsewhere is data: it cannot have files written, read or shown that lie outside of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sr_experiments.commands.report import main
from sr_experiments.report.read import find_runs
from tests.report.folders import picture, scores, write_run


def photographs(folder: Path) -> dict[Path, bytes]:
    """PNG files that nobody may touch, and what is in them."""
    files = [picture(folder / f"{name}.png", place) for place, name in enumerate(("a", "b"))]
    return {file: file.read_bytes() for file in files}


@pytest.mark.parametrize("form", ["{}", "../../../{}", "sub/../../../../{}", "/../..{}"])
def test_a_set_named_as_a_path_writes_and_shows_nothing_outside(tmp_path: Path, form: str) -> None:
    victims = photographs(tmp_path / "victim")
    root = tmp_path / "received" / "sweep"
    name = form.format(tmp_path / "victim" if form in ("{}", "/../..{}") else "victim")
    for loss in ("l1", "mse"):
        sets = {"data": {"root": str(tmp_path), "sets": [{name: "victim"}]}}
        folder = write_run(root / loss, {"loss": loss}, images=scores(["a", "b"], 0), of=name, config=sets)
        (folder / "images").mkdir()
    before = sorted(path for path in tmp_path.rglob("*"))
    assert main([str(root)]) == 0
    assert {file: file.read_bytes() for file in victims} == victims
    new = [path for path in tmp_path.rglob("*") if path not in before]
    assert all(path.is_relative_to(root) for path in new)
    runs, _ = find_runs([root])
    assert all(run.images == {} for run in runs)
    assert "lead out of the run folder" in runs[0].notes[0]


def test_links_among_the_images_are_left_out(tmp_path: Path) -> None:
    victims = photographs(tmp_path / "victim")
    folder = write_run(tmp_path / "run", {"loss": "l1"}, images=scores(["a", "b"], 0))
    picture(folder / "images" / "sample" / "mine.png", 5)
    (folder / "images" / "sample" / "a.png").symlink_to(tmp_path / "victim" / "a.png")
    (folder / "images" / "other").symlink_to(tmp_path / "victim")
    (run,), _ = find_runs([folder])
    assert run.images == {"sample": ["mine"]}
    assert main([str(folder), "--embed"]) == 0
    assert {file: file.read_bytes() for file in victims} == victims


def test_links_of_the_pages_names_are_not_followed(tmp_path: Path) -> None:
    victims = photographs(tmp_path / "victim" / "0" / "HR" / "sample")
    text = tmp_path / "notes.txt"
    text.write_text("mine")
    folder = write_run(tmp_path / "run", {"loss": "l1"}, images=scores(["astronaut"], 0))
    picture(folder / "images" / "sample" / "astronaut.png", 1, (512, 512))
    (folder / "report.html").symlink_to(text)
    (folder / "report_files").symlink_to(tmp_path / "victim")
    assert main([str(folder)]) == 2
    assert not (tmp_path / "victim" / "0" / "HR" / "sample" / "astronaut.png").exists()
    (folder / "report_files").unlink()
    assert main([str(folder)]) == 0
    assert text.read_text() == "mine"
    assert (folder / "report.html").read_text().startswith("<!")
    assert {file: file.read_bytes() for file in victims} == victims


def test_a_sweep_whose_jobs_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    from sr_experiments.errors import UserError
    from sr_experiments.sweeps.folder import SweepFolder

    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": [{"folder": "/elsewhere", "identity": "x"}]}))
    with pytest.raises(UserError, match="outside the sweep"):
        SweepFolder(tmp_path).read()
