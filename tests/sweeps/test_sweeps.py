"""Sweeps: what a command means, what its jobs are, how they share a folder and survive, and who comes first."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from sr_experiments.app.compose import compose_config
from sr_experiments.app.trainer import check_run
from sr_experiments.errors import UserError
from sr_experiments.runs.owner import hold, is_held
from sr_experiments.runs.results import write_json
from sr_experiments.shipped import conf_dir
from sr_experiments.sweeps.command import as_override, read_command
from sr_experiments.sweeps.folder import SweepFolder, find_sweep
from sr_experiments.sweeps.job import run_in_sweep
from sr_experiments.sweeps.jobs import Job, compose_jobs, folder_name
from sr_experiments.sweeps.ranking import rank, ranking_table
from sr_experiments.sweeps.runner import duration
from sr_experiments.sweeps.settings import Settings, read_settings
from tests.harness import TINY, command, environment, run

PSNR = Settings(("psnr",), ("max",), None, 0)
SWEEP = {"grid": {}, "keys": {}, "metric": "psnr", "direction": None, "set": None, "retry": 0}


def config_of(preset: str | None = None, **sweep: Any) -> DictConfig:
    """As much of a composed config as says what a sweep is."""
    hydra = {"runtime": {"choices": {"sweep": preset}}}
    return OmegaConf.create({"sweep": {**SWEEP, **sweep}, "hydra": hydra})


def context(*overrides: str) -> tuple[HydraContext, DictConfig]:
    """What Hydra hands to a sweeper."""
    GlobalHydra.instance().clear()
    hydra = Hydra.create_main_hydra2("train", create_config_search_path(str(conf_dir())))
    config = hydra.compose_config("train", list(overrides), RunMode.MULTIRUN)
    return HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config)), config


def test_axes_come_from_the_config_and_the_command_line_wins() -> None:
    config = config_of("x", grid={"loss": ["l1", "mse"], "texture": [0, 1e-6]}, keys={"texture": "a.texture.weight"})
    plain = read_command(["model=small", "seed=1,2"], config)
    assert [(axis.name, axis.key, axis.values()) for axis in plain.axes] == [
        ("loss", "loss", ["l1", "mse"]),
        ("texture", "a.texture.weight", ["0", "1e-06"]),
        ("seed", "seed", ["1", "2"]),
    ]
    assert plain.name == "x"
    assert len(plain.points()) == 8
    assert plain.overrides({"loss": "l1", "texture": "0", "seed": "2"}) == [
        "model=small",
        "loss=l1",
        "a.texture.weight=0",
        "seed=2",
    ]
    narrowed = read_command(["loss=mse", "a.texture.weight=0,1", "sweep.grid.texture=5,6", "resume=auto"], config)
    assert [(axis.name, axis.values()) for axis in narrowed.axes] == [("texture", ["5", "6"])]
    assert narrowed.fixed == ("loss=mse",)
    ranged = read_command([], config_of(grid={"seed": "range(1,4)"}))
    assert ranged.axes[0].values() == ["1", "2", "3"]


def test_a_sweep_is_the_same_whatever_the_values_of_its_axes() -> None:
    config = config_of()
    key = read_command(["a=1", "b=2", "seed=1,2"], config).key()
    assert read_command(["seed=1,2,3", "b=2", "a=1", "resume=auto", "sweep.retry=1"], config).key() == key
    assert read_command(["a=1", "b=3", "seed=1,2"], config).key() != key
    assert read_command(["a=1", "b=2", "lr=1,2"], config).key() != key


@pytest.mark.parametrize(
    "value", [1, 1e-6, True, None, "a/b-c.d", "it's, so", "${x}", "null", ["a", 1, "b,c"], {"k": 2}]
)
def test_values_come_back_from_an_override(value: Any) -> None:
    if value == "null":
        assert as_override(value) == "null"
        return
    (override,) = OverridesParser.create().parse_overrides([f"key={as_override(value)}"])
    found = override.value()
    assert (str(found) if isinstance(value, str) else found) == value


def test_wrong_settings_are_refused() -> None:
    for sweep, message in (
        ({"direction": "up"}, "use max or min"),
        ({"metric": ["psnr", "ssim"], "direction": "max"}, "one direction a metric"),
        ({"metric": 3}, "must name a metric"),
        ({"retry": -1}, "sweep.retry=-1"),
    ):
        with pytest.raises(UserError, match=message):
            read_settings(config_of(**sweep))
    with pytest.raises(UserError, match="has no value"):
        read_command([], config_of(grid={"seed": []}))
    with pytest.raises(UserError, match="hydra/sweeper=optuna"):
        read_command(["a=interval(0,1)"], config_of()).points()


def test_folder_names_say_what_the_job_is_and_need_no_quotes() -> None:
    point = {"loss": "enhancenet_pa", "x": "a/b, 'c'", "seed": "1"}
    name = folder_name(point, "3f2a9c" * 10)
    assert name == "loss-enhancenet_pa+x-a_b_c+seed-1+3f2a9c3f"
    (override,) = OverridesParser.create().parse_overrides([f"init_from=multirun/{name}"])
    assert override.value() == f"multirun/{name}"
    assert len(folder_name({"x": "y" * 500}, "0" * 64)) < 150


PRESETS = {
    "enhancenet_losses": 6,
    "srgan_content": 5,
    "upsamplers": 7,
    "degradations": 6,
    "loss_grid": 18,
    "model_x_loss": 18,
}


@pytest.mark.parametrize("preset", sorted(file.stem for file in (conf_dir() / "sweep").glob("*.yaml")))
def test_every_preset_composes_to_different_jobs(preset: str, tmp_path: Path) -> None:
    overrides = [f"sweep={preset}"]
    if "data.train.hr" in (conf_dir() / "sweep" / f"{preset}.yaml").read_text():
        overrides.append(f"data.train.hr={tmp_path}")
    told: list[str] = []
    hydra, config = context(*overrides)
    assert config.hydra.mode == RunMode.MULTIRUN
    jobs = compose_jobs(hydra, config, read_command(overrides, config), told.append)
    assert told == []
    assert len(jobs) == PRESETS.get(preset, len(jobs)) > 1
    assert len({job.folder for job in jobs}) == len(jobs)


def test_jobs_with_the_same_config_become_one_and_mistakes_are_named() -> None:
    told: list[str] = []
    hydra, config = context("seed=1,2")
    again = [*compose_jobs(hydra, config, read_command(["scale=4", "seed=1,2,1"], config), told.append)]
    assert [job.point["seed"] for job in again] == ["1", "2"]
    assert told == ["seed=1 has the same config as seed=1: it is run once."]
    # Adding a value, or asking for another ranking, leaves the others what they are.
    more = compose_jobs(hydra, config, read_command(["sweep.metric=ssim", "seed=1,2,3"], config), told.append)
    assert [job.identity for job in more[:2]] == [job.identity for job in again]
    assert [job.folder for job in more[:2]] == [job.folder for job in again]
    with pytest.raises(UserError, match=r"no key nothing\..*Job 1 of 2 \(nothing=1\).*No job was started"):
        compose_jobs(hydra, config, read_command(["nothing=1,2"], config), told.append)
    with pytest.raises(UserError, match=r"loss has no option l3.*Job 2 of 2 \(loss=l3\)"):
        compose_jobs(hydra, config, read_command(["loss=l1,l3"], config), told.append)
    with pytest.raises(UserError, match=r"wrong kind.*Job 2 of 2"):
        compose_jobs(hydra, config, read_command(["trainer.max_steps=1,many"], config), told.append)


def entry(psnr: float | None, status: str = "finished", set_name: str = "Set5", **point: str) -> dict[str, Any]:
    test = {set_name: {"psnr": psnr, "ssim": 0.9, "bicubic": {"psnr": 28.0, "ssim": 0.8}}}
    return {"folder": str(point), "status": status, "point": point, "test": test, "seconds": 10.0}


def test_ranking_averages_seeds_and_puts_the_best_first() -> None:
    jobs = [
        entry(29.0, loss="l1", seed="1"),
        entry(31.0, loss="l1", seed="2"),
        entry(30.5, loss="mse", seed="1"),
        entry(40.0, "failed", loss="x", seed="1"),
        entry(40.0, "pruned", loss="y", seed="1"),
        entry(None, loss="z", seed="1"),
    ]
    rows = rank(jobs, PSNR)
    assert [row["point"] for row in rows] == [{"loss": "mse"}, {"loss": "l1"}]
    assert rows[1]["scores"]["psnr"] == {"mean": 30.0, "spread": pytest.approx(2**0.5), "n": 2}
    assert rows[0]["scores"]["psnr"] == {"mean": 30.5, "spread": None, "n": 1}
    assert rows[0]["bicubic"]["psnr"] == 28.0
    assert [row["point"]["loss"] for row in rank(jobs, Settings(("psnr",), ("min",), None, 0))] == ["l1", "mse"]
    assert rank(jobs, Settings(("psnr",), ("max",), "Set14", 0)) == []
    assert rank(jobs, Settings(("seconds",), ("min",), None, 0))[0]["scores"]["seconds"]["mean"] == 10.0


def test_an_infinite_score_is_the_best_of_all_and_is_kept(tmp_path: Path) -> None:
    jobs = [entry(29.0, loss="l1"), *(entry(math.inf, loss="mse", seed=seed) for seed in ("1", "2"))]
    jobs[1]["test"]["Set5"]["bicubic"]["psnr"] = math.inf
    folder = SweepFolder(tmp_path)
    write_json(folder.record_file, {"jobs": jobs})
    assert '"psnr": "inf"' in folder.record_file.read_text()
    record = folder.read()
    assert record is not None
    assert record["jobs"] == jobs
    rows = rank(record["jobs"], PSNR)
    assert [row["point"]["loss"] for row in rows] == ["mse", "l1"]
    assert rows[0]["scores"]["psnr"] == {"mean": math.inf, "spread": None, "n": 2}
    console = Console(width=120, record=True)
    console.print(ranking_table(rows, PSNR))
    (line,) = [line for line in console.export_text().splitlines() if "mse" in line]
    assert line.split() == ["│", "1", "│", "mse", "│", "inf", "│", "0.9000", "±", "0.0000", "│", "│", "2", "│"]


def test_the_pareto_set_is_what_nothing_beats_in_everything() -> None:
    jobs = [entry(30.0, x="a"), entry(31.0, x="b"), entry(29.0, x="c"), entry(29.5, x="d")]
    for job, seconds in zip(jobs, (5.0, 9.0, 6.0, 2.0), strict=True):
        job["seconds"] = seconds
    rows = rank(jobs, Settings(("psnr", "seconds"), ("max", "min"), None, 0))
    assert {row["point"]["x"]: row["pareto"] for row in rows} == {"a": True, "b": True, "c": False, "d": True}


def job_at(**point: str) -> Job:
    text = json.dumps(point)
    return Job(
        point, [f"{name}={value}" for name, value in point.items()], text, folder_name(point, text.encode().hex())
    )


def test_sweep_json_gathers_jobs_of_all_commands_and_their_states(tmp_path: Path) -> None:
    command_one = read_command(["a=1", "seed=1,2"], config_of())
    folder = SweepFolder(tmp_path / "sweep")
    folder.check_belongs(command_one, resume=False)
    jobs = [job_at(seed="1"), job_at(seed="2"), job_at(seed="3")]
    folder.join(command_one, PSNR, jobs[:2])
    folder.join(command_one, PSNR, [jobs[0], jobs[2]])
    record = folder.read()
    assert record is not None
    assert [job["point"]["seed"] for job in record["jobs"]] == ["1", "2", "3"]
    assert record["axes"]["seed"]["values"] == ["1", "2", "3"]
    assert {job["status"] for job in record["jobs"]} == {"waiting"}

    def results(job: Job, **content: Any) -> None:
        (folder.path / job.folder).mkdir(exist_ok=True)
        (folder.path / job.folder / "results.json").write_text(json.dumps(content))

    scores = {"psnr": 30.0, "images": {"a": {}}, "bicubic": {"psnr": 28.0}}
    results(jobs[0], status="finished", seconds=3.5, test={"Set5": scores})
    results(jobs[1], status="failed", error="UserError: the first line\nthe last line")
    (folder.path / jobs[2].folder / ".hydra").mkdir(parents=True)
    (folder.path / jobs[2].folder / ".hydra" / "config.yaml").touch()
    one, two, three = folder.refresh()["jobs"]
    assert (one["status"], one["seconds"], one["test"]["Set5"]["psnr"]) == ("finished", 3.5, 30.0)
    assert "images" not in one["test"]["Set5"]
    assert (two["status"], two["error"]) == ("failed", "the last line")
    assert two["log"].endswith("train.log")
    assert three["status"] == "interrupted"
    assert [row["jobs"] for row in folder.refresh()["ranking"]] == [[jobs[0].folder]]

    with pytest.raises(UserError, match="add resume=auto"):
        folder.check_belongs(command_one, resume=False)
    folder.check_belongs(command_one, resume=True)
    with pytest.raises(UserError, match="belongs to another sweep"):
        folder.check_belongs(read_command(["a=2", "seed=1,2"], config_of()), resume=True)
    assert find_sweep(tmp_path, read_command(["a=1", "seed=7"], config_of(grid={"seed": [7]}))) is None
    assert find_sweep(tmp_path, read_command(["a=1", "seed=7,8"], config_of())) == folder.path


HOLDER = """
import sys
from pathlib import Path
from filelock import FileLock
lock = FileLock(Path(sys.argv[1]) / "run.lock")
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_seen_by_others_and_ends_with_its_owner(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        assert is_held(tmp_path)
        with hold(tmp_path, timeout=0.1) as held:
            assert not held
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    assert not is_held(tmp_path)
    with hold(tmp_path, timeout=0) as held, hold(tmp_path, timeout=0) as again:
        assert held
        assert again  # a sweep that runs its jobs itself holds the lock already
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_a_job_leaves_results_whatever_happens_and_is_not_done_twice(tmp_path: Path) -> None:
    job, config = job_at(seed="1"), config_of()
    SweepFolder(tmp_path).join(read_command(["seed=1,2"], config), PSNR, [job])
    folder = tmp_path / job.folder
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps({"status": "failed", "error": "of before"}))

    def breaks(config: DictConfig) -> None:
        assert not (folder / "results.json").exists()
        raise ValueError("outer") from UserError("what to do")

    with pytest.raises(ValueError, match="outer"):
        run_in_sweep(breaks, config, folder)
    assert json.loads((folder / "results.json").read_text()) == {"status": "failed", "error": "UserError: what to do"}

    def stops(config: DictConfig) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_sweep(stops, config, folder)
    assert json.loads((folder / "results.json").read_text())["status"] == "interrupted"

    def works(config: DictConfig) -> None:
        results = {"status": "finished", "test": {"Set5": {"psnr": 31.5}}}
        (folder / "results.json").write_text(json.dumps(results))

    assert run_in_sweep(works, config, folder) == [31.5]
    assert run_in_sweep(breaks, config, folder) == [31.5]
    assert record_of(tmp_path)["jobs"][0]["status"] == "finished"
    # A folder of Hydra's own sweeper is named by number, so what lies there may be anything.
    (tmp_path / "sweep.json").unlink()
    with pytest.raises(ValueError, match="outer"):
        run_in_sweep(breaks, config, folder)


def test_runs_are_named_after_their_place_in_the_sweep(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "2026-01-31" / "12-00-00")
    job = job_at(loss="l1", seed="2")
    folder.join(read_command(["loss=l1,mse", "seed=1,2"], config_of("demo")), PSNR, [job])
    choices = {"model": "small", "loss": "l1", "upsampler": "transposed", "degradation": None, "data": "sample"}
    names = OmegaConf.create({"name": "${run:name}", "sweep": "${run:sweep}", "tags": "${run:tags}"})
    before = HydraConfig.instance().cfg
    HydraConfig.instance().cfg = None
    assert dict(names) == {"name": None, "sweep": None, "tags": []}
    try:
        for output_dir, expected in (
            (folder.path / job.folder, ("loss=l1, seed=2", "demo 2026-01-31/12-00-00")),
            (tmp_path / "outputs" / "run", (None, None)),
        ):
            hydra = {"runtime": {"output_dir": str(output_dir), "choices": choices}}
            HydraConfig.instance().cfg = OmegaConf.create({"hydra": hydra})
            assert (names.name, names.sweep) == expected
            assert names.tags == ["model=small", "loss=l1", "upsampler=transposed"]
    finally:
        HydraConfig.instance().cfg = before


def test_the_sweep_file_for_wandb_calls_a_command_that_composes() -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    sweep = yaml.safe_load((Path(__file__).parents[2] / "docs" / "wandb_sweep.yaml").read_text())
    picked = {
        name: {"value": spec.get("min", spec.get("values", [None])[0])} for name, spec in sweep["parameters"].items()
    }
    words = sweep["command"]
    arguments = [*words[1:-1], *create_sweep_command_args({"args": picked})["args_no_hyphens"]]
    assert (words[0], words[-1]) == ("sr-train", "${args_no_hyphens}")
    config = compose_config("train", [*arguments, "paths.run_folder=x"])
    assert config.loss.terms.tv.weight == 1e-6
    check_run(config)
    assert config.callbacks.checkpoints.monitor == sweep["metric"]["name"]


@pytest.mark.parametrize(("seconds", "words"), [(12, "12 s"), (300, "5 min"), (9000, "2.5 h")])
def test_times_are_told_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


RUN = [*TINY, "trainer.max_steps=2", "trainer.val_check_interval=2"]


def record_of(sweep: Path) -> dict[str, Any]:
    return json.loads((sweep / "sweep.json").read_text())


def test_a_sweep_with_a_failing_job_ends_with_a_ranking_and_can_be_extended(tmp_path: Path) -> None:
    axes = ["-m", "loss=l1,mse", "init_from=null,nowhere.ckpt"]
    first = run("train", *axes, *RUN, cwd=tmp_path, timeout=600)
    assert first.returncode == 1, first.stderr
    (sweep,) = (file.parent for file in tmp_path.glob("multirun/*/*/sweep.json"))
    states = {job["title"]: job["status"] for job in record_of(sweep)["jobs"]}
    assert states == {
        "loss=l1, init_from=null": "finished",
        "loss=l1, init_from=nowhere.ckpt": "failed",
        "loss=mse, init_from=null": "finished",
        "loss=mse, init_from=nowhere.ckpt": "failed",
    }
    assert "4 jobs" in first.stdout
    assert "Ranked by psnr (max) on sample" in first.stdout
    assert "failed: loss=l1, init_from=nowhere.ckpt: There is no checkpoint nowhere.ckpt" in first.stdout
    assert "2 of 4 jobs did not finish: 2 failed" in first.stderr
    failed = next(job for job in record_of(sweep)["jobs"] if job["status"] == "failed")
    assert "Traceback" in Path(failed["log"]).read_text()
    assert "Traceback" not in first.stderr
    before = {file: file.stat().st_mtime_ns for file in sweep.glob("*/results.json")}

    axes[1] = "loss=l1,mse,smooth_l1"
    second = run("train", *axes, *RUN, "resume=auto", cwd=tmp_path, timeout=600)
    assert second.returncode == 1, second.stderr
    assert "6 jobs (2 done already, 2 failed before, 2 run)" in second.stdout
    assert [job["status"] for job in record_of(sweep)["jobs"]].count("finished") == 3
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert {row["point"]["loss"] for row in record_of(sweep)["ranking"]} == {"l1", "mse", "smooth_l1"}


def start(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("train", *arguments),
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


LONG = [*TINY, "trainer.max_steps=60", "trainer.val_check_interval=30", "callbacks.checkpoints.every=5"]


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    calm = run("train", *LONG, "seed=2", "hydra.run.dir=calm", cwd=tmp_path, timeout=600)
    assert calm.returncode == 0, calm.stderr
    arguments = ["-m", "seed=1,2,3", *LONG, "hydra.sweep.dir=sweep"]
    process = start(tmp_path, *arguments)
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("sweep/seed-2*/checkpoints/last.ckpt")):
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (first,) = tmp_path.glob("sweep/seed-1*/results.json")
    before = first.stat().st_mtime_ns

    done = run("train", *arguments, "resume=auto", cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "3 jobs (1 done already, 1 go on, 1 run)" in done.stdout
    assert first.stat().st_mtime_ns == before
    (resumed,) = tmp_path.glob("sweep/seed-2*/metrics.csv")
    assert resumed.read_text() == (tmp_path / "calm" / "metrics.csv").read_text()


@pytest.mark.slow
def test_two_commands_share_a_sweep_and_one_takes_over_from_the_other(tmp_path: Path) -> None:
    arguments = ["-m", "seed=1,2,3,4", *LONG, "resume=auto", "hydra.sweep.dir=sweep"]
    one, two = start(tmp_path, *arguments), start(tmp_path, *arguments)
    outputs = [process.communicate(timeout=400)[0] for process in (one, two)]
    assert [one.returncode, two.returncode] == [0, 0], outputs
    jobs = [sum(line.startswith("Job ") for line in output.splitlines()) for output in outputs]
    assert sum(jobs) == 4
    assert min(jobs) >= 1
    for output in outputs:
        assert "Ranked by psnr" in output
    assert [job["status"] for job in record_of(tmp_path / "sweep")["jobs"]] == ["finished"] * 4

    # The owner of a job dies while another command waits for it.
    more = [argument.replace("1,2,3,4", "5,6") for argument in arguments]
    one = start(tmp_path, *more)
    while not list(tmp_path.glob("sweep/seed-5*/metrics.csv")):
        assert one.poll() is None, one.stdout and one.stdout.read()
        time.sleep(0.05)
    two = start(tmp_path, *more)
    while not list(tmp_path.glob("sweep/seed-6*/metrics.csv")):
        assert two.poll() is None, two.stdout and two.stdout.read()
        time.sleep(0.01)
    os.killpg(one.pid, signal.SIGKILL)
    one.wait()
    output = two.communicate(timeout=300)[0]
    assert two.returncode == 0, output
    assert [job["status"] for job in record_of(tmp_path / "sweep")["jobs"]] == ["finished"] * 6


@pytest.mark.slow
def test_hopeless_jobs_are_pruned(tmp_path: Path) -> None:
    pruning = ["callbacks=[default,pruning]", "callbacks.pruning.after=2", "callbacks.pruning.jobs=2"]
    steps = ["trainer.max_steps=6", "trainer.val_check_interval=2"]
    arguments = ["-m", "optimizer.learning_rate=2e-3,1e-3,1e-9", *TINY, *steps, *pruning, "hydra.sweep.dir=sweep"]
    done = run("train", *arguments, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    record = record_of(tmp_path / "sweep")
    assert [job["status"] for job in record["jobs"]] == ["finished", "finished", "pruned"]
    assert [job["steps"] for job in record["jobs"]] == [6, 6, 2]
    assert len(record["ranking"]) == 2
    assert "pruned: optimizer.learning_rate=1e-09" in done.stdout


@pytest.mark.slow
def test_optuna_searches_intervals_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    arguments = ["-m", "hydra/sweeper=optuna", "optimizer.learning_rate=tag(log,interval(1e-4,1e-2))", "loss=l1,mse"]
    two = ["sweep.metric=[psnr,ssim]", "sweep.direction=[max,max]", "hydra.sweep.dir=sweep"]
    first = run("train", *arguments, *RUN, *two, "hydra.sweeper.trials=2", cwd=tmp_path, timeout=600)
    assert first.returncode == 0, first.stderr
    assert "Pareto" in first.stdout
    second = run("train", *arguments, *RUN, *two, "hydra.sweeper.trials=3", "resume=auto", cwd=tmp_path, timeout=600)
    assert second.returncode == 0, second.stderr
    jobs = record_of(tmp_path / "sweep")["jobs"]
    assert len(jobs) == 3
    assert all(1e-4 <= float(job["point"]["optimizer.learning_rate"]) <= 1e-2 for job in jobs)
    assert len({job["folder"] for job in jobs}) == 3
