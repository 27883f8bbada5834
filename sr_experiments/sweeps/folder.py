"""The folder of a sweep: sweep.json with its description and progress."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock
from omegaconf import DictConfig

from sr_experiments.errors import UserError
from sr_experiments.pixels.below import is_plain
from sr_experiments.runs.folder import RunFolder, sweep_record
from sr_experiments.runs.owner import is_held
from sr_experiments.runs.results import read_results, with_infinite, write_json
from sr_experiments.sweeps.command import Command
from sr_experiments.sweeps.jobs import Job, choices_of
from sr_experiments.sweeps.ranking import rank
from sr_experiments.sweeps.settings import Settings

# States of a job after which nothing is left to run.
ENDED = ("finished", "pruned")


class SweepFolder:
    """A sweep on disk. Any number of processes may use it at once.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.record_file = sweep_record(self.path)

    def read(self) -> dict[str, Any] | None:
        """The content of sweep.json; None where there is none.

        Raises:
            UserError: the file is there and cannot be read.
        """
        try:
            record = json.loads(self.record_file.read_text())
            assert isinstance(record, dict), "it is not a mapping"
            for entry in record.get("jobs", ()):
                if not is_plain(entry["folder"]):
                    raise ValueError(f"it names a job's folder {entry['folder']!r}, outside the sweep")
                if "test" in entry:
                    entry["test"] = with_infinite(entry["test"])
            return record
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AssertionError) as error:
            raise UserError(f"{self.record_file} cannot be read: {error}.") from error

    def check_belongs(self, command: Command, resume: bool) -> None:
        """Refuse the folder of another sweep, and one in which this sweep was already started.

        Raises:
            UserError: it is either.
        """
        record = self.read()
        if record is None:
            return
        self._check_key(record, command)
        if not resume:
            raise UserError(f"{self.path} holds this sweep already: add resume=auto to go on with it or to join it.")

    def _check_key(self, record: dict[str, Any], command: Command) -> None:
        if record.get("key") != command.key():
            raise UserError(
                f"{self.path} belongs to another sweep (axes {', '.join(record.get('axes', ())) or 'none'}; all jobs "
                f"with {' '.join(record.get('overrides', ())) or 'the defaults'}): give this one another "
                "hydra.sweep.dir."
            )

    def join(self, command: Command, settings: Settings, jobs: Iterable[Job]) -> None:
        """Add the jobs to sweep.json, beside those of other commands, and update it.

        Raises:
            UserError: the folder has become another sweep's.
        """
        with self.lock():
            record = self.read() or {
                "format": 1,
                "key": command.key(),
                "name": command.name,
                "overrides": list(command.fixed),
                "axes": {axis.name: {"key": axis.key, "values": []} for axis in command.axes},
                "jobs": [],
            }
            self._check_key(record, command)  # another command may have been first
            record.update(metric=list(settings.metrics), direction=list(settings.directions), set=settings.set_name)
            known = {entry["identity"] for entry in record["jobs"]}
            for job in jobs:
                if job.identity not in known:
                    entry = {"title": job.title, "folder": job.folder, "point": job.point, "overrides": job.overrides}
                    record["jobs"].append({**entry, "identity": job.identity})
            for name, values in choices_of(jobs).items():
                listed = record["axes"][name]["values"]
                listed += [value for value in values if value not in listed]
            self._write(record)

    def refresh(self) -> dict[str, Any]:
        """Update sweep.json from the jobs' folders, and return it."""
        with self.lock():
            record = self.read()
            assert record is not None
            self._write(record)
            return record

    def entries(self, jobs: Iterable[Job]) -> list[dict[str, Any]]:
        """The present state of these jobs."""
        return [{"title": job.title, "folder": job.folder, **self.state(job.folder)} for job in jobs]

    def _write(self, record: dict[str, Any]) -> None:
        for entry in record["jobs"]:
            for key in ("status", "error", "log", "seconds", "steps", "parameters", "test"):
                entry.pop(key, None)
            entry.update(self.state(entry["folder"]))
        record["ranking"] = rank(record["jobs"], Settings(*_settings_of(record)))
        write_json(self.record_file, record)

    def state(self, name: str) -> dict[str, Any]:
        """The `status` of a job (waiting, running, interrupted, failed, pruned, finished) and its results."""
        folder = self.path / name
        results = read_results(folder)
        if results is None:
            if is_held(folder):
                return {"status": "running"}
            begun = RunFolder(folder).is_run()
            return {"status": "interrupted", "log": str(RunFolder(folder).log())} if begun else {"status": "waiting"}
        state: dict[str, Any] = {
            key: results[key] for key in ("status", "seconds", "steps", "parameters") if key in results
        }
        if results.get("error"):
            state["error"] = str(results["error"]).strip().splitlines()[-1]
        if results["status"] != "finished":
            state["log"] = str(RunFolder(folder).log())
        if "test" in results:
            state["test"] = {
                name: {key: value for key, value in scores.items() if key != "images"}
                for name, scores in results["test"].items()
            }
        return state

    def lock(self) -> FileLock:
        """The lock of sweep.json."""
        self.path.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / "sweep.lock")


def _settings_of(record: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...], str | None, int]:
    return tuple(record["metric"]), tuple(record["direction"]), record["set"], 0


def find_sweep(root: Path, command: Command) -> Path | None:
    """The newest folder below `root` of the same sweep as this command."""
    found = []
    for file in root.glob(f"**/{sweep_record(root).name}"):
        try:
            record = SweepFolder(file.parent).read() or {}
        except UserError:
            continue  # a sweep whose sweep.json is unreadable cannot be resumed
        if record.get("key") == command.key():
            found.append(file.parent)
    return max(found, key=lambda folder: sweep_record(folder).stat().st_mtime) if found else None


def choose_folder(config: DictConfig, command: Command, resume: bool, root: Path) -> tuple[SweepFolder, bool]:
    """The folder of a sweep, and whether the sweep is resumed there.

    Args:
        config: the composed config of the sweep.
        command: the sweep as it was requested.
        resume: whether an earlier sweep is to be resumed.
        root: where to look for earlier sweeps, if the command names no folder.

    Raises:
        UserError: the folder belongs to another sweep, or `resume` is missing.
    """
    given = any(word.startswith("hydra.sweep.dir=") for word in config.hydra.overrides.hydra)
    path = Path(config.hydra.sweep.dir)
    if resume and not given:
        path = find_sweep(root, command) or path
    folder = SweepFolder(path)
    folder.check_belongs(command, resume)
    return folder, folder.read() is not None
