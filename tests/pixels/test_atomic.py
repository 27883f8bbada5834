from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sr_experiments.pixels.atomic import remove_unfinished, replacing


def test_a_file_takes_its_place_only_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    for text in ("one", "two"):
        before = path.read_text() if path.exists() else None
        with replacing(path) as unfinished:
            unfinished.write_text(text)
            assert (path.read_text() if path.exists() else None) == before
        assert path.read_text() == text
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("good")
    with pytest.raises(TypeError), replacing(path) as unfinished:
        unfinished.write_text(12)  # type: ignore[arg-type]
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file.txt", "good")]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    with replacing(path) as unfinished:
        unfinished.write_text("whole")
    assert path.read_text() == "whole"


def test_many_writers_of_one_file_leave_one_of_theirs_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"

    def write(letter: str) -> None:
        for _ in range(50):
            with replacing(path) as unfinished:
                unfinished.write_text(letter * 10_000)
            assert len(set(path.read_text())) == 1

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text() in {letter * 10_000 for letter in "abcd"}


def test_what_was_left_unfinished_can_be_removed(tmp_path: Path) -> None:
    for name in (".dead.tmp", "kept.tmp", ".kept"):
        (tmp_path / name).write_text("half")
    remove_unfinished(tmp_path)
    remove_unfinished(tmp_path / "none")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".kept", "kept.tmp"]
