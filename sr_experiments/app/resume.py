"""The folder of a run: where `resume=auto` goes on, and that it is this run's alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from hydra.errors import HydraException

from sr_experiments.app.compose import compose_config, option_value, overrides_of
from sr_experiments.errors import UserError
from sr_experiments.runs.folder import RunFolder
from sr_experiments.runs.owner import owned
from sr_experiments.runs.resume import find_run


def folder_to_continue(config_name: str, arguments: list[str]) -> Path | None:
    """The folder of an earlier run with the same config, where the command says `resume=auto`."""
    is_asked = option_value(arguments, "resume") == "auto" and not option_value(arguments, "hydra.run.dir")
    if not is_asked or not _is_single_run(arguments):
        return None
    try:
        config = compose_config(config_name, overrides_of(arguments))
    except (HydraException, ValueError):
        return None  # the app itself is about to say what is wrong
    return find_run(config, Path(config.paths.output_root).expanduser().resolve())


def owned_folder(arguments: list[str]) -> AbstractContextManager[None]:
    """Own the run folder that a command line names; nothing is owned where it names none.

    Raises:
        UserError: another run is going on there, or an earlier one would be replaced.
    """
    named = option_value(arguments, "hydra.run.dir")
    if not named or "${" in named or not _is_single_run(arguments):
        return nullcontext()
    resume, overwrite = option_value(arguments, "resume"), option_value(arguments, "overwrite")
    return owned(_unquoted(named), None if resume in (None, "null") else resume, (overwrite or "").lower() == "true")


def check_evaluation_folder(arguments: list[str]) -> None:
    """Refuse an evaluation that would replace the config and the results of a training.

    Raises:
        UserError: the run folder that the command line names is one of a training.
    """
    named = option_value(arguments, "hydra.run.dir")
    if named and RunFolder(_unquoted(named)).has_checkpoints():
        raise UserError(f"{named} is the folder of a training, whose results would be replaced: give another one.")


def _unquoted(folder: str) -> Path:
    return Path(folder.strip("'\""))


def _is_single_run(arguments: list[str]) -> bool:
    shows = {"-m", "--multirun", "-h", "--help", "-c", "--cfg", "--info"} & set(arguments)
    return not shows and option_value(arguments, "sweep") in (None, "null")
