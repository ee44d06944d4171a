"""Decode every image once into a uint8 array on disk, so that no epoch waits for JPEG files.

The file's name carries a digest of the names, sizes and times of the images it was made from and
of the way they were decoded: when any of these change, another file is built, and a stale one is
never read. It is written under a temporary name first, so a broken build leaves nothing behind.
"""

import hashlib
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from skin_lesion.images import ImageError, open_image
from train.data import DataError, Record

CACHE = Path("runs/cache")
FORMAT = 1  # raise when the decoding below changes


def load_images(records: Sequence[Record], side: int, recompressed: bool = False, folder: Path = CACHE) -> np.ndarray:
    """Images of `records`, squashed to side × side: uint8 (N, 3, side, side), memory-mapped.

    recompressed: save and open each once more as JPEG of a quality from 40 to 90 that depends on
        its id. Training on both copies makes the model indifferent to compression.

    Raises:
        DataError: an image cannot be decoded, or the file cannot be written; names it.
    """
    digest = hashlib.sha256(f"{FORMAT},{side},{recompressed}".encode())
    for record in records:
        try:
            stat = record.path.stat()
        except OSError as error:
            raise DataError(f"{record.path} cannot be read ({error.strerror}); download it again.") from None
        digest.update(f"{record.path.resolve()},{stat.st_size},{stat.st_mtime_ns}\n".encode())
    file = folder / f"{digest.hexdigest()[:20]}.npy"
    if not file.exists():
        partial = file.with_suffix(f".{os.getpid()}.partial")  # two runs may build the same one
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _build(partial, records, side, recompressed)
            partial.replace(file)
        except OSError as error:
            gigabytes = len(records) * 3 * side**2 / 1e9
            raise DataError(
                f"The decoded images, {gigabytes:.1f} GB, cannot be written to {file} ({error.strerror or error}). "
                "Make room there, or start from a folder on another disk."
            ) from None
        finally:
            partial.unlink(missing_ok=True)
    try:
        return np.load(file, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise DataError(f"{file}, the decoded images, is damaged ({error}); delete it, and it is made again.") from None


def _build(path: Path, records: Sequence[Record], side: int, recompressed: bool) -> None:
    # written, not memory-mapped: where the disk is full, a write raises, and a mapped page kills the process
    with open(path, "wb") as out, ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
        shape = (len(records), 3, side, side)
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
        decoded = pool.map(lambda record: _decode(record, side, recompressed), records)
        for image in tqdm(decoded, "decoding", len(records), unit="image", disable=None):
            out.write(image.tobytes())


def _decode(record: Record, side: int, recompressed: bool) -> np.ndarray:
    try:
        image = open_image(record.path)
    except ImageError as error:
        raise DataError(f"{record.path}: {error}") from None
    image = image.resize((side, side), Image.Resampling.BICUBIC)
    if recompressed:
        quality = 40 + hashlib.sha256(record.image_id.encode()).digest()[0] % 51
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        image = Image.open(buffer)
    return np.asarray(image).transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)
