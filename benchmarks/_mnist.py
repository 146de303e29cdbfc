"""Images in the IDX format of MNIST, from a folder that holds the four published files."""

from __future__ import annotations

import gzip
import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

#: Third byte of an IDX file: the type of its values. MNIST knows unsigned bytes only.
UNSIGNED_BYTE = 8


@dataclass(frozen=True)
class Images:
    """One half of the data.

    Attributes
    ----------
    pixels : array of uint8, shape (n, 784)
    labels : array of uint8, shape (n,)
    """

    pixels: Bytes
    labels: Bytes

    @property
    def scaled(self) -> npt.NDArray[np.float64]:
        """Pixels in [0, 1]."""
        return self.pixels / 255.0

    @cached_property
    def digest(self) -> str:
        """SHA-256 over pixels and labels, hexadecimal."""
        return hashlib.sha256(self.pixels.tobytes() + self.labels.tobytes()).hexdigest()


def read_idx(path: Path) -> Bytes:
    """Array of an IDX file, compressed with gzip or not.

    Raises
    ------
    ValueError
        When the file holds something else, or less or more than its head says.
    """
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != UNSIGNED_BYTE:
        msg = f"{path}: not an IDX file of unsigned bytes"
        raise ValueError(msg)
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        msg = f"{path}: ends within its head"
        raise ValueError(msg)
    shape = struct.unpack(f">{raw[3]}I", raw[4:start])
    values = np.frombuffer(raw, np.uint8, offset=start)
    if values.size != np.prod(shape, dtype=np.int64):
        msg = f"{path}: holds {values.size} values, its head says {shape}"
        raise ValueError(msg)
    return values.reshape(shape)


def read_images(folder: Path, part: str) -> Images:
    """Read images and labels of ``train`` or ``t10k``.

    Raises
    ------
    FileNotFoundError
        When a file is missing; names the folder and what belongs into it.
    ValueError
        When a file is damaged or the two do not fit.
    """
    pixels = read_idx(_file(folder, f"{part}-images-idx3-ubyte"))
    labels = read_idx(_file(folder, f"{part}-labels-idx1-ubyte"))
    if pixels.ndim != 3 or labels.shape != pixels.shape[:1]:
        msg = f"{folder}: {part} has images of {pixels.shape} and labels of {labels.shape}"
        raise ValueError(msg)
    return Images(pixels.reshape(len(pixels), -1), labels)


def _file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    msg = f"{folder}: needs {name} or {name}.gz; give the folder of the four MNIST files as --data"
    raise FileNotFoundError(msg)
