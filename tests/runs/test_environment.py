"""Which code a run was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sr_experiments.runs.environment import environment, git_state


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_the_commit_of_the_code_and_whether_it_was_changed(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    assert git_state(code) is None
    git(tmp_path, "init")
    (code / "a.py").write_text("1")
    assert git_state(code) is None  # in a checkout that does not know it, as an installed package may be
    git(tmp_path, "add", "code")
    git(tmp_path, "commit", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert git_state(code) == {"commit": commit, "dirty": False}
    (code / "b.py").write_text("a file that nobody asked to keep")
    assert git_state(code) == {"commit": commit, "dirty": False}
    (code / "a.py").write_text("2")
    assert git_state(code) == {"commit": commit, "dirty": True}


def test_no_git_is_no_trouble(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(Path(__file__).parent) is None


def test_the_environment_is_plain_and_tells_no_user() -> None:
    found = environment()
    assert set(found) == {"git", "cuda", "cudnn", "devices", "platform", "cpus", "host"}
    assert str(Path.home()) not in str(found)
