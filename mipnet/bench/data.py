"""Data of an experiment: inputs, targets, domain and split, stored so that a cell reads one row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mipnet.bench.errors import StoreError
from mipnet.bench.registry import Registry
from mipnet.bench.store.files import write_bytes, write_json
from mipnet.errors import QueryError

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: Arrays of a stored data set, one file each.
_ARRAYS = ("inputs", "targets", "lower", "upper", "train", "test")
#: What reading them raises when they are damaged.
_UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError),
    *(OverflowError, SyntaxError, RecursionError, MemoryError),
)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set, split.

    Attributes
    ----------
    source : str
        Registered name or file.
    inputs : array, shape (n, features)
        As stored; :meth:`points` divides by ``scale``.
    targets : array, shape (n,) or (n, n_outputs)
        Class labels 0, 1, ... or regression targets.
    scale : float
        Divisor of the inputs: images are kept as whole numbers.
    lower, upper : array, shape (features,)
        Domain of the scaled inputs.
    task : {"classification", "regression"}
    train, test : array of int
        Rows of each part.
    """

    source: str
    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    scale: float
    lower: Array
    upper: Array
    task: str
    train: Indices
    test: Indices

    def points(self, items: npt.ArrayLike) -> Array:
        """Scaled inputs of some rows, shape (len(items), features)."""
        return np.asarray(self.inputs[np.asarray(items)], dtype=np.float64) / self.scale

    def part(self, name: str) -> Indices:
        """Rows of ``train`` or ``test``."""
        return self.train if name == "train" else self.test

    @property
    def fingerprint(self) -> str:
        """SHA-256 over arrays, scale, task and split, hexadecimal."""
        digest = hashlib.sha256(f"{self.scale!r} {self.task}".encode())
        for name in _ARRAYS:
            values = getattr(self, name)
            digest.update(f"{name} {values.shape} {values.dtype.str}".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` file for each array, and ``about.json`` last."""
        for name in _ARRAYS:
            write_bytes(folder / f"{name}.npy", _npy(getattr(self, name)))
        about = {"source": self.source, "scale": self.scale, "task": self.task}
        write_json(folder / "about.json", about)

    @classmethod
    def load(cls, folder: Path) -> Data:
        """Open stored data; arrays stay on the disk until they are read.

        Raises
        ------
        StoreError
            When a file is missing or damaged.
        """
        try:
            about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
            arrays = {
                name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in _ARRAYS
            }
            return cls(
                source=str(about["source"]),
                scale=float(about["scale"]),
                task=str(about["task"]),
                **arrays,
            )
        except _UNREADABLE as error:
            msg = f"{folder}: data cannot be read ({error}); delete the folder and run again"
            raise StoreError(msg) from error


@dataclass(frozen=True, eq=False)
class Raw:
    """What a source gives: a data set before the split.

    Attributes
    ----------
    inputs, targets, scale, task
        As in :class:`Data`.
    domain : tuple of two numbers or arrays, optional
        Of the scaled inputs; the smallest and largest value of each feature when absent.
    n_train : int, optional
        Where the set comes with its own split: the first so many rows are for training.
    """

    inputs: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    task: str
    scale: float = 1.0
    domain: tuple[npt.ArrayLike, npt.ArrayLike] | None = None
    n_train: int | None = None


Source = Callable[[], Raw]
S = TypeVar("S", bound=Source)

#: Data sources by name.
DATA: Registry[Source] = Registry("data source")


def register_data(name: str) -> Callable[[S], S]:
    """Decorate a function without parameters that returns :class:`Raw` data."""

    def file(source: S) -> S:
        DATA.file(name, source)
        return source

    return file


def split(raw: Raw, source: str, *, test: float | None = None, seed: int = 0) -> Data:
    """Split a data set into rows for training and for tests.

    Parameters
    ----------
    raw : Raw
    source : str
    test : float, optional
        Rows for tests: a share below 1, or a number of rows. A quarter when absent, or the split
        the set comes with.
    seed : int
        Of the shuffle; classes keep their shares.

    Raises
    ------
    QueryError
        When arrays or numbers do not fit.
    """
    inputs = raw.inputs.reshape(len(raw.inputs), -1) if raw.inputs.ndim else raw.inputs
    if inputs.ndim != 2 or not len(inputs) or len(raw.targets) != len(inputs):
        msg = f"{source}: inputs {raw.inputs.shape} and targets {raw.targets.shape} do not fit"
        raise QueryError(msg)
    if not (np.isfinite(inputs).all() and np.isfinite(raw.targets).all()):
        msg = f"{source}: inputs or targets hold NaN or infinite values"
        raise QueryError(msg)
    if raw.domain is None:
        lower, upper = inputs.min(axis=0) / raw.scale, inputs.max(axis=0) / raw.scale
    else:
        lower, upper = (
            np.broadcast_to(np.asarray(side, dtype=np.float64), inputs.shape[1:])
            for side in raw.domain
        )
    if test is None and raw.n_train is not None:
        rows = np.arange(len(inputs))
        train_rows, test_rows = rows[: raw.n_train], rows[raw.n_train :]
    else:
        train_rows, test_rows = _shuffled(raw, source, 0.25 if test is None else test, seed)
    return Data(
        source=source,
        inputs=np.ascontiguousarray(inputs),
        targets=np.ascontiguousarray(raw.targets),
        scale=raw.scale,
        lower=np.array(lower, dtype=np.float64),
        upper=np.array(upper, dtype=np.float64),
        task=raw.task,
        train=train_rows.astype(np.int64),
        test=test_rows.astype(np.int64),
    )


def _shuffled(raw: Raw, source: str, test: float, seed: int) -> tuple[Indices, Indices]:
    from sklearn.model_selection import train_test_split

    count = len(raw.inputs)
    size = int(test) if test >= 1 else round(test * count)
    if not 0 < size < count:
        msg = f"{source}: {test:g} of {count} rows for tests leaves one part empty"
        raise QueryError(msg)
    classes = raw.targets if raw.task == "classification" else None
    rows = np.arange(count)
    train, held = train_test_split(rows, test_size=size, random_state=seed, stratify=classes)
    return np.asarray(train), np.asarray(held)


def _npy(values: npt.NDArray[Any]) -> bytes:
    import io

    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()
