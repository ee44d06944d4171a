"""The options of train.fit. Imports no torch, so that --help answers at once."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from train.data import add_data_argument, given_path

SIDE = 224  # px, of the decoded images of a run without a larger side


class FitError(RuntimeError):
    """Training cannot start or go on; the message says what to change."""


@dataclass(frozen=True)
class Options:
    """Everything that decides the weights, besides the data; kept in the model folder."""

    data: Path  # the HAM10000 folder
    out: Path  # the model folder to write
    init: str  # imagenet, none, or the path of a .safetensors file
    teacher: tuple[Path, ...]  # model folders whose answers are learnt instead of the labels
    schedule: tuple[tuple[int, int], ...]  # (epochs, side in px), one after the other
    input_side: int  # px, of the finished model's square input; validation runs at it too
    batch: int  # images per step
    lr: float  # peak learning rate of AdamW
    weight_decay: float
    warmup: float  # epochs of linear warm-up, then cosine to zero
    crop: float  # smallest share of an image's area that a random crop keeps
    mixup: float  # alpha of the Beta distribution; 0: none
    disturb: float  # strength of blur, sharpening and noise; 0: none
    smoothing: float  # label smoothing
    adjust: float  # strength tau of the logit adjustment; 0: no balancing
    drop_path: float  # stochastic depth rate
    freeze: int  # stages, of seven, that stay as they are, the stem with them; 0: all learn
    ema: float  # decay of the averaged weights, per step; 0: none
    clip: float  # largest gradient norm
    amp: str  # auto, bf16, fp16, off
    device: str  # auto, cpu, cuda, cuda:1 ...
    seed: int  # of weights, order and augmentation
    split_seed: int
    fold: tuple[int, int] | None  # (i, k): cross-validation, the i-th of k parts held out
    crossfit: tuple[int, int] | None  # (i, k): train on the validation part too, but for the i-th of k parts of it
    limit: int  # use only so many images of each part; 0: all
    resume: bool
    processes: int = 1  # that train together; torchrun's number, no option

    @property
    def checkpoint(self) -> Path:
        """In the model folder, until the run is whole."""
        return self.out / "checkpoint.pt"

    @property
    def epochs(self) -> int:
        return sum(epochs for epochs, _ in self.schedule)

    def side(self, epoch: int) -> int:
        """Training resolution in px of an epoch, counted from 0."""
        return [side for epochs, side in self.schedule for _ in range(epochs)][epoch]

    @property
    def decoded_side(self) -> int:
        """px, of the images as training and validation read them: none is decoded smaller than it is computed with."""
        return max(SIDE, self.input_side, *(side for _, side in self.schedule))


def _phase(text: str) -> tuple[int, int]:
    """'9@128' -> (9 epochs, 128 px)."""
    epochs, _, side = text.partition("@")
    if not (epochs.isdigit() and side.isdigit() and 1 <= int(epochs) <= 10_000 and 32 <= int(side) <= 1024):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not EPOCHS@PIXELS, for example 9@128 (1 to 10,000 epochs, 32 to 1024 px)"
        )
    return int(epochs), int(side)


def _part_of(least: int) -> Callable[[str], tuple[int, int]]:
    """A type for argparse: '2/5' -> (2, 5), of `least` parts or more."""

    def parse(text: str) -> tuple[int, int]:
        i, _, k = text.partition("/")
        if not (i.isdigit() and k.isdigit() and least <= int(k) <= 20 and 1 <= int(i) <= int(k)):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not I/K, for example 1/5 (K from {least} to 20, I from 1 to K)"
            )
        return int(i), int(k)

    return parse


def number(low: float, high: float, kind: type = float) -> Callable[[str], float]:
    """A type for argparse: numbers from low to high."""

    def parse(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return parse


def parse_options(argv: list[str] | None = None, description: str | None = None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m train.fit", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add_data_argument(parser)
    add("--out", type=given_path, default=Path("runs/model"), help="model folder to write (default: %(default)s)")
    add(
        "--init",
        default="imagenet",
        metavar="PATH|imagenet|none",
        help="starting weights: timm's ImageNet weights from the Hub, none, or a .safetensors file",
    )
    add(
        "--teacher",
        type=given_path,
        nargs="+",
        default=(),
        metavar="FOLDER",
        help="models of train.fit, of the same split: learn the mean of their answers instead of the labels",
    )
    add(
        "--schedule",
        nargs="+",
        type=_phase,
        default=[(30, 160), (10, 192)],
        metavar="EPOCHS@PX",
        help="epochs at a resolution, one phase after the other (default: 30@160 10@192)",
    )
    add(
        "--input-side",
        type=number(32, 1024, int),
        default=192,
        metavar="PX",
        help="the finished model's input; chosen on the validation part (default: %(default)s)",
    )
    add("--batch", type=number(2, 4096, int), default=32, help="images per step, in all (default: %(default)s)")
    add("--lr", type=number(1e-8, 1), default=1e-3, help="peak learning rate (default: %(default)s)")
    add("--weight-decay", type=number(0, 1), default=0.05, help="of AdamW (default: %(default)s)")
    add("--warmup", type=number(0, 1000), default=1.0, metavar="EPOCHS", help="(default: %(default)s)")
    add(
        "--crop",
        type=number(0.05, 1),
        default=0.25,
        metavar="SHARE",
        help="least share of an image that a random crop keeps (default: %(default)s)",
    )
    add(
        "--mixup",
        type=number(0, 10),
        default=0.2,
        metavar="ALPHA",
        help="mix pairs of images by a share from Beta(ALPHA, ALPHA), 0 for no (default: %(default)s)",
    )
    add(
        "--disturb",
        type=number(0, 2),
        default=0.0,
        metavar="STRENGTH",
        help="blur, sharpen and add noise, so that answers hang less on how a camera or a file renders single pixels; "
        "for example 1; 0 for none (default: %(default)s)",
    )
    add(
        "--smoothing",
        type=number(0, 0.9),
        default=0.0,
        help="label smoothing; beside logit adjustment it keeps sure answers of common classes unsure "
        "(default: %(default)s)",
    )
    add(
        "--adjust",
        type=number(0, 4),
        default=1.0,
        metavar="TAU",
        help="logit adjustment for rare classes, 0 for none (default: %(default)s)",
    )
    add("--drop-path", type=number(0, 0.9), default=0.1, help="stochastic depth (default: %(default)s)")
    add(
        "--freeze",
        type=number(0, 7, int),
        default=0,
        metavar="STAGES",
        help="leave the stem and so many of the seven stages as --init gives them; with 3 an epoch on a CPU "
        "takes about three fifths of the time (default: %(default)s)",
    )
    add("--ema", type=number(0, 0.99999), default=0.998, help="decay per step, 0 for none (default: %(default)s)")
    add("--clip", type=number(1e-3, 1e6), default=1.0, help="largest gradient norm (default: %(default)s)")
    add(
        "--amp",
        choices=["auto", "bf16", "fp16", "off"],
        default="auto",
        help="mixed precision; auto: bf16 where the device computes in it, else fp16 on a GPU, else off",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: %(default)s)")
    add("--seed", type=number(0, 2**31, int), default=0, help="weights, order, augmentation (default: %(default)s)")
    add("--split-seed", type=number(0, 2**31, int), default=0, help="of the 70/15/15 split (default: %(default)s)")
    add(
        "--fold",
        type=_part_of(3),
        metavar="I/K",
        help="cross-validation: hold out the I-th of K parts; then train.pool",
    )
    add(
        "--crossfit",
        type=_part_of(2),
        metavar="I/K",
        help="train on the validation part too, but for the I-th of K parts of it, which validates; then, of all I, "
        "train.soup and train.calibrate --crossfit",
    )
    add(
        "--limit",
        type=number(0, 10**6, int),
        default=0,
        metavar="N",
        help="only N images a part, to try things out; 0: all",
    )
    add("--resume", action="store_true", help="go on after the last whole epoch of --out")
    values = vars(parser.parse_args(argv))
    values["schedule"], values["teacher"] = tuple(values["schedule"]), tuple(values["teacher"])
    return Options(**values)
