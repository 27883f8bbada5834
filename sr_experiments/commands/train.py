"""`sr-train`: compose a config, train, test, and leave a run folder."""

from __future__ import annotations

import sys
from pathlib import Path

from sr_experiments.errors import exit_with_message

CONFIG = "train"


def main() -> int:
    """Entry point of `sr-train`."""
    return exit_with_message(_main)


def _main() -> int:
    from sr_experiments.app.command import run_app
    from sr_experiments.app.run import train

    folder = _folder_to_continue(sys.argv[1:])
    if folder is not None:
        from sr_experiments.runs.resume import is_finished

        if is_finished(folder):
            print(f"This run is finished already: {folder}")
            return 0
        print(f"Continuing {folder}")
        sys.argv.append(f"hydra.run.dir={folder}")
    return run_app(CONFIG, train)


def _folder_to_continue(arguments: list[str]) -> Path | None:
    """The folder of an earlier run with the same config, where the command says `resume=auto`."""
    from sr_experiments.app.command import compose_config, option_value, overrides_of

    is_single_run = not {"-m", "--multirun", "-h", "--help", "-c", "--cfg", "--info"} & set(arguments)
    is_single_run = is_single_run and option_value(arguments, "sweep") in (None, "null")
    if option_value(arguments, "resume") != "auto" or not is_single_run or option_value(arguments, "hydra.run.dir"):
        return None
    from hydra.errors import HydraException

    from sr_experiments.runs.resume import find_run

    try:
        config = compose_config(CONFIG, overrides_of(arguments))
    except (HydraException, ValueError):
        return None  # the app itself is about to say what is wrong
    return find_run(config, Path(config.paths.output_root).expanduser().resolve())


if __name__ == "__main__":
    sys.exit(main())
