"""Fine-tune EfficientNet_B0 on HAM10000 and write a model folder.

    python -m train.fit --data HAM10000                       # the recipe, on a GPU
    python -m train.fit --data HAM10000 --schedule 8@128 8@160 4@192 --batch 32 --lr 7e-4
                                                              # about an hour on two CPU cores
    python -m train.fit --data HAM10000 --init none --schedule 1@32 --limit 64 --out /tmp/tiny
                                                              # the path through, in seconds
    torchrun --nproc-per-node=2 -m train.fit --data HAM10000  # one process a GPU, or N on the CPU with --device cpu

With torchrun --batch stays the number of images per step, dealt out evenly to all processes. On GPUs the result is
that of one process but for rounding, the draws of dropout, and mixup, which pairs images of one process's share; on
the CPU batch norm sees each process's share only, and torchrun gives each one thread unless the variable
OMP_NUM_THREADS says more.

Interrupted? The same command with --resume goes on after the last whole epoch, to the same
weights. Then: python -m train.calibrate OUT, and python -m train.evaluate OUT
"""

import os
import shlex
import signal
import sys

from train.data import DataError
from train.options import FitError, Options, parse_options


def main() -> int:
    signal.signal(signal.SIGTERM, _terminate)
    options = parse_options(description=__doc__)  # before torch, so that --help answers at once
    first = os.environ.get("RANK", "0") == "0"  # of torchrun's processes: what is to be said, it says for all
    try:
        from skin_lesion.model import ModelError
        from train.loop import fit

        fit(options)
    except KeyboardInterrupt as stop:  # before the others, because it may come before ModelError is imported
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second one must not cut the message short
        if first:
            print(f"\ntrain.fit: interrupted; {_what_is_kept(options)}", file=sys.stderr)
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)
    except (DataError, FitError, ModelError, OSError) as error:
        if first:
            print(f"train.fit: {error}", file=sys.stderr)
        return 1
    return 0


def _terminate(number: int, frame: object) -> None:
    """End as after Ctrl-C: files that are being written are removed."""
    raise KeyboardInterrupt(number)


def _what_is_kept(options: Options) -> str:
    if options.checkpoint.exists():
        return f"the whole epochs are kept in {options.checkpoint}. To go on:\n  {_command('--resume')}"
    if (options.out / "model.safetensors").exists():
        return f"but the run was whole: {options.out} is the finished model."
    return f"no epoch was whole yet, so nothing of it is kept. To start again:\n  {_command()}"


def _command(*more: str) -> str:
    """How this run was started, with `more` options."""
    start, count = sys.orig_argv, os.environ.get("LOCAL_WORLD_SIZE")
    if count:  # by torchrun, whose own options except this one are not known here
        start = ["torchrun", f"--nproc-per-node={count}", "-m", "train.fit", *sys.argv[1:]]
    return shlex.join([*start, *(option for option in more if option not in start)])


if __name__ == "__main__":
    sys.exit(main())
