"""What is done before and after one job of a sweep, in the process that runs it."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sr_experiments.errors import find_user_error
from sr_experiments.runs.folder import RunFolder
from sr_experiments.runs.owner import hold
from sr_experiments.runs.results import clear_results, read_results, write_failure, write_json, write_results
from sr_experiments.sweeps.folder import ENDED, SweepFolder
from sr_experiments.sweeps.ranking import score
from sr_experiments.sweeps.settings import read_settings

log = logging.getLogger(__name__)


def run_in_sweep(task: Callable[[DictConfig], Any], config: DictConfig, folder: Path) -> list[float] | None:
    """Run a job unless another command runs or has run it; keep its results and sweep.json up to date.

    Args:
        task: runs one training.
        config: the job's composed config.
        folder: the job's folder; the sweep's is around it.

    Returns:
        The job's values of the metrics that rank the sweep; None where it has none.
    """
    if int(os.environ.get("SLURM_PROCID", "0")) > 0:
        if await_decision(folder):
            task(config)
        return None
    sweep = SweepFolder(folder.parent) if RunFolder(folder).sweep_record.exists() else None
    with hold(folder) as held:
        results = read_results(folder)
        is_done = sweep is not None and results is not None and results["status"] in ENDED
        takes = held and not is_done
        decide(folder, takes)
        if not held:
            log.info("%s is running elsewhere.", folder.name)
            return None
        if takes:
            # Results of an earlier attempt must not be taken for the outcome of this one.
            clear_results(folder)
            try:
                task(config)
                _mark_pruned(folder)
            except BaseException as error:
                if isinstance(error, Exception):
                    log_to_file(error)
                # Our own message instead of the library's exception around it.
                sentence = find_user_error(error)
                if sentence is not None or read_results(folder) is None:
                    write_failure(folder, sentence or error)
                raise
            finally:
                if sweep is not None:
                    sweep.refresh()
    settings = read_settings(config)
    state = {**(read_results(folder) or {})}
    values = [score(state, metric, settings.set_name) for metric in settings.metrics]
    return [value for value in values if value is not None] if None not in values else None


def decide(folder: Path, takes: bool) -> None:
    """Tell the other processes that SLURM started for this job whether it is run here."""
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        write_json(decision_file(folder), {"takes": takes})


def await_decision(folder: Path) -> bool:
    """Whether the first process of this job runs it."""
    file = decision_file(folder)
    while not file.exists():
        time.sleep(0.2)
    return bool(json.loads(file.read_text())["takes"])


def decision_file(folder: Path) -> Path:
    """A file for this start of this SLURM job: one that was put back into the queue decides anew."""
    start = [os.environ.get(f"SLURM_{name}", "0") for name in ("JOB_ID", "STEP_ID", "RESTART_COUNT")]
    return folder / f"slurm-{'-'.join(start)}.json"


def _mark_pruned(folder: Path) -> None:
    """Write into results.json that a job was stopped because others were better."""
    mark = RunFolder(folder).pruned
    results = read_results(folder)
    if mark.exists() and results is not None:
        write_results(folder, {**results, "status": "pruned", "pruned": json.loads(mark.read_text())})


def log_to_file(error: BaseException) -> None:
    """Write the traceback into the job's log file; the terminal shows the message alone."""
    record = log.makeRecord(
        log.name, logging.ERROR, __file__, 0, "The job failed.", (), (type(error), error, error.__traceback__)
    )
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
