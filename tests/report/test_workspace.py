"""The view for W&B: its layout without a server, and the request for it against one on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sr_experiments.errors import UserError
from sr_experiments.report.read import Run, find_runs
from tests import harness
from tests.harness import environment
from tests.report.folders import scores, write_run, write_sweep

workspace = pytest.importorskip("sr_experiments.report.workspace")
pytest.importorskip("wandb_workspaces", reason="the optional library wandb-workspaces is not installed")


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    write_sweep(tmp_path / "sweep", 6, 3)
    found, _ = find_runs([tmp_path / "sweep"])
    for number, run in enumerate(found):
        (run.folder / "wandb").mkdir()
        (run.folder / "wandb" / "run_id").write_text(f"id{number}\n")
    return found


def spec(runs: list[Run]) -> dict[str, Any]:
    """The view as it would be sent."""
    view = workspace.build_workspace(runs, "me/sr", "weights of a loss")._to_model()
    assert (view.entity, view.project, view.display_name) == ("me", "sr", "weights of a loss")
    return json.loads(view.spec.model_dump_json(by_alias=True, exclude_none=True))["section"]


def panels(found: dict[str, Any], section: str) -> list[dict[str, Any]]:
    sections = {part["name"]: part["panels"] for part in found["panelBankConfig"]["sections"]}
    return sections.get(section, [])


def test_every_section_shows_what_the_runs_have(runs: list[Run]) -> None:
    found = spec(runs)
    assert [part["name"] for part in found["panelBankConfig"]["sections"]] == [
        "Test",
        "Distortion and perception",
        "What matters",
        "Validation",
        "Training",
        "The game",
        "Pictures",
    ]
    assert [panel["config"]["metrics"] for panel in panels(found, "Test")] == [
        ["test/sample/psnr"],
        ["test/sample/ssim"],
        ["test/sample/lpips"],
    ]
    (plane,) = panels(found, "Distortion and perception")
    assert (plane["config"]["xAxis"], plane["config"]["yAxis"]) == (
        "summary:test/sample/psnr",
        "summary:test/sample/lpips",
    )
    for name in ("Training", "Validation", "The game"):
        for panel in panels(found, name):
            assert panel["config"]["xAxis"] == "trainer/global_step"
    logged = {name for run in runs for name in run.curves}
    curves = [panel for name in ("Training", "Validation", "The game") for panel in panels(found, name)]
    drawn = {name for panel in curves for name in panel["config"]["metrics"]}
    assert drawn == {name for name in logged if not name.endswith("_weight")}
    game = {name for panel in panels(found, "The game") for name in panel["config"]["metrics"]}
    assert game >= {"train/d_real", "train/d_fake", "train/gradient_norm"}
    shown = [panel["config"].get("mediaKeys") for panel in panels(found, "Pictures")]
    assert shown[:2] == [["images/crops_sheet"], ["images/best_and_worst_sheet"]]
    assert "images/crops" in json.dumps(panels(found, "Pictures")[2])


def test_axes_are_what_sets_the_runs_apart(runs: list[Run]) -> None:
    found = spec(runs)
    plot, *importance = panels(found, "What matters")
    columns = {column["accessor"]: column.get("inverted") for column in plot["config"]["columns"]}
    assert columns == {
        "config:loss.value.terms.perceptual.weight": None,
        "config:seed.value": None,
        "summary:test/sample/psnr": False,
        "summary:test/sample/ssim": False,
        "summary:test/sample/lpips": True,
    }
    assert [panel["config"]["targetKey"] for panel in importance] == [
        "test/sample/psnr",
        "test/sample/ssim",
        "test/sample/lpips",
    ]
    (runset,) = found["runSets"]
    assert "config:loss.value.terms.perceptual.weight" in runset["runFeed"]["columnPinned"]


def test_it_shows_these_runs_and_no_others(runs: list[Run]) -> None:
    (runset,) = spec(runs)["runSets"]
    (rule,) = runset["filters"]["filters"]
    assert (rule["key"], rule["op"]) == ({"section": "run", "name": "name"}, "IN")
    assert rule["value"] == [f"id{number}" for number in range(len(runs))]


def test_options_of_groups_are_found_among_the_choices(tmp_path: Path) -> None:
    for number, option in enumerate(("l1", "mse")):
        folder = write_run(tmp_path / str(number), {"loss": option}, images=scores(["a"], 25 + number))
        hydra = {"hydra": {"job": {"config_name": "train"}, "runtime": {"choices": {"loss": option}}}}
        (folder / ".hydra" / "hydra.yaml").write_text(json.dumps(hydra))
    found, _ = find_runs([tmp_path])
    assert workspace.config_keys(found) == ["choices.loss"]


def test_sections_without_anything_to_show_are_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "one", {"seed": 1})
    (folder / "wandb").mkdir()
    (folder / "wandb" / "run_id").write_text("a1")
    found, _ = find_runs([tmp_path])
    assert [part["name"] for part in spec(found)["panelBankConfig"]["sections"]] == ["Pictures"]


def test_a_spoilt_wandb_folder_leaves_a_run_out(runs: list[Run]) -> None:
    (runs[0].folder / "wandb" / "run_id").write_bytes(b"\xff\0")
    (runs[1].folder / "wandb" / "run_id").unlink()
    (runset,) = spec(runs)["runSets"]
    assert runset["filters"]["filters"][0]["value"] == ["id2", "id3", "id4", "id5"]
    for run in runs[2:]:
        (run.folder / "wandb" / "run_id").unlink()
    with pytest.raises(UserError, match="None of these runs was logged to W&B"):
        spec(runs)


class Server(ThreadingHTTPServer):
    """Answers like W&B, as far as a view needs it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.views: list[dict[str, Any]] = []


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = json.loads(body) if self.path == "/graphql" else {}
        query, given = asked.get("query", ""), asked.get("variables") or {}
        data: dict[str, Any] = {}
        if "upsertView" in query:
            self.server.views.append(given)
            data = {"upsertView": {"view": {"id": "abc", "name": given["name"]}, "inserted": True}}
        elif "viewer" in query:
            data = {"viewer": {"id": "x", "username": "me", "entity": "me", "flags": "{}", "teams": {"edges": []}}}
        answer = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def report(folder: Path, target: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in environment().items() if not name.startswith("WANDB")}
    variables = {**kept, "HOME": str(home), "WANDB_SILENT": "true", **variables}
    words = [str(folder), "--wandb", target, "--title", "weights"]
    return harness.run("report", *words, cwd=folder.parent, variables=variables)


def test_the_command_draws_the_page_and_saves_the_view(runs: list[Run], server: Server, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{server.server_port}"
    done = report(
        tmp_path / "sweep", "me/sr", tmp_path / "home", WANDB_BASE_URL=address, WANDB_API_KEY="0123456789" * 4
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sweep" / "report.html").exists()
    (view,) = server.views
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("me", "sr", "weights")
    assert json.loads(view["spec"])["section"]["runSets"][0]["filters"] == spec(runs)["runSets"][0]["filters"]
    assert f"View in W&B: {address}/me/sr?nw=" in done.stdout


def test_without_a_login_it_says_so_before_it_begins(runs: list[Run], tmp_path: Path) -> None:
    done = report(tmp_path / "sweep", "me/sr", tmp_path / "home")
    assert done.returncode == 2
    assert "--wandb needs a login: run `wandb login` once, or set WANDB_API_KEY." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "sweep" / "report.html").exists()


@pytest.mark.parametrize("target", ["sr", "me/", "/sr", "me/sr/run", "me /sr"])
def test_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(UserError, match="give ENTITY/PROJECT"):
        workspace.check_target(target)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(UserError, match=r"pip install 'sr-experiments\[workspaces\]'"):
        workspace.check_target("me/sr")


def test_a_server_that_is_out_of_reach_is_named(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def save(self) -> None:
            raise OSError("connection refused")

    monkeypatch.setattr(workspace, "build_workspace", lambda *given: Broken())
    with pytest.raises(UserError, match=r"W&B did not take the view for me/sr \(connection refused\)"):
        workspace.save_workspace(runs, "me/sr", "x")
    assert os.environ.get("WANDB_BASE_URL") is None
