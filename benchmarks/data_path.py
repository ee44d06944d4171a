"""Training speed of this project's data path, beside the usual one, in one run on the same images.

    python -m benchmarks.data_path --data HAM10000                              # writes benchmarks/data_path.md
    python -m benchmarks.data_path --data HAM10000 --images 128 --sides 128 --repeats 1 --out /tmp/data_path.md

The usual one: ImageFolder, torchvision's transforms, a DataLoader with a worker for each processor, float32.
This project's: images decoded once into a uint8 file, a batch augmented at once on the device, the model placed
there as train.fit places it (channels_last; on a CPU, depthwise convolutions in float32), automatic mixed precision.
Both train timm's efficientnet_b0 from random weights with AdamW, at the same resolution
and batch size; neither clips gradients nor averages weights here.

Every figure is the median over the repeats of a whole pass over the images; within a repeat the contenders take
turns. Not timed: the first pass of every reader, which starts its workers and fills the system's file cache, the
first steps of every model, and decoding the images once, which the report gives by itself. On two processor cores
the whole takes about ten minutes; run it when nothing else does.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import timm
import torch
import torch.nn.functional as F

from benchmarks.readers import Reader, link_by_class, ours, usual
from benchmarks.report import device_name, processors, table
from skin_lesion.classes import CODES
from skin_lesion.model import ARCHITECTURE
from train.cache import load_images
from train.data import DataError, add_data_argument, read_ham10000
from train.device import pick_amp, pick_device, place
from train.options import SIDE, FitError
from train.predictions import image_size
from train.processes import Processes
from train.split import split

WARM_UP = 3  # steps of every model that are not timed
DTYPES = {"off": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Contender:
    """A way to train, and its images per second in every repeat."""

    read: Reader
    amp: str
    place: Callable[[torch.nn.Module], torch.nn.Module]  # on the device
    speeds: list[float] = field(default_factory=list)
    peak: int = 0  # bytes on the GPU

    @property
    def speed(self) -> float:
        return statistics.median(self.speeds)


def time_reading(read: Reader, device: torch.device) -> float:
    """Images per second of one pass without a model."""
    synchronise(device)
    start, images = time.perf_counter(), 0
    for x, _ in read():
        images += len(x)
    synchronise(device)
    return images / (time.perf_counter() - start)


def time_training(contender: Contender, side: int, batch: int, device: torch.device) -> None:
    """Add the images per second of one pass, with a new model."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    torch.manual_seed(0)
    dtype = DTYPES[contender.amp]
    model = contender.place(timm.create_model(ARCHITECTURE, num_classes=len(CODES)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            logits = model(x)
        scaler.scale(F.cross_entropy(logits.float(), y)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    x = torch.rand(batch, 3, side, side, device=device)
    for _ in range(WARM_UP):
        step(x, torch.zeros(batch, dtype=torch.long, device=device))
    synchronise(device)
    start, images = time.perf_counter(), 0
    for x, y in contender.read():
        step(x, y)
        images += len(x)
    synchronise(device)
    contender.speeds.append(images / (time.perf_counter() - start))
    if device.type == "cuda":
        contender.peak = max(contender.peak, torch.cuda.max_memory_allocated(device))


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def precisions(device: torch.device) -> list[str]:
    """off, and what this device computes in besides."""
    auto = pick_amp("auto", device)
    if device.type == "cuda":
        return ["off", "bf16", "fp16"] if auto == "bf16" else ["off", "fp16"]
    return list(dict.fromkeys(["off", auto]))  # float16 on a CPU is for trying things out


def measure(args: argparse.Namespace, work: Path) -> str:
    """Run everything in the temporary folder `work` and return the report."""
    device = pick_device(args.device, Processes())
    auto, amps = pick_amp("auto", device), precisions(device)
    everything = split(read_ham10000(args.data))["train"]
    records = everything[:: max(1, len(everything) // args.images)][: args.images]
    if len(records) < args.batch:
        raise FitError(f"--batch {args.batch} is more than the {len(records)} images; lower it, or raise --images.")
    folder = link_by_class(records, work / "images")
    decoded_side = max(SIDE, *args.sides)
    start = time.perf_counter()
    copies = [load_images(records, decoded_side, recompressed, work / "cache") for recompressed in (False, True)]
    decoding = len(records) / (time.perf_counter() - start)
    labels = torch.tensor([record.label for record in records])

    reading, training, precision, memory = [], [], [], []
    for side in args.sides:
        readers = {
            "usual": usual(folder, side, args.batch, device),
            "ours": ours(copies, labels, side, args.batch, device),
        }
        for read in readers.values():  # starts the workers, fills the file cache
            time_reading(read, device)
        speeds: dict[str, list[float]] = {name: [] for name in readers}
        contenders = {"usual": Contender(readers["usual"], "off", lambda model: model.to(device))}
        contenders |= {amp: Contender(readers["ours"], amp, partial(place, device=device, amp=amp)) for amp in amps}
        for repeat in range(args.repeats):
            print(f"{side} px, repeat {repeat + 1} of {args.repeats}", file=sys.stderr, flush=True)
            for name, read in readers.items():
                speeds[name].append(time_reading(read, device))
            for contender in contenders.values():
                time_training(contender, side, args.batch, device)

        before, now = (statistics.median(speeds[name]) for name in ("usual", "ours"))
        reading.append([f"{side} px", f"{before:.0f}", f"{now:.0f}", f"{now / before:.2f}"])
        before, now = contenders["usual"].speed, contenders[auto].speed
        epochs = [f"{len(everything) / speed:.0f} s" for speed in (before, now)]
        training.append([f"{side} px", f"{before:.1f}", f"{now:.1f}", f"{now / before:.2f}", *epochs])
        full = contenders["off"].speed
        ratios = [f"{contenders[amp].speed:.1f} ({contenders[amp].speed / full:.2f})" for amp in amps[1:]]
        precision.append([f"{side} px", f"{full:.1f}", *ratios])
        memory.append([f"{side} px", *(f"{contender.peak / 2**30:.2f}" for contender in contenders.values())])

    command = f"python -m benchmarks.data_path --data HAM10000 --images {args.images} --batch {args.batch}"
    command += f" --repeats {args.repeats} --sides {' '.join(map(str, args.sides))}"
    parts = [
        "# Data path: images per second",
        f"`{command}`, {date.today()}; torch {torch.__version__}, {device_name(device)}; torch's threads: "
        f"{torch.get_num_threads()}; processors, and workers of the DataLoader: {processors()}.",
        f"{len(records):,} images, files of mostly {image_size(records)} pixels: the larger, the slower the usual way. "
        f"Median of {args.repeats} passes, the contenders taking turns. Usual: ImageFolder, torchvision's transforms, "
        "DataLoader, float32. Ours: decoded once, augmented by batch on the device, placed there as train.fit does. "
        "What is not timed stands in [data_path.py](data_path.py).",
        f"Decoding once, both copies: {decoding:.0f} images/s.",
        "## Data only, without a model",
        table(["side", "usual", "ours", "ratio"], reading),
        f"## A whole training step; ours in {'float32' if auto == 'off' else auto}, which is what auto chooses here",
        table(
            ["side", "usual", "ours", "ratio", f"usual: epoch of {len(everything):,} images", "ours: epoch"], training
        ),
        "## Mixed precision with our data path (in brackets: ratio to float32)",
        table(["side", "float32", *amps[1:]], precision) if amps[1:] else "This device computes in float32 only.",
    ]
    if device.type == "cuda":
        head = ["side", "usual", *("ours, float32" if amp == "off" else f"ours, {amp}" for amp in amps)]
        parts += ["## Peak memory on the GPU, GiB", table(head, memory)]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data_path",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_argument(parser)
    parser.add_argument("--images", type=int, default=512, help="of the training part (default: %(default)s)")
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 160, 224], metavar="PX")
    parser.add_argument("--batch", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"), help="(default: %(default)s)")
    args = parser.parse_args()
    if min(args.images, args.batch, args.repeats, *args.sides) < 1 or min(args.sides) < 32:
        parser.error("--images, --batch and --repeats are 1 or more, --sides 32 or more")
    if not args.out.parent.is_dir():
        parser.error(f"--out {args.out}: there is no folder {args.out.parent}")
    try:
        with tempfile.TemporaryDirectory() as work:
            report = measure(args, Path(work))
    except (DataError, FitError) as error:
        print(f"benchmarks.data_path: {error}", file=sys.stderr)
        return 1
    print(report)
    args.out.write_text(report, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
