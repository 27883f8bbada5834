"""`sr-eval`: score a trained network on benchmark sets, beside bicubic."""

from __future__ import annotations

import sys

from sr_experiments.errors import exit_with_message

CONFIG = "eval"


def main() -> int:
    """Entry point of `sr-eval`."""
    return exit_with_message(_main)


def _main() -> int:
    from sr_experiments.app.command import run_app
    from sr_experiments.app.evaluate import evaluate
    from sr_experiments.app.resume import check_evaluation_folder

    check_evaluation_folder(sys.argv[1:])
    return run_app(CONFIG, evaluate)


if __name__ == "__main__":
    sys.exit(main())
