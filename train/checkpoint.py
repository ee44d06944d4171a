"""Keep a run's state after every whole epoch, and take it up again.

Written under a temporary name first: a failed write leaves the last good checkpoint whole.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from train.options import FitError, Options

CHECKPOINT = "checkpoint.pt"  # in the model folder, until the run is whole


def plain(options: Options) -> dict[str, Any]:
    """The options as JSON, without what names a place on this machine."""
    values = asdict(options)
    for name in ("data", "out", "resume"):
        del values[name]
    if values["init"] not in ("imagenet", "none"):
        values["init"] = Path(values["init"]).name
    return values


def save_checkpoint(path: Path, state: dict, options: Options, split_id: str, history: list) -> None:
    saved = {name: part.state_dict() for name, part in state.items() if part is not None}
    saved |= {"options": plain(options), "split": split_id, "history": history}
    partial = path.with_suffix(".partial")
    torch.save(saved, partial)
    os.replace(partial, path)


def read_checkpoint(path: Path, options: Options, split_id: str) -> dict[str, Any]:
    """The checkpoint that --resume asks for; {} without --resume.

    Raises:
        FitError: there is none, it is of another run, or one would be overwritten unasked.
    """
    if not options.resume:
        if path.is_file():
            raise FitError(
                f"{path.parent} holds an unfinished run. Add --resume to go on with it, or delete {path} to start anew."
            )
        return {}
    if not path.is_file():
        raise FitError(f"--resume: there is no {path}; leave --resume out to start, or give the --out of the run.")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    now = json.loads(json.dumps(plain(options)))
    # one process is what all runs had before their number was kept
    then = {"processes": 1} | json.loads(json.dumps(saved["options"]))
    changed = [f"{k} {then.get(k)!r} -> {now[k]!r}" for k in now if now[k] != then.get(k)]
    if changed or saved["split"] != split_id:
        changed += [f"split {saved['split']} -> {split_id}"] if saved["split"] != split_id else []
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
