"""The training loop: read from top to bottom.

One balancing mechanism: logit-adjusted cross-entropy (Menon et al. 2021, arXiv:2007.07314), which
adds tau * log(class share) to the logits in the loss only. Resolution grows during training, which
makes the early epochs cheap; the best resolution to test at need not be the last one trained at
(Touvron et al. 2019, arXiv:1906.06423), so --input-side is an option of its own.

All randomness of an epoch follows from (seed, epoch): order, augmentation, dropout. So a run that
is resumed after a whole epoch ends, on the CPU, with the weights of one that was never interrupted,
bit for bit. Several processes train together as train/processes.py says.
"""

import json
import math
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timm.data import Mixup
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from tqdm import tqdm

from skin_lesion.classes import CODES
from skin_lesion.model import WEIGHTS, read_metrics
from train.augment import augment, disturb
from train.batches import batches, copies_of, pick
from train.cache import load_images
from train.card import write_card
from train.checkpoint import check_resume, learned_from, plain, read_checkpoint, restore, save_checkpoint
from train.data import Record, read_ham10000
from train.device import pick_amp, pick_device, place
from train.files import alone
from train.folder import check_new, drop_figures, save_model_folder
from train.metrics import balanced_accuracy
from train.options import FitError, Options
from train.parts import divided
from train.processes import Processes, processes
from train.split import PARTS, RATIOS, fingerprint, split
from train.start import build_model, earlier_training
from train.teachers import load_teachers
from train.validate import normalisation, predict

MAX_SKIPPED = 20  # steps in a row without finite gradients before training gives up


def fit(options: Options) -> Path:
    """Train as the options say and return the model folder."""
    with processes() as group, ExitStack() as held:
        group.first(lambda: _check(options, group))
        if not group.first(lambda: held.enter_context(alone(options.out))):
            raise FitError(f"Another train.fit writes to {options.out}. Wait until it ends, or give another --out.")
        _fit(options, group)
    return options.out


def _fit(options: Options, group: Processes) -> None:
    device = pick_device(options.device, group)
    # what "auto" came to is kept with the run, and a resumed run must come to the same
    options = replace(
        options,
        device=str(device) if group.size == 1 else device.type,
        amp=group.first(lambda: pick_amp(options.amp, device)),
        processes=group.size,
    )
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "off": torch.float32}[options.amp]
    made: dict[str, Any] = {"seed": options.split_seed}
    made |= {"fold": options.fold} if options.fold else {"ratios": RATIOS}
    parts = group.first(lambda: split(read_ham10000(options.data), **made))
    split_id = fingerprint(parts)
    before = group.first(lambda: earlier_training(options.init, split_id))
    known = [{"training": read_metrics(folder).get("training", {})} for folder in options.teacher]
    seen = divided(parts, {"options": plain(options), "teachers": known, **before})
    if not seen["val"]:
        raise FitError(
            "There is no validation image that --crossfit leaves out and that no model has seen which this run begins "
            "with or learns from. Use models that left out the same part I/K, or, of few lesions, fewer parts."
        )
    training, validation = (_subset(seen[p], options.limit) for p in ("train", "val"))
    if group.rank == 0:
        print(
            f"split {split_id}: {len(training):,} training and {len(validation):,} validation images; "
            f"{device}, mixed precision {options.amp}" + (f", {group.size} processes" if group.size > 1 else ""),
            flush=True,
        )
    if len(training) < options.batch:
        raise FitError(f"--batch {options.batch} is more than the {len(training)} training images; lower it.")
    read_copies = partial(copies_of, training, options.decoded_side)
    group.first(lambda: len(read_copies()))  # it decodes the images, the others find them decoded
    copies = read_copies()
    labels = torch.tensor([record.label for record in training])
    truth = np.array([record.label for record in validation])
    # (7,); a class that a small subset lacks counts as one image
    share = torch.bincount(labels, minlength=len(CODES)).clamp(min=1) / len(labels)
    adjustment = (options.adjust * share.log()).to(device)

    torch.manual_seed(options.seed)
    model = group.first(lambda: build_model(options.init, options.drop_path))
    model = place(model, device, options.amp)
    for module in _frozen(model, options.freeze):
        module.requires_grad_(False)
    network = group.parallel(model, device)
    optimizer = torch.optim.AdamW(param_groups_weight_decay(model, options.weight_decay), lr=options.lr)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)
    average = ModelEmaV3(model, decay=options.ema) if options.ema else None
    best = average.module if average else model
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in normalisation(model))
    mixup = Mixup(options.mixup, mode="elem", label_smoothing=0, num_classes=len(CODES)) if options.mixup else None
    augmented = partial(augment, scale=(options.crop, 1.0), batch=options.batch, share=group.share)
    steps = len(labels) // options.batch  # an epoch drops its incomplete last batch

    teachers, taught = load_teachers(options.teacher, options.input_side, split_id, share, device, options.amp)
    state = {"model": model, "optimizer": optimizer, "scaler": scaler, "average": average}
    weights = learned_from(options)
    history = restore(state, group.first(lambda: read_checkpoint(state, options, split_id, weights)))

    for epoch in range(len(history), options.epochs):
        started, losses, skipped, in_a_row = time.perf_counter(), [], 0, 0
        side = options.side(epoch)
        seed = options.seed * 100_003 + epoch
        torch.manual_seed(seed + (group.rank << 50))  # dropout and stochastic depth: each process its own
        np.random.seed(seed % 2**32)  # mixup
        generator = torch.Generator().manual_seed(seed)  # order and augmentation: the same in all
        model.train()
        for module in _frozen(model, options.freeze):
            module.eval()  # batch norm keeps its statistics
        progress = tqdm(
            batches(len(labels), options.batch, generator),
            f"epoch {epoch + 1}/{options.epochs}",
            steps,
            unit_scale=options.batch,
            unit="image",
            leave=False,
            disable=None if group.rank == 0 else True,
            mininterval=2,
        )
        for step, index in enumerate(progress):
            for parameters in optimizer.param_groups:
                parameters["lr"] = options.lr * _schedule(epoch + step / steps, options.warmup, options.epochs)
            labelled = labels[index[group.share]].to(device)
            given = [pick(copies, index, generator, group.share)]
            if teachers:  # they see the image itself, so that an answer survives compression
                given.append(copies[0][index[group.share]])
            numbers, views = (generator.get_state(), np.random.get_state()), []
            for images in given:  # the same crops, light and pairs for both
                generator.set_state(numbers[0])
                np.random.set_state(numbers[1])
                x, y = augmented(torch.from_numpy(images).to(device), side, generator), labelled
                if mixup:
                    x, y = mixup(x, y)  # y: (B, 7) from here on
                views.append(x)
            x = disturb(views[0], generator, options.disturb, batch=options.batch, share=group.share)
            with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
                y = teachers(views[1], generator) if teachers else y
            x = ((x - mean) / std).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
                logits = network(x)
            loss = F.cross_entropy(logits.float() + adjustment, y, label_smoothing=options.smoothing)
            scaler.scale(loss).backward()  # from here on all processes hold the same gradients
            group.average_statistics(model)
            scaler.unscale_(optimizer)
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip)
            if torch.isfinite(norm):
                scaler.step(optimizer)
                if average:
                    average.update(model)
                losses.append(loss.item())
                in_a_row = 0
            else:  # with fp16 this is how the scaler finds its scale; otherwise something is wrong
                skipped, in_a_row = skipped + 1, in_a_row + 1
                if in_a_row >= MAX_SKIPPED:
                    raise FitError(
                        f"{in_a_row} steps in a row had no finite gradient in epoch {epoch + 1}: training "
                        f"diverges. Lower --lr (now {options.lr:g}) or use --amp bf16 or off (now {options.amp})."
                    )
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            progress.set_postfix(loss=f"{np.mean(losses[-50:] or [np.nan]):.3f}", refresh=False)

        seconds = time.perf_counter() - started
        probabilities = group.first(
            lambda: predict(
                best, load_images(validation, options.decoded_side), options.input_side, options.batch, device, dtype
            )
        )
        if not np.isfinite(probabilities).all():  # an overflow in the forward pass stays in batch norm
            raise FitError(
                f"The weights of epoch {epoch + 1} give answers that are not finite; the checkpoint of the epoch "
                f"before is kept. Lower --lr (now {options.lr:g}) or use --amp bf16 or off (now {options.amp})."
            )
        line: dict[str, Any] = {
            "epoch": epoch + 1,
            "side": side,
            "loss": round(group.mean(float(np.mean(losses))), 4) if losses else None,
            "val_balanced_accuracy": round(balanced_accuracy(truth, probabilities), 4),
            "skipped_steps": skipped,
            "images_per_second": round(steps * options.batch / seconds, 1),
        }
        history.append(line)
        if group.rank == 0:
            print(json.dumps(line), flush=True)
        group.first(partial(save_checkpoint, state, options, split_id, history, weights))

    if all(line["loss"] is None for line in history):
        raise FitError(
            f"None of the {steps * options.epochs} steps had finite gradients, so nothing was learned. "
            f"Delete {options.checkpoint}, then train longer, as fp16 finds its scale in the first steps, or use "
            f"--amp bf16 or off (now {options.amp})."
        )
    made |= {"fingerprint": split_id, "images": {p: len(parts[p]) for p in PARTS}}
    record = {"images": len(training), "options": plain(options), "history": history, **taught, **before}
    group.first(lambda: _finish(best, options, split=made, training=record))


def _finish(model: torch.nn.Module, options: Options, **records: Any) -> None:
    """Write the model folder, and let go of what would continue the run.

    Raises:
        FitError: it cannot be written; no model stands in it, and the run can be resumed.
    """
    try:
        write_card(options.out, records)
        drop_figures(options.out)  # of earlier weights
        save_model_folder(model, options.out, options.input_side, **records)
    except OSError as error:
        raise FitError(
            f"The model folder {options.out} cannot be written ({error}). All epochs are kept in {options.checkpoint}: "
            "make room there, then give the same command with --resume."
        ) from None
    options.checkpoint.unlink()  # the run is whole
    print(f"model folder: {options.out}\nnext: python -m train.calibrate {options.out} --data {options.data}")


def _check(options: Options, group: Processes) -> None:
    """Refuse, before any work, what cannot be done."""
    if not options.checkpoint.exists() and (not options.resume or (options.out / WEIGHTS).exists()):
        check_new(options.out)  # what is resumed is there
    check_resume(options)
    pick_device(options.device, group)
    n = group.size
    if options.batch % n or options.batch < 2 * n:  # batch norm needs two images
        lower = max(options.batch // n, 2) * n
        raise FitError(
            f"--batch {options.batch} cannot be dealt out evenly to {n} processes, two images or more to each. "
            f"Give a multiple of {n}, for example {lower} or {lower + n}."
        )
    if options.freeze and options.init == "none":
        raise FitError(
            f"--freeze {options.freeze} would keep what --init none draws at random; "
            "give --init imagenet or PATH, or leave --freeze out."
        )
    if options.mixup and options.batch // n % 2:
        raise FitError(f"--mixup mixes pairs: --batch {options.batch} leaves one over. Give a multiple of {2 * n}.")


def _frozen(model: torch.nn.Module, stages: int) -> list[torch.nn.Module]:
    """The stem and the first so many stages, which stay as they are; [] for none."""
    names = ["conv_stem", "bn1", *(f"blocks.{i}" for i in range(stages))] if stages else []
    return [model.get_submodule(name) for name in names]


def _schedule(epoch: float, warmup: float, epochs: int) -> float:
    """Linear warm-up, then cosine to zero: the factor of the peak learning rate."""
    if epoch < warmup:
        return (epoch + 0.01) / (warmup + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / max(epochs - warmup, 1e-9)))


def _subset(records: list[Record], limit: int) -> list[Record]:
    return records if not limit else records[:: max(1, len(records) // limit)][:limit]
