"""Options of a training that takes seconds."""

from pathlib import Path

from train.options import Options, parse_options

SIDE = 64  # px, of the input of the models that are trained here
UNTRAINED = 96  # px, of those with random weights: maps of 3 x 3 cells, and Occlusion's windows fill the side
COMMON = ["--init", "none", "--batch", "8", "--mixup", "0", "--amp", "off", "--device", "cpu", "--ema", "0.5"]
COMMON += ["--input-side", str(SIDE)]
THREE_EPOCHS = ["--schedule", "2@32", "1@48", "--mixup", "0.2"]


def options(dataset: Path, out: Path, *more: str) -> Options:
    return parse_options(["--data", str(dataset), "--out", str(out), *COMMON, *more])
