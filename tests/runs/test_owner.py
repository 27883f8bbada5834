"""A run folder belongs to one run at a time, and an earlier run is never replaced without being told to."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from sr_experiments.errors import UserError
from sr_experiments.runs.folder import RunFolder
from sr_experiments.runs.owner import check_replaced, hold, is_held, owned
from tests.harness import TINY, command, environment, run, train


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def test_a_finished_run_is_refused_whole_and_replaced_when_told_to(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert train(folder, "trainer.max_steps=4", "trainer.val_check_interval=2").returncode == 0
    before = contents(folder)
    done = train(folder, "trainer.max_steps=2", "seed=7", "test_checkpoint=best")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {folder} holds a finished run: resume=auto")
    assert contents(folder) == before

    # Replaced: without a validation of its own it has no best checkpoint, and does not score the earlier run's.
    more = ["trainer.max_steps=2", "trainer.val_check_interval=100", "seed=7", "overwrite=true"]
    done = train(folder, *more)
    assert done.returncode == 0, done.stderr
    assert results(folder)["steps"] == 2
    assert not (folder / "checkpoints" / "best.ckpt").exists()
    steps = [line.split(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()[1:]]
    assert steps == sorted(set(steps), key=int)
    before = contents(folder / "checkpoints")
    done = train(folder, *more, "data.crop_size=4000")  # what is wrong with a part does not cost the earlier run
    assert done.returncode == 2
    assert contents(folder / "checkpoints") == before
    done = run("eval", f"checkpoint={folder}", "data=sample", f"hydra.run.dir={folder}", cwd=tmp_path)
    assert done.returncode == 2
    assert "is the folder of a training" in done.stderr
    done = train(folder, *more, "resume=auto")
    assert done.returncode == 2
    assert "give one of them" in done.stderr


def test_a_folder_in_which_a_run_goes_on_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with hold(folder) as held:
        assert held
        assert is_held(folder)
        # In another process: within one, the lock may be taken again.
        done = train(folder)
    assert done.returncode == 2
    assert f"Another run is going on in {folder}" in done.stderr
    assert not RunFolder(folder).config_file.exists()


def test_two_commands_at_once_do_not_share_a_folder(tmp_path: Path) -> None:
    arguments = [*TINY, "trainer.max_steps=2", "trainer.val_check_interval=2"]
    started = [
        subprocess.Popen(
            command("train", *arguments), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in started:
        assert process.wait(timeout=200) == 0, process.communicate()[1]
    folders = list(tmp_path.glob("outputs/*/*"))
    assert len(folders) == 2
    assert all(results(folder)["status"] == "finished" for folder in folders)


def test_what_is_replaced_by_what(tmp_path: Path) -> None:
    check_replaced(tmp_path / "new", None, overwrite=False)
    there = RunFolder(tmp_path / "run")
    there.checkpoints.mkdir(parents=True)
    check_replaced(there.path, None, overwrite=False)  # it failed before it saved anything
    torch.save({}, there.best_checkpoint)
    for resume in (None, str(tmp_path / "other"), str(tmp_path / "run2" / "last.ckpt")):
        with pytest.raises(UserError, match="holds a run with checkpoints"):
            check_replaced(there.path, resume, overwrite=False)
        check_replaced(there.path, resume, overwrite=True)
    for resume in ("auto", str(there.path), str(there.best_checkpoint)):
        check_replaced(there.path, resume, overwrite=False)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"The run folder .*file/run cannot be made"),
        owned(tmp_path / "file" / "run", None, False),
    ):
        raise AssertionError("owned")


def test_nothing_is_left_of_a_run_that_did_not_begin(tmp_path: Path) -> None:
    done = train(tmp_path / "run", "no_such_key=1")
    assert done.returncode == 2
    assert not (tmp_path / "run").exists()


def test_a_folder_named_after_the_clock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("train", *TINY, f"paths.output_root={tmp_path / 'file'}", cwd=tmp_path)
    assert done.returncode == 2
    assert "The folder of the run cannot be made or written" in done.stderr
    assert "Traceback" not in done.stderr
