"""Options of a training that takes seconds."""

from pathlib import Path

from train.options import Options, parse_options

COMMON = ["--init", "none", "--batch", "8", "--mixup", "0", "--amp", "off", "--device", "cpu", "--ema", "0.5"]
COMMON += ["--input-side", "64"]
THREE_EPOCHS = ["--schedule", "2@32", "1@48", "--mixup", "0.2"]


def options(dataset: Path, out: Path, *more: str) -> Options:
    return parse_options(["--data", str(dataset), "--out", str(out), *COMMON, *more])
