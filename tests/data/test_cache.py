import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sr_experiments.data.cache import Cache, default_cache_folder
from sr_experiments.data.images import read_image, write_png
from sr_experiments.errors import UserError

BUILD = """
import resource, sys
from pathlib import Path
from sr_experiments.data.cache import Cache
from sr_experiments.errors import exit_with_message
folder, limit, *paths = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
print("ready", flush=True)
def build():
    print("decoded", Cache(folder).build(paths, workers=2))
sys.exit(exit_with_message(build))
"""


def builder(folder: Path, paths: list[Path], file_limit: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(folder), str(file_limit), *map(str, paths)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def photos(folder: Path, count: int, side: int = 24) -> list[Path]:
    random = np.random.default_rng(count)
    paths = [folder / f"{number}.png" for number in range(count)]
    for path in paths:
        write_png(path, random.integers(0, 256, (side, side + 4, 3), dtype=np.uint8))
    return paths


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.npy"))


def test_holds_what_was_decoded(tmp_path: Path) -> None:
    paths = photos(tmp_path / "photos", 5)
    cache = Cache(tmp_path / "cache")
    assert cache.build(paths) == 5
    assert cache.build([*paths, paths[0]]) == 0
    for path in paths:
        assert cache.size(path) == (24, 28)
        pixels = cache.open(path)
        assert isinstance(pixels, np.memmap)
        assert not pixels.flags.writeable
        np.testing.assert_array_equal(pixels, read_image(path))


def test_changed_file_is_decoded_again_and_its_old_entry_removed(tmp_path: Path) -> None:
    paths = photos(tmp_path / "photos", 3)
    Cache(tmp_path / "cache").build(paths)
    before = entries(tmp_path / "cache")
    write_png(paths[1], np.full((9, 7, 3), 5, np.uint8))
    cache = Cache(tmp_path / "cache")
    with pytest.raises(UserError, match=r"1\.png is not in the cache .*changed"):
        cache.size(paths[1])
    assert cache.build(paths) == 1
    assert cache.size(paths[1]) == (9, 7)
    after = entries(tmp_path / "cache")
    assert len(after) == 3
    assert len(set(after) & set(before)) == 2


def test_touched_file_counts_as_changed(tmp_path: Path) -> None:
    [path] = photos(tmp_path / "photos", 1)
    cache = Cache(tmp_path / "cache")
    cache.build([path])
    os.utime(path, ns=(1, 1))
    assert cache.build([path]) == 1


def test_relative_and_absolute_paths_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [path] = photos(tmp_path / "photos", 1)
    cache = Cache(tmp_path / "cache")
    cache.build([path])
    monkeypatch.chdir(path.parent)
    assert cache.build([path.name]) == 0


def test_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SR_CACHE", str(tmp_path / "named"))
    assert default_cache_folder() == Cache().folder == tmp_path / "named"
    monkeypatch.delenv("SR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "sr_experiments"


def test_two_processes_build_at_once(tmp_path: Path) -> None:
    paths = photos(tmp_path / "photos", 12, side=200)
    builders = [builder(tmp_path / "cache", paths) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in builders]
    assert [process.returncode for process in builders] == [0, 0], outputs
    assert sorted(int(out.split()[-1]) for out, _ in outputs) == [0, 12]
    assert len(entries(tmp_path / "cache")) == 12
    cache = Cache(tmp_path / "cache")
    for path in paths:
        np.testing.assert_array_equal(cache.open(path), read_image(path))


def test_killed_builder_leaves_nothing_half_written(tmp_path: Path) -> None:
    paths = photos(tmp_path / "photos", 30, side=400)
    process = builder(tmp_path / "cache", paths)
    deadline = time.monotonic() + 60
    while not entries(tmp_path / "cache") and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    stored = len(entries(tmp_path / "cache"))
    assert 0 < stored < 30
    (tmp_path / "cache" / ".dead.tmp").write_bytes(b"half")

    cache = Cache(tmp_path / "cache")
    assert cache.build(paths) == 30 - stored
    assert not list((tmp_path / "cache").glob(".*.tmp"))
    for path in paths:
        np.testing.assert_array_equal(cache.open(path), read_image(path))


def test_full_disk_names_folder_and_bytes(tmp_path: Path) -> None:
    paths = photos(tmp_path / "photos", 2, side=400)
    process = builder(tmp_path / "cache", paths, file_limit=100_000)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in error
    assert f"cannot write to the cache folder {tmp_path / 'cache'}" in error
    assert f"{2 * 400 * 404 * 3:,} bytes" in error
    assert not entries(tmp_path / "cache")
    assert not list((tmp_path / "cache").glob(".*.tmp"))


def test_unreadable_photo_stops_the_build_and_keeps_what_was_done(tmp_path: Path) -> None:
    paths = photos(tmp_path / "photos", 3)
    paths[1].write_bytes(b"broken")
    with pytest.raises(UserError, match=r"1\.png"):
        Cache(tmp_path / "cache").build(paths, workers=1)
    with pytest.raises(UserError, match=r"no file .*gone\.png"):
        Cache(tmp_path / "cache").build([tmp_path / "gone.png"])


def test_cache_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(UserError, match=f"cannot use the cache folder {tmp_path / 'cache'}"):
        Cache(tmp_path / "cache").build(photos(tmp_path / "photos", 1))


def test_deleted_or_damaged_entry_is_named(tmp_path: Path) -> None:
    [path] = photos(tmp_path / "photos", 1)
    cache = Cache(tmp_path / "cache")
    cache.build([path])
    [entry] = (tmp_path / "cache").glob("*.npy")
    cache.find([path])
    entry.write_bytes(entry.read_bytes()[:200])
    with pytest.raises(UserError, match=entry.name):
        cache.open(path)
    entry.unlink()
    with pytest.raises(UserError, match="gone from"):
        cache.open(path)


def test_memory_does_not_grow_with_the_photographs(tmp_path: Path) -> None:
    [path] = photos(tmp_path / "photos", 1, side=300)
    cache = Cache(tmp_path / "cache")
    cache.build([path])
    cache.open(path).sum()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(1000):  # 270 kB each
        cache.open(path)[number % 300].sum()
        cache.open(path).sum()
    if Path("/proc/self/fd").is_dir():
        assert len(list(Path("/proc/self/fd").iterdir())) < 100
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 20_000_000
