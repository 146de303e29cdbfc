"""Calibration and training data of pruning methods."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError, MipnetError, NetworkError, UnsupportedError
from mipnet.network import Network

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs, and targets where there are some.

    Attributes
    ----------
    X : array, shape (batch, *input_shape), or None
    y : array, shape (batch, ...), or None
        Class labels or regression targets.
    """

    X: Array | None = None
    y: npt.NDArray[Any] | None = None

    @staticmethod
    def of(network: Network, data: Any, y: npt.ArrayLike | None = None) -> Data:
        """Check data against a network.

        Parameters
        ----------
        network : Network
        data : array, (X, y), mapping with ``X`` and perhaps ``y``, path of an .npz file, or None
            A tuple of two is a pair (X, y), a list is an array. Inputs have shape
            (batch, *input_shape) or (batch, n_inputs).
        y : array, optional
            Targets, where ``data`` has none.

        Raises
        ------
        MaskError
            When inputs are empty, not finite or of another width than the network's, or there is
            not one target for each of them.
        """
        return Data.checked(network, *parts(data, y))

    @staticmethod
    def checked(network: Network, X: Any, y: npt.ArrayLike | None = None) -> Data:
        """Check inputs and targets, each as an array, against a network; see :meth:`of`."""
        if X is None:
            return Data(None, None if y is None else np.asarray(y))
        inputs = _inputs(network, X)
        return Data(inputs, None if y is None else _targets(y, len(inputs)))

    @property
    def hash(self) -> str | None:
        """SHA-256 of inputs and targets, hexadecimal; None without data."""
        if self.X is None:
            return None
        digest = hashlib.sha256()
        for values in (self.X, self.y):
            if values is not None:
                digest.update(repr(values.shape).encode())
                digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return digest.hexdigest()


def parts(data: Any, y: npt.ArrayLike | None = None) -> tuple[Any, npt.ArrayLike | None]:
    """Take inputs and targets out of the ways to give them (:meth:`Data.of`), unchecked."""
    if isinstance(data, Data):
        return data.X, data.y if y is None else y
    if isinstance(data, str | os.PathLike):
        data = read_npz(data)
    if isinstance(data, Mapping):
        if "X" not in data:
            msg = f"data need an entry X (inputs); there are {sorted(map(str, data))}"
            raise MaskError(msg)
        return data["X"], data.get("y") if y is None else y
    if isinstance(data, tuple) and len(data) == 2:
        return data[0], data[1] if y is None else y
    return data, y


def as_network(source: object, inputs: Any, input_shape: Sequence[int] | None = None) -> Network:
    """Network of whatever :func:`~mipnet.network.readers.load` reads.

    Parameters
    ----------
    source : object
    inputs : array or None
        Calibration inputs: they tell the shape of an input where the source does not, as a torch
        module that begins with a convolution.
    input_shape : sequence of int, optional

    Raises
    ------
    MaskError
        When a network has another shape.
    """
    if isinstance(source, Network):
        if input_shape is not None and tuple(input_shape) != source.input_shape:
            msg = f"the network takes inputs of shape {source.input_shape}, not {input_shape}"
            raise MaskError(msg)
        return source
    from mipnet.network.readers import load

    if input_shape is not None:
        return load(source, input_shape=tuple(input_shape))
    try:
        item = np.shape(inputs)[1:]
    except ValueError:  # ragged; the check of the data says so
        item = ()
    if len(item) < 2:
        return load(source)
    # An object may take a vector as well as an image; files mostly say what they take.
    shapes: list[dict[str, Any]] = [{"input_shape": item}, {}]
    if isinstance(source, str | os.PathLike):
        shapes.reverse()
    faults: list[MipnetError] = []
    for options in shapes:
        try:
            return load(source, **options)
        except MipnetError as error:
            faults.append(error)
    # Operations that are not read are so with any shape; else what lacks is a shape.
    raise next((e for e in faults if isinstance(e, UnsupportedError)), faults[shapes.index({})])


def read_npz(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Arrays of an .npz file, without executing anything in it.

    Raises
    ------
    MaskError
        When it is none, or holds objects.
    FileNotFoundError
        When there is no such file.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, AttributeError, BadZipFile, EOFError, KeyError) as error:
        msg = f"cannot read data {os.fspath(path)!r}: it must be an .npz file of arrays ({error})"
        raise MaskError(msg) from error


def _inputs(network: Network, data: Any) -> Array:
    try:
        inputs, _ = network.batch(data)
    except NetworkError as error:
        msg = f"data do not fit the network: {error}"
        raise MaskError(msg) from error
    if not len(inputs) or not np.isfinite(inputs).all():
        msg = "data must hold at least one input, and no NaN or infinite value"
        raise MaskError(msg)
    return inputs


def _targets(y: npt.ArrayLike, count: int) -> npt.NDArray[Any]:
    targets = np.asarray(y)
    if targets.dtype.kind not in "biuf" or not targets.ndim or len(targets) != count:
        msg = f"y must hold a number for each of the {count} inputs, "
        msg += f"got {targets.dtype} of shape {targets.shape}"
        raise MaskError(msg)
    if not np.isfinite(targets).all():
        msg = "y holds NaN or infinite values"
        raise MaskError(msg)
    return targets
