"""The one exception that is meant for people, and the frame that shows it to them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can put right: the message says what was wrong, where, and what to do."""


def exit_with_message(main: Callable[[], int | None]) -> int:
    """Run a command; turn a `UserError` into one message on stderr instead of a traceback.

    Args:
        main: the command; returns its exit code (`None` counts as 0).

    Returns:
        The exit code: that of `main`, 2 for a `UserError`, 130 for Ctrl-C.
    """
    try:
        return main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error worth a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
