"""``.npz`` files: ``W0``, ``b0``, ... or an architecture; optionally ``lb``, ``ub``, ``c``."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import ReadError
from mipnet.network.architecture import parsed, rebuilt
from mipnet.network.network import Network
from mipnet.network.numbers import Array, numeric
from mipnet.network.readers.arrays import from_arrays
from mipnet.network.readers.base import (
    Reader,
    existing_file,
    has_suffix,
    head,
    is_path,
    register_reader,
)
from mipnet.network.readers.values import located

#: Member with the architecture, in files of networks that are no chain.
ARCHITECTURE = "architecture"
PARAMETER = re.compile(r"([Wb])(0|[1-9][0-9]*)")


@dataclass(frozen=True, eq=False)
class NpzProblem:
    """Everything an ``.npz`` file holds.

    Attributes
    ----------
    network : Network
        With the input bounds attached, where the file has any.
    lower, upper : array, shape (n_in,), or None
        ``lb`` and ``ub``; None when absent.
    objective : array, shape (n_out,), or None
        ``c``; None when absent.
    """

    network: Network
    lower: Array | None
    upper: Array | None
    objective: Array | None


def read_problem(source: str | os.PathLike[str] | Mapping[str, npt.ArrayLike]) -> NpzProblem:
    """Read network, input bounds and objective.

    Layers are ``y = W x + b`` with ``W`` of shape (n_out, n_in) and ReLU after every layer but the
    last. ``lb``, ``ub`` (inputs) and ``c`` (outputs) are scalars or vectors; scalars stand for
    every element. Other names are ignored. Files with an ``architecture`` hold networks of any
    layers (:mod:`mipnet.network.architecture`). Nothing is ever unpickled.

    Parameters
    ----------
    source : path or mapping of arrays

    Raises
    ------
    ReadError
        When the file is missing, damaged, holds object arrays or lacks a weight or bias, or when
        bounds or objective are NaN, empty or of the wrong shape.
    NetworkError
        When the shapes of the layers do not fit or a parameter is NaN or infinite.
    """
    name = "arrays" if isinstance(source, Mapping) else str(source)
    arrays = _arrays(source, name)
    if ARCHITECTURE in arrays:
        text = str(arrays[ARCHITECTURE])
        held = {k: v for k, v in arrays.items() if k not in (ARCHITECTURE, "lb", "ub", "c")}
        network = rebuilt(parsed(text, name), held, name)
    else:
        count = _layer_count(arrays, name)
        weights = [arrays[f"W{k}"] for k in range(count)]
        biases = [arrays[f"b{k}"] for k in range(count)]
        labels = [f"W{k}" for k in range(count)]
        network = from_arrays(weights, biases, names=labels, source=name)
    with located(name):
        lower = _vector(arrays, "lb", network.n_inputs)
        upper = _vector(arrays, "ub", network.n_inputs)
        objective = _vector(arrays, "c", network.n_outputs)
        _check_box(lower, upper)
        if objective is not None and not np.all(np.isfinite(objective)):
            msg = "c: holds infinite values"
            raise ReadError(msg)
    if lower is not None or upper is not None:
        sides = (-np.inf if lower is None else lower, np.inf if upper is None else upper)
        shape = network.input_shape
        network = network.with_input_bounds(
            *(np.broadcast_to(side, (network.n_inputs,)).reshape(shape) for side in sides)
        )
    return NpzProblem(network, lower, upper, objective)


@register_reader("npz")
class NpzReader(Reader):
    """``.npz`` files and mappings with ``W0``, ``b0``, ..."""

    takes = ".npz file with W0, b0, W1, b1, ... or an architecture"

    def accepts(self, source: object) -> bool:
        """See :meth:`Reader.accepts`."""
        if isinstance(source, Mapping):
            return "W0" in source or ARCHITECTURE in source
        if not is_path(source):
            return False
        return has_suffix(source, ".npz") or (
            head(source, 4) == b"PK\3\4" and _holds_weights(source)
        )

    def read(self, source: Any) -> Network:
        """See :func:`read_problem`."""
        return read_problem(source).network


def _holds_weights(source: str | os.PathLike[str]) -> bool:
    try:
        with zipfile.ZipFile(source) as archive:
            return not {"W0.npy", f"{ARCHITECTURE}.npy"}.isdisjoint(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _arrays(source: str | os.PathLike[str] | Mapping[str, Any], name: str) -> dict[str, Any]:
    try:
        if isinstance(source, Mapping):
            return dict(source)
        path = existing_file(source)
        if not zipfile.is_zipfile(path):
            msg = f"{name}: truncated, damaged or not an .npz file"
            raise ReadError(msg)
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except ReadError:
        raise
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        what = f"damaged: {error}"
        if "allow_pickle" in str(error):
            what = "holds object arrays, which are pickles and never opened; save arrays of numbers"
        msg = f"{name}: {what}"
        raise ReadError(msg) from error


def _layer_count(arrays: Mapping[str, Any], name: str) -> int:
    found = {kind: set[int]() for kind in "Wb"}
    for key in arrays:
        match = PARAMETER.fullmatch(key)
        if match:
            found[match[1]].add(int(match[2]))
    count = max((k + 1 for indices in found.values() for k in indices), default=0)
    gaps = (f"{kind}{k}" for k in range(count) for kind in "Wb" if k not in found[kind])
    missing = ", ".join(islice(gaps, 10))
    if not count or missing:
        needs = f"lacks {missing}" if missing else "holds no W0, b0, W1, b1, ..."
        msg = f"{name}: {needs}; it holds {sorted(arrays)}"
        raise ReadError(msg)
    return count


def _vector(arrays: Mapping[str, Any], key: str, size: int) -> Array | None:
    if key not in arrays:
        return None
    values, _ = numeric(arrays[key], key)
    if values.shape not in ((), (1,), (size,)):
        msg = f"{key}: must be a scalar or of shape ({size},), got {values.shape}"
        raise ReadError(msg)
    if np.isnan(values).any():
        msg = f"{key}: holds NaN, first at {np.argwhere(np.isnan(values))[0].tolist()}"
        raise ReadError(msg)
    return np.broadcast_to(values, (size,)).copy()


def _check_box(lower: Array | None, upper: Array | None) -> None:
    low, high = np.broadcast_arrays(
        -np.inf if lower is None else lower, np.inf if upper is None else upper
    )
    empty = np.flatnonzero((low > high) | (low == np.inf) | (high == -np.inf))
    if empty.size:
        k = int(empty[0])
        msg = (
            f"empty box: {len(empty)} input(s) have no value between lb and ub, first input {k} "
            f"with lb = {low[k]}, ub = {high[k]}"
        )
        raise ReadError(msg)
