"""How every command of this package ends when it cannot go on: with one sentence, not with a traceback."""

import functools
import signal
import sys
from collections.abc import Callable
from typing import ParamSpec

from skin_lesion.model import ModelError
from train.data import DataError
from train.options import FitError

P = ParamSpec("P")


def command(name: str, *more: type[Exception]) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Decorate a main() that returns the exit status: what the user can mend is said on stderr, and the status is 1.

    name: of the module, as `python -m` takes it. more: errors of its own that say what is wrong and what to do.
    """
    mendable: tuple[type[Exception], ...] = (DataError, FitError, ModelError, *more)

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except mendable as error:
                why = str(error)
            except OSError as error:
                place = f"{error.filename}: " if error.filename else ""
                why = f"{place}{error.strerror or error}. Make room there, or change who may read and write there."
            except KeyboardInterrupt:  # every file is written whole or not at all: train.files
                print(f"\n{name}: interrupted", file=sys.stderr)
                return 128 + signal.SIGINT
            print(f"{name}: {why}", file=sys.stderr)
            return 1

        return run

    return decorate
