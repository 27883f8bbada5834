"""The exceptions that are meant for people, and the frame that shows them."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable

PREEMPTED = 143  # an exit code


class UserError(Exception):
    """Something the user can put right: the message says what was wrong, where, and what to do."""


class ProcessError(Exception):
    """A process of a run broke off; its own log holds the traceback, so this message is all that needs to be said."""


class Preempted(SystemExit):
    """The run was asked to leave (SIGTERM), and has left in good order: `resume=auto` goes on with it."""

    def __init__(self, message: str = "asked to leave by SIGTERM") -> None:
        super().__init__(PREEMPTED)
        self.message = message

    def __str__(self) -> str:
        return self.message


def find_user_error(error: BaseException | None) -> UserError | None:
    """The message for people inside an error that Hydra, Lightning or a loader process wrapped around it."""
    while error is not None:
        if isinstance(error, UserError):
            text = str(error)
            # A loader process hands over the traceback as text; the message is its last paragraph.
            inside = re.search(r"UserError: ((?:.|\n)*)$", text) if text.startswith("Caught UserError") else None
            return UserError(inside.group(1).strip()) if inside else error
        error = error.__cause__ or error.__context__
    return None


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean X?`, or nothing where no known word is near."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]}?" if matches else ""


def exit_with_message(main: Callable[[], int | None]) -> int:
    """Run a command; turn a `UserError` into one message on stderr instead of a traceback.

    Args:
        main: the command; returns its exit code (`None` counts as 0).

    Returns:
        The exit code: that of `main`, 2 for a `UserError`, 1 for a `ProcessError`, 130 for Ctrl-C, 143 for `Preempted`,
        as a shell would say of SIGTERM.
    """
    try:
        return main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Preempted as error:
        print(f"interrupted: {error}", file=sys.stderr)
        return PREEMPTED
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error worth a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
