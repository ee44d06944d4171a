"""What a map costs beside the prediction that it explains.

    python -m benchmarks.explain_cost                            # writes benchmarks/explain_cost.md
    python -m benchmarks.explain_cost --repeats 3 --out /tmp/explain_cost.md

The bundled model on the bundled examples, images already decoded, one at a time. Within a repeat the contenders take
turns on the same image; every figure is the median over all images and repeats, but for the methods that ask the
model many times: over FEW images in one repeat. The first repeat warms up and is not timed.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import torch

from benchmarks.report import device_name, processors, table
from skin_lesion import load
from skin_lesion.explain import METHODS, explain
from skin_lesion.images import open_image

EXAMPLES = Path(__file__).parents[1] / "examples"
FEW = 3  # images for the methods that ask the model many times


def measure(repeats: int) -> str:
    """Run everything and return the report."""
    classifier = load()
    images = [open_image(path) for path in sorted(EXAMPLES.glob("*.jpg"))]
    taken: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        started = time.perf_counter()
        work()
        taken.setdefault(name, []).append(1000 * (time.perf_counter() - started))  # ms

    for repeat in range(-1, repeats):
        for number, image in enumerate(images):
            prediction = classifier.predict(image)
            timed("prediction", partial(classifier.predict, image))
            timed("Grad-CAM, all seven classes", partial(explain, classifier, prediction))
            for name, method in METHODS.items():
                if method.layer != "input" or (repeat < 1 and number < FEW):
                    timed(
                        f"{method.name}, one class",
                        partial(explain, classifier, prediction, [prediction.code], name, image),
                    )
        if repeat < 0:
            taken.clear()

    median = {name: statistics.median(times) for name, times in taken.items()}
    rows = [
        [name, f"{value:.2f}", f"{value / median['prediction']:.1%}".replace("%", " %")]
        for name, value in median.items()
    ]
    return (
        "\n\n".join(
            [
                "# What a map costs: milliseconds an image",
                f"`python -m benchmarks.explain_cost --repeats {repeats}`, {date.today()}; torch {torch.__version__}, "
                f"{device_name(torch.device('cpu'))}; torch's threads: {torch.get_num_threads()}; processors: "
                f"{processors()}. Model: `{classifier.revision}`, {len(images)} examples; "
                f"for the methods that ask it many times {FEW} of them.",
                table(["", "ms", "share of the prediction"], rows),
            ]
        )
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.explain_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"), help="(default: %(default)s)")
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error("--repeats is 1 or more")
    if not args.out.parent.is_dir():
        parser.error(f"--out {args.out}: there is no folder {args.out.parent}")
    report = measure(args.repeats)
    print(report)
    args.out.write_text(report, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
