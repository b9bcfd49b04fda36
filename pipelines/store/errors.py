"""The base of every error that is meant for the user, and how a program tells it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes of programs that Ctrl-C and SIGTERM ended, by the convention of shells."""


class GlamError(Exception):
    """Something the user can mend; the message names the file, the place, the reason and the remedy.

    A program prints it without a stack trace and exits with `exit_code`.
    """

    exit_code = 1


class Terminated(GlamError):
    """SIGTERM came; what had to be kept is kept."""

    exit_code = TERMINATED


@contextmanager
def errors_told() -> Iterator[None]:
    """Tell what goes wrong inside on stderr, in a line, and exit with 1; Ctrl-C exits with 130, SIGTERM with 143 where
    it is awaited.

    A stack trace is shown where the environment has GLAM_TRACEBACK.
    """
    try:
        yield
    except BrokenPipeError:  # who read our output has gone; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except GlamError as error:
        _tell(str(error), error.exit_code)
    except Exception as error:
        _tell(f"{type(error).__name__}: {error} (GLAM_TRACEBACK=1 shows the stack trace)")
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on after the last finished stage", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _tell(message: str, exit_code: int = 1) -> None:
    if os.environ.get("GLAM_TRACEBACK"):
        traceback.print_exc()
    print(message if exit_code == TERMINATED else f"error: {message}", file=sys.stderr)
    sys.exit(exit_code)
