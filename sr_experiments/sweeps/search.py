"""A search that chooses its points from the results of earlier ones: Optuna's sampler, on intervals and on lists."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig

from sr_experiments.errors import UserError
from sr_experiments.sweeps.command import Axis
from sr_experiments.sweeps.jobs import Job, compose_job, named
from sr_experiments.sweeps.ranking import score
from sr_experiments.sweeps.runner import Runner
from sr_experiments.sweeps.settings import Settings

if TYPE_CHECKING:
    import optuna

# After so many repeated proposals in a row the search ends.
REPETITIONS = 20


def run_search(
    context: HydraContext,
    config: DictConfig,
    launcher: Launcher,
    arguments: Sequence[str],
    trials: int,
    at_once: int,
    seed: int,
) -> None:
    """Let Optuna choose points until there are enough jobs, and rank them.

    The sampler's knowledge is read from sweep.json, so that an interrupted search can be resumed, and commands that
    share a folder use each other's results.

    Args:
        context: Hydra's, which knows the configs.
        config: the composed config of the sweep.
        launcher: how jobs are started.
        arguments: the overrides of the command line, without Hydra's own.
        trials: jobs of the whole search.
        at_once: jobs passed to the launcher together.
        seed: decides which points are tried.

    Raises:
        UserError: something about the search is wrong; nothing was started.
        ProcessError: jobs failed.
    """
    if find_spec("optuna") is None:
        raise UserError('hydra/sweeper=optuna needs Optuna: pip install "sr-experiments[optuna]".')
    if trials < 1 or at_once < 1:
        raise UserError("hydra.sweeper.trials and hydra.sweeper.at_once must be at least 1.")
    runner = Runner(context, config, launcher, arguments)
    if not runner.command.axes:
        raise UserError("There is nothing to search: give KEY=interval(LOW,HIGH) or KEY=choice(A,B).")
    space = {axis.name: distribution(axis) for axis in runner.command.axes}
    compose = functools.partial(compose_job, context, config, runner.command, here=runner.in_a_row)
    first = {name: written(found, lowest(found)) for name, found in space.items()}
    named(lambda: compose(first), first, 1, trials)
    jobs = known_jobs(runner)
    runner.announce(jobs, most=trials)
    if config.dry_run:
        runner.show_jobs(jobs)
        runner.say("The other points are chosen as results come in.")
        return
    runner.run(jobs)
    while len(jobs := known_jobs(runner)) < trials:
        new = propose(runner, space, compose, jobs, min(at_once, trials - len(jobs)), seed)
        if not new:
            runner.say("The sampler has nothing new to propose.")
            break
        runner.run([*jobs, *new])
    runner.finish(jobs)


def known_jobs(runner: Runner) -> list[Job]:
    """The jobs that sweep.json knows."""
    record = runner.folder.read() or {"jobs": []}
    fields = ("point", "overrides", "identity", "folder")
    return [Job(**{field: entry[field] for field in fields}) for entry in record["jobs"]]


def propose(
    runner: Runner, space: Mapping[str, Any], compose: Any, jobs: Sequence[Job], count: int, seed: int
) -> list[Job]:
    """New jobs at points that Optuna proposes; fewer, or none, where it repeats earlier points."""
    record = runner.folder.read() or {"jobs": []}
    study = recorded_study(record["jobs"], space, runner.settings, seed + len(jobs))
    known = {job.identity: job for job in jobs}
    new: list[Job] = []
    for _ in range(REPETITIONS + count):
        if len(new) == count:
            break
        trial = study.ask(dict(space))
        job = compose({name: written(space[name], value) for name, value in trial.params.items()})
        if job.identity not in known:
            known[job.identity] = job
            new.append(job)
    return new


def recorded_study(
    entries: Sequence[Mapping[str, Any]], space: Mapping[str, Any], settings: Settings, seed: int
) -> optuna.Study:
    """A study that knows how the jobs of sweep.json ended."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ways = optuna.study.StudyDirection
    directions = [ways.MAXIMIZE if direction == "max" else ways.MINIMIZE for direction in settings.directions]
    study = optuna.create_study(directions=directions, sampler=optuna.samplers.TPESampler(seed=seed))
    for entry in entries:
        scores = [score(dict(entry), metric, settings.set_name) for metric in settings.metrics]
        values = [value for value in scores if value is not None]
        if entry["status"] != "finished" or len(values) < len(scores):
            continue
        found = {name: read(space[name], text) for name, text in entry["point"].items()}
        try:
            study.add_trial(optuna.trial.create_trial(params=found, distributions=dict(space), values=values))
        except ValueError:
            continue  # the axes had a larger range when this job was chosen
    return study


def distribution(axis: Axis) -> Any:
    """An axis as an Optuna distribution.

    Raises:
        UserError: an interval is empty, or is to be searched in powers from 0.
    """
    from optuna import distributions

    value = axis.override.value()
    if not isinstance(value, IntervalSweep):
        return distributions.CategoricalDistribution(axis.values())
    low, high, log = value.start, value.end, "log" in value.tags
    if low is None or high is None or low >= high or (log and low <= 0):
        raise UserError(
            f"{axis.override.input_line}: an interval goes up{', from above 0 with tag log' if log else ''}."
        )
    if isinstance(low, int) and isinstance(high, int):
        return distributions.IntDistribution(low, high, log=log)
    return distributions.FloatDistribution(float(low), float(high), log=log)


def lowest(found: Any) -> Any:
    """The first value of a distribution."""
    return found.choices[0] if hasattr(found, "choices") else found.low


def written(found: Any, value: Any) -> str:
    """A value as in an override: numbers to four digits, which is what the job then gets."""
    if isinstance(value, float):
        return str(min(max(float(f"{value:.4g}"), found.low), found.high))
    return str(value)


def read(found: Any, text: str) -> Any:
    """The value that was written."""
    if hasattr(found, "choices"):
        return text
    return int(text) if isinstance(found.low, int) else float(text)
