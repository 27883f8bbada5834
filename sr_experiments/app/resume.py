"""Where `resume=auto` goes on."""

from __future__ import annotations

from pathlib import Path

from hydra.errors import HydraException

from sr_experiments.app.compose import compose_config, option_value, overrides_of
from sr_experiments.runs.resume import find_run


def folder_to_continue(config_name: str, arguments: list[str]) -> Path | None:
    """The folder of an earlier run with the same config, where the command says `resume=auto`."""
    is_single_run = not {"-m", "--multirun", "-h", "--help", "-c", "--cfg", "--info"} & set(arguments)
    is_single_run = is_single_run and option_value(arguments, "sweep") in (None, "null")
    if option_value(arguments, "resume") != "auto" or not is_single_run or option_value(arguments, "hydra.run.dir"):
        return None
    try:
        config = compose_config(config_name, overrides_of(arguments))
    except (HydraException, ValueError):
        return None  # the app itself is about to say what is wrong
    return find_run(config, Path(config.paths.output_root).expanduser().resolve())
