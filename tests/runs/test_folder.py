"""What lies where in a run folder, and what is read from it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sr_experiments.errors import UserError
from sr_experiments.runs.folder import RunFolder, find_checkpoint, read_yaml, run_folders
from sr_experiments.runs.moved import with_todays_keys
from sr_experiments.runs.results import clear_results, is_finished, read_results, write_results

OLD = Path(__file__).parents[1] / "old_runs"


@pytest.mark.parametrize("name", ["l1_ema", "srgan", "srmd", "srntt"])
def test_a_config_reads_as_omegaconf_reads_it(name: str) -> None:
    folder = RunFolder(OLD / name)
    wanted = OmegaConf.to_container(OmegaConf.load(folder.config_file), resolve=False)
    assert isinstance(wanted, dict)
    assert folder.read_config() == with_todays_keys(wanted)


@pytest.mark.parametrize(
    "text",
    ["1e-3", "1.0e-03", "-2E5", "1.5", ".5", "3", "010", "1_000", ".inf", "-.inf", "2024-01-01", "yes", "a", "''"],
)
def test_values_read_as_omegaconf_reads_them(text: str) -> None:
    wanted = OmegaConf.create(f"key: {text}").key
    found = read_yaml(f"key: {text}")["key"]
    assert (found, type(found)) == (wanted, type(wanted))


def test_what_is_no_yaml_is_a_value_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.config_file.parent.mkdir()
    for text in ("a: [", "- 1", "a: \x00"):
        folder.config_file.write_text(text)
        with pytest.raises(ValueError, match=r"."):
            folder.read_config()
    assert folder.read_overrides() is None
    assert folder.read_hydra() == {}


def test_runs_are_found_at_any_depth_but_not_inside_runs(tmp_path: Path) -> None:
    for name in ("b", "a/deep", "b/images/copy", ".hidden/c"):
        file = RunFolder(tmp_path / name).config_file
        file.parent.mkdir(parents=True)
        file.write_text("scale: 4")
    assert [folder.path.relative_to(tmp_path).as_posix() for folder in run_folders(tmp_path)] == ["a/deep", "b"]


def test_a_run_folder_stands_for_its_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"last\.ckpt does not exist"):
        find_checkpoint(tmp_path)
    file = RunFolder(tmp_path).last_checkpoint
    file.parent.mkdir()
    file.touch()
    assert find_checkpoint(tmp_path) == find_checkpoint(file) == file
    assert RunFolder.around(file).path == tmp_path


def test_infinite_scores_come_back_as_such(tmp_path: Path) -> None:
    scores = {"psnr": math.inf, "ssim": 1.0, "niqe": math.nan, "images": {"inf": {"psnr": -math.inf}}}
    write_results(tmp_path, {"status": "finished", "overrides": ["inf"], "test": {"Set5": scores}})
    results = read_results(tmp_path)
    assert results is not None
    assert results["overrides"] == ["inf"]
    assert results["test"]["Set5"] == {**scores, "niqe": None}
    write_results(tmp_path, results)
    assert read_results(tmp_path) == results


def test_results_of_before_in_which_null_was_infinite_are_read(tmp_path: Path) -> None:
    RunFolder(tmp_path).results.write_text('{"status": "finished", "test": {"Set5": {"psnr": null, "ssim": 1.0}}}')
    assert is_finished(tmp_path)
    results = read_results(tmp_path)
    assert results is not None
    assert results["test"] == {"Set5": {"psnr": None, "ssim": 1.0}}


def test_a_run_begins_without_what_an_earlier_attempt_left(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    left = (folder.results, folder.pruned, tmp_path / ".dead.tmp", folder.checkpoints / ".dead.tmp")
    kept = (folder.last_checkpoint, folder.metrics)
    for file in (*left, *kept):
        file.touch()
    clear_results(tmp_path)
    assert [file.exists() for file in (*left, *kept)] == [False] * 4 + [True] * 2
