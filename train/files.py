"""Write a file whole or not at all; keep the steps of hours of work; read a table."""

import csv
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from skin_lesion.model import ModelError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield the name to write under; it becomes `path` when the block ends well, and is removed otherwise.

    What stood under `path` stays until then, so a kill or a full disk leaves the old file or the new one.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())  # some file systems say only now that they are full
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Raise an OSError of `path` where safetensors says with an error of its own that it cannot write there."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else None, str(error), str(path)) from None


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file that PyTorch reads, and that everybody may. Raises OSError, as it cannot be written."""
    with os_errors(path):
        save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors writes 0600, but a server may run as somebody else


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Yield whether no other process is within this for the folder. Where the system knows no such locks, it is so."""
    try:
        import fcntl  # not on Windows

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield True
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it goes with the process, however that ends
        free = True
    except OSError as error:
        free = not isinstance(error, BlockingIOError)
    try:
        yield free
    finally:
        os.close(handle)


class Steps:
    """What the steps of a long measurement found, one JSON line each, so that it can go on after an interruption.

    of: all that it depends on; steps of anything else are thrown away, and what was not written whole.
    """

    def __init__(self, path: Path, of: Any):
        self.path, self.done = path, []
        head = json.dumps(of)
        try:
            first, *lines = path.read_text(encoding="utf-8").split("\n")
            self.done = [json.loads(line) for line in lines[:-1]] if first == head else []
        except (FileNotFoundError, ValueError):  # damaged: it begins anew
            pass
        with whole(path) as partial:
            partial.write_text("".join(f"{line}\n" for line in (head, *map(json.dumps, self.done))), encoding="utf-8")

    def add(self, found: Any) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        self.done.append(found)


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV in a model folder. Raises ModelError where it is missing or lacks a column, as an older one."""
    if not path.is_file():
        raise ModelError(f"There is no {path}; run train.evaluate.")
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
            raise ModelError(f"{path} lacks the column(s) {', '.join(missing)}; run train.evaluate anew.")
        try:
            rows = list(reader)
        except csv.Error:
            rows = [{}]
    if not all(row.get(name) is not None for row in rows for name in columns):
        raise ModelError(f"{path} is cut off or damaged; run train.evaluate anew.")
    return rows
