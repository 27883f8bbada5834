"""`sr-train`: compose a config, train, test, and leave a run folder."""

from __future__ import annotations

import sys

from sr_experiments.errors import exit_with_message

CONFIG = "train"


def main() -> int:
    """Entry point of `sr-train`."""
    return exit_with_message(_main)


def _main() -> int:
    from sr_experiments.app.command import run_app
    from sr_experiments.app.resume import folder_to_continue, owned_folder
    from sr_experiments.app.run import train
    from sr_experiments.sweeps.job import run_in_sweep

    folder = folder_to_continue(CONFIG, sys.argv[1:])
    if folder is not None:
        from sr_experiments.runs.results import is_finished

        if is_finished(folder):
            print(f"This run is finished already: {folder}")
            return 0
        print(f"Continuing {folder}")
        sys.argv.append(f"hydra.run.dir={folder}")
    # Before Hydra writes a config into the folder; a folder that Hydra names after the clock is nobody else's.
    with owned_folder(sys.argv[1:]):
        return run_app(CONFIG, train, run_in_sweep)


if __name__ == "__main__":
    sys.exit(main())
