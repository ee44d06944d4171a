"""What test_processes.py starts under torchrun, and its yardstick in one process: train.fit, watched.

Each process writes what it saw to NOTES/RUN.RANK.pt.
"""

import os
import sys
from functools import partial
from pathlib import Path
from unittest import mock

import tiny
import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d, freeze_batch_norm_2d

from train import fit, loop
from train.cache import load_images
from train.start import build_model

RANK, SIZE = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
COMMON = [*tiny.COMMON, "--limit", "32"]
# No draws of dropout, batch norm frozen, float64: nothing is left by which N processes differ from one.
# Autocast leaves float64 alone, so fp16 brings in its scaler only.
SHARP = [*COMMON, "--schedule", "2@32", "--drop-path", "0", "--lr", "1e-5", "--amp", "fp16"]
LIVE = [*COMMON, "--schedule", "2@32", "--drop-path", "0.3"]
NAN_STEP = 5  # counted from 0 over both epochs: there the last process has a gradient that is not finite


def to_double(module, arguments):
    return tuple(argument.double() for argument in arguments)


def sharp_model(init: str, drop_path: float) -> torch.nn.Module:
    """A model that computes each image by itself, and to fifteen digits."""
    model = build_model(init, drop_path)
    for layer in model.modules():
        if isinstance(layer, BatchNormAct2d):
            layer.momentum = 1.0
    images = 4 * torch.rand(64, 3, 1, 1) - 2 + 0.2 * torch.randn(64, 3, 32, 32)
    model.train()(images)  # statistics under which the activations neither die nor explode
    model.drop_rate = 0.0
    model = freeze_batch_norm_2d(model).double()
    model.register_forward_pre_hook(to_double)
    return model


def run(
    name: str, notes: Path, arguments: list[str], sharp: bool = False, stop: bool = False, die: bool = False
) -> int:
    """train.fit with `arguments`.

    sharp: with sharp_model and a step to skip. stop: interrupt the second epoch. die: fail in the last process.
    """
    seen: dict = {"index": [], "images": [], "labels": [], "seeds": []}
    real = {name: getattr(loop, name) for name in ("pick", "augment", "restore", "batches")}
    cross_entropy = loop.F.cross_entropy
    last = RANK == SIZE - 1

    def pick(copies, index, generator, share):
        if die and last and len(seen["index"]) == 3:
            raise RuntimeError("the last process fails")
        seen["index"].append(index[share].tolist())
        seen["seeds"].append(torch.initial_seed())
        return real["pick"](copies, index, generator, share)

    def augment(*args, **kwargs):
        seen["images"].append(real["augment"](*args, **kwargs))
        return seen["images"][-1]

    def restore(state, saved):
        seen["state"] = state
        return real["restore"](state, saved)

    def batches(*args):
        if stop and seen["index"]:
            raise KeyboardInterrupt
        return real["batches"](*args)

    def entropy(logits, labels, **kwargs):
        seen["labels"].append(labels.tolist())
        loss = cross_entropy(logits, labels, **kwargs)
        return loss * torch.nan if sharp and last and len(seen["labels"]) == NAN_STEP + 1 else loss

    patches = {"pick": pick, "augment": augment, "restore": restore, "batches": batches}
    connect = dist.init_process_group
    # a second group would find the addresses of the first in torchrun's own store
    if SIZE > 1 and name != "uneven":
        connect = partial(connect, store=dist.FileStore(str(notes / f"{name}.store"), SIZE), rank=RANK, world_size=SIZE)
    if sharp:
        patches["build_model"] = sharp_model
    with (
        mock.patch.multiple(loop, **patches),
        mock.patch.object(dist, "init_process_group", connect),
        mock.patch.object(loop.F, "cross_entropy", entropy),
        mock.patch.object(load_images, "__defaults__", (False, notes / "cache")),
        mock.patch.object(sys, "argv", ["train.fit", *arguments]),
    ):
        code = fit.main()
    if dist.is_initialized():  # left so after an error
        dist.destroy_process_group()
    if "state" in seen:
        seen["state"] = {name: part.state_dict() for name, part in seen["state"].items()}
    torch.save(seen, notes / f"{name}.{RANK}.pt")
    return code


def main(data: str, notes: Path) -> None:
    def out(name: str) -> list[str]:
        return ["--data", data, "--out", str(notes / name)]

    codes = [
        run("uneven", notes, [*out("uneven"), *SHARP, "--batch", "9"]),
        run("sharp", notes, [*out("sharp"), *SHARP], sharp=True),
        run("live", notes, [*out("live"), *LIVE]),
        run("stopped", notes, [*out("stopped"), *LIVE], stop=True),
        run("resumed", notes, [*out("stopped"), *LIVE, "--resume"]),
    ]
    assert codes == [1, 0, 0, 130, 0], codes
    run("die", notes, [*out("die"), *LIVE], die=True)  # ends this process


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
