"""The data sources that come with mipnet: scikit-learn's small sets, MNIST, and files."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from mipnet.bench.data import Raw, register_data
from mipnet.errors import QueryError, ReadError

#: Folder of MNIST and Fashion-MNIST, in ``mnist/`` and ``fashion/``.
VARIABLE = "MIPNET_DATA"
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@register_data("digits")
def digits() -> Raw:
    """Handwritten digits, 1797 images of 8 x 8 pixels, 10 classes (scikit-learn, UCI)."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return Raw(pixels.astype(np.uint8), labels.astype(np.int64), "classification", 16.0, (0, 1))


@register_data("breast_cancer")
def breast_cancer() -> Raw:
    """Breast cancer Wisconsin, 569 rows, 30 features scaled to [0, 1], 2 classes (UCI)."""
    from sklearn.datasets import load_breast_cancer

    return _tabular(*load_breast_cancer(return_X_y=True), task="classification")


@register_data("wine")
def wine() -> Raw:
    """Wine recognition, 178 rows, 13 features scaled to [0, 1], 3 classes (UCI)."""
    from sklearn.datasets import load_wine

    return _tabular(*load_wine(return_X_y=True), task="classification")


@register_data("diabetes")
def diabetes() -> Raw:
    """Diabetes progression, 442 rows, 10 features scaled to [0, 1], standardised target."""
    from sklearn.datasets import load_diabetes

    return _tabular(*load_diabetes(return_X_y=True), task="regression")


@register_data("mnist")
def mnist() -> Raw:
    """MNIST, 60,000 + 10,000 images of 28 x 28 pixels, from ``MIPNET_DATA`` or OpenML."""
    return _images("mnist", "mnist_784")


@register_data("fashion")
def fashion() -> Raw:
    """Fashion-MNIST, 60,000 + 10,000 images of 28 x 28, from ``MIPNET_DATA`` or OpenML."""
    return _images("fashion", "Fashion-MNIST")


def from_file(
    path: Path,
    task: str | None = None,
    domain: tuple[float, float] | None = None,
    scale: float = 1.0,
) -> Raw:
    """Read data of an ``.npz`` file with ``X`` and ``y``.

    Parameters
    ----------
    path : Path
    task : str, optional
        Classification where ``y`` holds whole numbers, when absent.
    domain : tuple of float, optional
    scale : float
        Divisor of ``X``.

    Raises
    ------
    ReadError
        When the file is no such archive; object arrays are never opened.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not {"X", "y"} <= set(archive.files):
                msg = f"{path}: needs arrays X and y, holds {', '.join(archive.files) or 'none'}"
                raise ReadError(msg)
            inputs, targets = archive["X"], archive["y"]
    except ReadError:
        raise
    except (OSError, EOFError, ValueError, AttributeError, BadZipFile, zlib.error) as error:
        msg = f"{path}: no readable .npz file with X and y ({error})"
        raise ReadError(msg) from error
    for name, array in (("X", inputs), ("y", targets)):
        if not array.ndim or array.dtype.kind not in "biuf":
            msg = f"{path}: {name} must hold one row of real numbers for each item, not "
            raise ReadError(f"{msg}{array.dtype} {array.shape}")
    whole = targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer)
    return Raw(
        inputs, targets, task or ("classification" if whole else "regression"), scale, domain
    )


def _tabular(features: Any, targets: Any, *, task: str) -> Raw:
    low, high = features.min(axis=0), features.max(axis=0)
    scaled = (features - low) / np.where(high > low, high - low, 1.0)
    if task == "regression":
        spread = targets.std()
        return Raw(scaled, (targets - targets.mean()) / spread, task, 1.0, (0.0, 1.0))
    return Raw(scaled, targets.astype(np.int64), task, 1.0, (0.0, 1.0))


def _images(folder: str, openml: str) -> Raw:
    root = os.environ.get(VARIABLE)
    if root:
        place = Path(root) / folder
        parts = [_idx(place, f"{part}-images-idx3-ubyte") for part in ("train", "t10k")]
        labels = [_idx(place, f"{part}-labels-idx1-ubyte") for part in ("train", "t10k")]
        pixels, classes = np.concatenate(parts), np.concatenate(labels)
    else:
        pixels, classes = _from_openml(openml, folder)
    flat = pixels.reshape(len(pixels), -1).astype(np.uint8)
    return Raw(flat, classes.astype(np.int64), "classification", 255.0, (0, 1), n_train=60_000)


def _from_openml(name: str, folder: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    from sklearn.datasets import fetch_openml

    try:
        found = fetch_openml(name, version=1, as_frame=False, parser="liac-arff")
    except Exception as error:
        msg = (
            f"{folder} is not at hand: set {VARIABLE} to the folder that holds {folder}/ with the "
            f"four IDX files, or allow scikit-learn to fetch it from openml.org ({error})"
        )
        raise QueryError(msg) from error
    return found.data, found.target


def _idx(folder: Path, name: str) -> npt.NDArray[Any]:
    """One IDX file, plain or gzip."""
    for path, opened in ((folder / f"{name}.gz", gzip.open), (folder / name, open)):
        if path.exists():
            try:
                with opened(path, "rb") as stream:
                    content = stream.read()
            except (OSError, EOFError, zlib.error) as error:
                msg = f"{path}: cannot be read ({error})"
                raise ReadError(msg) from error
            return _read_idx(content, path)
    msg = f"{folder} ({VARIABLE}) holds neither {name}.gz nor {name}"
    raise QueryError(msg)


def _read_idx(content: bytes, path: Path) -> npt.NDArray[Any]:
    kind, dimensions = (content[2], content[3]) if len(content) >= 4 else (0, 0)
    start = 4 + 4 * dimensions
    if kind not in _IDX_TYPES or len(content) < start:
        msg = f"{path}: no IDX file"
        raise ReadError(msg)
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    values = np.frombuffer(content, dtype=_IDX_TYPES[kind], offset=start)
    if values.size != int(np.prod(shape)):
        msg = f"{path}: holds {values.size} values for the shape {shape}; the file is cut short"
        raise ReadError(msg)
    return values.reshape(shape)
