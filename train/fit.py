"""Fine-tune EfficientNet_B0 on HAM10000 and write a model folder.

    python -m train.fit --data HAM10000                       # the recipe, on a GPU
    python -m train.fit --data HAM10000 --schedule 8@128 8@160 4@192 --batch 32 --lr 7e-4
                                                              # about an hour on two CPU cores
    python -m train.fit --data HAM10000 --init none --schedule 1@32 --limit 64 --out /tmp/tiny
                                                              # the path through, in seconds
    torchrun --nproc-per-node=2 -m train.fit --data HAM10000  # one process a GPU, or N on the CPU with --device cpu

With torchrun --batch stays the number of images per step, dealt out evenly to all processes. On GPUs the result is
that of one process but for rounding and the draws of dropout; on the CPU batch norm sees each process's share
only, and torchrun gives each one thread unless the variable OMP_NUM_THREADS says more.

Interrupted? The same command with --resume goes on after the last whole epoch, to the same
weights. Then: python -m train.calibrate OUT, and python -m train.evaluate OUT
"""

import os
import sys

from train.data import DataError
from train.options import FitError, parse_options


def main() -> int:
    options = parse_options(description=__doc__)  # before torch, so that --help answers at once
    from skin_lesion.model import ModelError
    from train.loop import CHECKPOINT, fit

    first = os.environ.get("RANK", "0") == "0"  # of torchrun's processes: what is to be said, it says for all
    try:
        fit(options)
    except (DataError, FitError, ModelError) as error:
        if first:
            print(f"train.fit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        begun = (options.out / CHECKPOINT).exists()
        hint = "the same command with --resume goes on" if begun else "no epoch was whole yet, nothing is kept"
        if first:
            print(f"\ntrain.fit: interrupted; {hint}.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
