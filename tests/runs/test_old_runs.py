"""Runs that were made before the rooms had their names, and trainings their recipes, still load and go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sr_experiments.app.trained import load_trained
from tests.harness import run
from tests.training.golden import digest, machine, numbers, state_of

OLD = Path(__file__).parents[1] / "old_runs"
AFTER = json.loads((OLD / "after_four.json").read_text())


@pytest.mark.parametrize("name", ["l1_ema", "srgan", "srmd", "srntt"])
def test_an_old_run_folder_loads(name: str) -> None:
    trained = load_trained(OLD / name)
    assert (trained.scale, trained.step) == (4, 2)
    assert all(torch.isfinite(value).all() for value in trained.network.state_dict().values())


def test_an_old_checkpoint_alone_loads(tmp_path: Path) -> None:
    file = tmp_path / "moved.ckpt"
    file.write_bytes((OLD / "l1_ema" / "checkpoints" / "last.ckpt").read_bytes())
    network = load_trained(file).network
    with torch.no_grad():
        assert network(torch.rand(1, 3, 8, 8)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("name", AFTER["runs"])
def test_an_old_run_goes_on_to_the_weights_that_it_would_have_had(name: str, tmp_path: Path) -> None:
    """Two steps of before and two of today are four of before."""
    wanted = AFTER["runs"][name]
    given = [*wanted["overrides"], "trainer.max_steps=4", "data.sets=[]", f"resume={OLD / name}"]
    done = run("train", *given, f"hydra.run.dir={tmp_path}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    state = state_of(torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True))
    assert numbers(state) == pytest.approx(wanted["norms"], rel=1e-4)
    if machine() == AFTER["machine"]:
        assert digest(state) == wanted["digest"]
