"""The training loop: read from top to bottom.

One balancing mechanism: logit-adjusted cross-entropy (Menon et al. 2021, arXiv:2007.07314), which
adds tau * log(class share) to the logits in the loss only. Resolution grows during training, which
makes the early epochs cheap; the best resolution to test at need not be the last one trained at
(Touvron et al. 2019, arXiv:1906.06423), so --input-side is an option of its own.

All randomness of an epoch follows from (seed, epoch): order, augmentation, dropout. So a run that
is resumed after a whole epoch ends, on the CPU, with the weights of one that was never interrupted,
bit for bit.
"""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timm.data import resolve_model_data_config
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from tqdm import tqdm

from skin_lesion.classes import CODES
from skin_lesion.model import WEIGHTS, read_metrics
from train.augment import augment
from train.cache import load_images
from train.card import write_card
from train.checkpoint import CHECKPOINT, plain, resume, save_checkpoint
from train.data import read_ham10000
from train.folder import PREDICTIONS, SIDE, save_model_folder
from train.metrics import balanced_accuracy
from train.options import FitError, Options
from train.split import PARTS, RATIOS, fingerprint, split
from train.start import build_model, earlier_training

MAX_SKIPPED = 20  # steps in a row without finite gradients before training gives up


def fit(options: Options) -> Path:
    """Train as the options say and return the model folder."""
    _check_out(options)
    device = _device(options.device)
    # what "auto" came to is kept with the run, and a resumed run must come to the same
    options = replace(options, device=str(device), amp=_amp(options.amp, device))
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "off": torch.float32}[options.amp]
    made: dict[str, Any] = {"seed": options.split_seed}
    made |= {"fold": options.fold} if options.fold else {"ratios": RATIOS}
    parts = split(read_ham10000(options.data), **made)
    split_id = fingerprint(parts)
    training, validation = (_subset(parts[p], options.limit) for p in ("train", "val"))
    print(
        f"split {split_id}: {len(training):,} training and {len(validation):,} validation images; "
        f"{device}, mixed precision {options.amp}"
    )
    copies = [load_images(training, SIDE), load_images(training, SIDE, recompressed=True)]
    labels = torch.tensor([record.label for record in training])
    if len(training) < options.batch:
        raise FitError(f"--batch {options.batch} is more than the {len(training)} training images; lower it.")
    truth = np.array([record.label for record in validation])
    # (7,); a class that a small subset lacks counts as one image
    share = torch.bincount(labels, minlength=len(CODES)).clamp(min=1) / len(labels)
    adjustment = (options.adjust * share.log()).to(device)

    torch.manual_seed(options.seed)
    model = build_model(options.init, options.drop_path).to(device)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(param_groups_weight_decay(model, options.weight_decay), lr=options.lr)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)
    average = ModelEmaV3(model, decay=options.ema) if options.ema else None
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in normalisation(model))
    steps = len(labels) // options.batch  # an epoch drops its incomplete last batch

    before = earlier_training(options.init, split_id)
    checkpoint = options.out / CHECKPOINT
    state = {"model": model, "optimizer": optimizer, "scaler": scaler, "average": average}
    first, history = resume(checkpoint, state, options, split_id)

    for epoch in range(first, options.epochs):
        started, losses, skipped, in_a_row = time.perf_counter(), [], 0, 0
        side = options.side(epoch)
        torch.manual_seed(options.seed * 100_003 + epoch)  # dropout and stochastic depth
        generator = torch.Generator().manual_seed(options.seed * 100_003 + epoch)
        model.train()
        progress = tqdm(
            _batches(len(labels), options.batch, generator),
            f"epoch {epoch + 1}/{options.epochs}",
            steps,
            unit_scale=options.batch,
            unit="image",
            leave=False,
            disable=None,
            mininterval=2,
        )
        for step, index in enumerate(progress):
            for group in optimizer.param_groups:
                group["lr"] = options.lr * _schedule(epoch + step / steps, options.warmup, options.epochs)
            x = torch.from_numpy(_pick(copies, index, generator)).to(device)
            x = ((augment(x, side, generator) - mean) / std).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
                logits = model(x)
            y = labels[index].to(device)
            loss = F.cross_entropy(logits.float() + adjustment, y, label_smoothing=options.smoothing)
            scaler.scale(loss).backward()
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
        best = average.module if average else model
        probabilities = predict(best, validation, options.input_side, options.batch, device, dtype)
        if not np.isfinite(probabilities).all():  # an overflow in the forward pass stays in batch norm
            raise FitError(
                f"The weights of epoch {epoch + 1} give answers that are not finite; the checkpoint of the epoch "
                f"before is kept. Lower --lr (now {options.lr:g}) or use --amp bf16 or off (now {options.amp})."
            )
        line: dict[str, Any] = {
            "epoch": epoch + 1,
            "side": side,
            "loss": round(float(np.mean(losses)), 4) if losses else None,
            "val_balanced_accuracy": round(balanced_accuracy(truth, probabilities), 4),
            "skipped_steps": skipped,
            "images_per_second": round(steps * options.batch / seconds, 1),
        }
        history.append(line)
        print(json.dumps(line), flush=True)
        save_checkpoint(checkpoint, state, options, split_id, history)

    best = average.module if average else model
    save_model_folder(
        best,
        options.out,
        options.input_side,
        split=made | {"fingerprint": split_id, "images": {p: len(parts[p]) for p in PARTS}},
        training={"images": len(training), "options": plain(options), "history": history, **before},
    )
    write_card(options.out, read_metrics(options.out))
    (options.out / PREDICTIONS).unlink(missing_ok=True)  # of earlier weights
    checkpoint.unlink()  # the run is whole
    print(f"model folder: {options.out}\nnext: python -m train.calibrate {options.out} --data {options.data}")
    return options.out


def _check_out(options: Options) -> None:
    """Before any work: --out can be written, and holds no finished model that would be lost."""
    out = options.out
    if (out / WEIGHTS).exists() and not (out / CHECKPOINT).exists():
        raise FitError(
            f"{out} holds a finished model. Give another --out, or delete the folder; "
            f"to go on with that model: python -m train.calibrate {out}."
        )
    if not options.resume:  # what is resumed is there
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FitError(f"--out {out} cannot be written ({error.strerror}); give the path of a folder.") from None


def normalisation(model: torch.nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the model's input, as timm knows them."""
    config = resolve_model_data_config(model)
    return config["mean"], config["std"]


@torch.inference_mode()
def predict(
    model: torch.nn.Module,
    records: list,
    side: int,
    batch: int,
    device: torch.device,
    dtype: torch.dtype,
) -> np.ndarray:
    """Probabilities (N, 7) of whole images, no augmentation; leaves the model in evaluation mode."""
    images = load_images(records, SIDE)
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in normalisation(model))
    model.eval()
    rows = []
    for start in range(0, len(images), batch):
        x = torch.from_numpy(np.array(images[start : start + batch])).to(device).float() / 255
        if side != SIDE:
            x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
        x = ((x - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            logits = model(x)
        rows.append(logits.float().softmax(1).cpu().numpy())
    return np.concatenate(rows)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise FitError(
            f"--device {name!r} cannot be used ({str(error).splitlines()[0]}). Here: {', '.join(here)}."
        ) from None
    return device


def _amp(amp: str, device: torch.device) -> str:
    """bf16, fp16 or off; what auto means on this device."""
    if amp != "auto":
        return amp
    if device.type == "cuda":
        # EfficientNet in fp16 has produced NaN gradients in public reports: bf16 first
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # emulated bf16 is slower than float32: only where the processor computes in it
    onednn = torch.backends.mkldnn.is_available()
    return "bf16" if onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported() else "off"


def _schedule(epoch: float, warmup: float, epochs: int) -> float:
    """Linear warm-up, then cosine to zero: the factor of the peak learning rate."""
    if epoch < warmup:
        return (epoch + 0.01) / (warmup + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / max(epochs - warmup, 1e-9)))


def _batches(count: int, batch: int, generator: torch.Generator) -> Iterator[np.ndarray]:
    order = torch.randperm(count, generator=generator).numpy()
    for start in range(0, count - batch + 1, batch):
        yield order[start : start + batch]


def _pick(copies: list[np.ndarray], index: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """(B, 3, S, S) uint8, each image from one of the copies at random."""
    which = torch.randint(len(copies), (len(index),), generator=generator).tolist()
    return np.stack([copies[w][i] for w, i in zip(which, index, strict=True)])


def _subset(records: list, limit: int) -> list:
    return records if not limit else records[:: max(1, len(records) // limit)][:limit]
