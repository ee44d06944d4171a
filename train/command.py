"""How the commands of this package end when they cannot go on: with one sentence, not with a traceback."""

import errno
import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import ParamSpec

from skin_lesion.hub import ModelError  # skin_lesion.model would pull in torch, and --help need not wait
from train.data import DataError
from train.options import FitError

P = ParamSpec("P")
ADVICE = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), " Make room there, and run it again.")
ADVICE |= dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS), " Change who may read and write there, and run it again."
)


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
            except BrokenPipeError:  # the reader, such as head, has had enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 141  # as a program that SIGPIPE ends
            except OSError as error:
                place = f"{error.filename}: " if error.filename else ""
                why = f"{place}{error.strerror or error}.{ADVICE.get(error.errno or 0, '')}"
            except KeyboardInterrupt:
                print(f"\n{name}: interrupted", file=sys.stderr)
                return 128 + signal.SIGINT
            print(f"{name}: {why}", file=sys.stderr)
            return 1

        return run

    return decorate
