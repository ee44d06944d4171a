"""Write a file whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
