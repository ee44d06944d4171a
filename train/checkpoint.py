"""Keep a run's state after every whole epoch, and take it up again.

A write that fails or is killed leaves the last good checkpoint whole.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from skin_lesion.model import WEIGHTS, file_digest
from train.files import whole
from train.options import FitError, Options


def plain(options: Options) -> dict[str, Any]:
    """The options as they come back from JSON, without what names a place on this machine."""
    values = asdict(options)
    for name in ("data", "out", "resume"):
        del values[name]
    if values["init"] not in ("imagenet", "none"):
        values["init"] = Path(values["init"]).name
    values["teacher"] = [folder.name for folder in options.teacher]
    return json.loads(json.dumps(values))


def learned_from(options: Options) -> list[str]:
    """Digests of the weights that the run begins with and learns from: the names of all model folders' are the same."""
    files = [folder / WEIGHTS for folder in options.teacher]
    if options.init not in ("imagenet", "none"):
        files.append(Path(options.init))
    return [file_digest(file) for file in files]


def save_checkpoint(state: dict, options: Options, split_id: str, history: list, weights: Sequence[str] = ()) -> None:
    """Replace the checkpoint of the epoch before.

    Raises:
        FitError: it cannot be written; the old one is whole.
    """
    saved = {name: part.state_dict() for name, part in state.items() if part is not None}
    saved |= {"options": plain(options), "split": split_id, "history": history, "weights": list(weights)}
    buffer = io.BytesIO()  # of a full disk torch says "unexpected pos 640 vs 598"
    torch.save(saved, buffer)
    path = options.checkpoint
    try:
        with whole(path) as partial:
            partial.write_bytes(buffer.getbuffer())
    except OSError as error:
        kept = f"the epochs before are kept in {path}" if path.exists() else "no epoch is kept yet"
        raise FitError(
            f"The checkpoint of epoch {len(history)}, {len(buffer.getbuffer()) / 1e6:.0f} MB, cannot be written to "
            f"{path} ({error.strerror or error}); {kept}. Make room there, then give the same command"
            + (" with --resume." if path.exists() else ".")
        ) from None


def check_resume(options: Options) -> None:
    """Raises FitError where there is no checkpoint to resume, or one that would be overwritten unasked."""
    path = options.checkpoint
    if options.resume and not path.is_file():
        raise FitError(f"--resume: there is no {path}; leave --resume out to start, or give the --out of the run.")
    if path.is_file() and not options.resume:
        raise FitError(
            f"{path.parent} holds an unfinished run. Add --resume to go on with it, or delete {path} to start anew."
        )


def read_checkpoint(state: dict, options: Options, split_id: str, weights: Sequence[str] = ()) -> dict[str, Any]:
    """The checkpoint of all of `state` that --resume asks for; {} without --resume.

    Raises:
        FitError: it is damaged or of another run.
    """
    if not options.resume:
        return {}
    path = options.checkpoint
    try:
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():  # torch.load does not compare the checksums
                raise ValueError(f"the checksum of {broken} differs")
        saved = torch.load(path, map_location="cpu", weights_only=True)
        expected = {"options", "split", "history", *(name for name, part in state.items() if part is not None)}
        if missing := expected - saved.keys():
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except Exception as error:  # torch.load raises many kinds; the next step is one
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FitError(
            f"--resume: {path} cannot be read as a checkpoint of train.fit ({reason}). "
            "Put back a copy of it, or delete it and start anew without --resume."
        ) from None
    now = plain(options)
    # as JSON, and with what all runs had where an earlier version kept them
    earlier = {"processes": 1, "teacher": [], "disturb": 0.0, "freeze": 0, "crossfit": None}
    then = earlier | json.loads(json.dumps(saved["options"]))
    changed = [f"{k} {then.get(k)!r} -> {now[k]!r}" for k in now if now[k] != then.get(k)]
    if saved.get("weights", list(weights)) != list(weights):  # an earlier version kept none
        changed.append("other weights under the names of --init and --teacher")
    if saved["split"] != split_id:
        changed.append(f"split {saved['split']} -> {split_id}")
    if changed:
        raise FitError(
            f"--resume: {path} comes from another run ({'; '.join(changed)}). Use its options, or start anew."
        )
    return saved


def restore(state: dict, saved: dict[str, Any]) -> list:
    """Put a checkpoint into `state`. Returns the log lines of the epochs done, [] for a new run."""
    for name, part in state.items():
        if part is not None and saved:
            part.load_state_dict(saved[name])
    return saved.get("history", [])
