"""``.npz`` files: ``W0``, ``b0``, ``W1``, ``b1``, ... and optionally ``lb``, ``ub``, ``c``."""

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

from mipnet.errors import ReadError, UnsupportedError
from mipnet.network.layers import Affine, Flatten, ReLU
from mipnet.network.network import Network
from mipnet.network.readers.arrays import from_arrays
from mipnet.network.readers.base import (
    Array,
    Reader,
    existing_file,
    has_suffix,
    head,
    is_path,
    numeric,
    register_reader,
)
from mipnet.network.readers.values import located

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
    every element. Other names are ignored. Nothing is ever unpickled.

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
        network = network.with_input_bounds(
            -np.inf if lower is None else lower, np.inf if upper is None else upper
        )
    return NpzProblem(network, lower, upper, objective)


def save_npz(
    network: Network,
    path: str | os.PathLike[str],
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
    objective: npt.ArrayLike | None = None,
) -> None:
    """Write a chain of affine layers with ReLU in between, as :func:`read_problem` reads it.

    Parameters
    ----------
    network : Network
        Its own input bounds are written where ``lower`` or ``upper`` is None.
    path : path
        Written as it is; end it in ``.npz``.
    lower, upper : array_like, scalar or shape (n_in,), optional
    objective : array_like, scalar or shape (n_out,), optional

    Raises
    ------
    UnsupportedError
        When the network is anything but affine, ReLU, affine, ..., affine.
    """
    layers = [node for node in network.nodes if not isinstance(node.layer, Flatten)]
    wrong = [
        f"{node.name!r} ({node.layer.kind}): expected {(Affine, ReLU)[k % 2].kind} as step {k}"
        for k, node in enumerate(layers)
        if not isinstance(node.layer, (Affine, ReLU)[k % 2])
    ]
    if len(layers) % 2 == 0:
        wrong.append(f"{network.output!r}: the last layer must be Affine")
    if wrong:
        raise UnsupportedError(f"{path}: npz", wrong)
    arrays: dict[str, npt.ArrayLike] = {}
    for k, node in enumerate(layers[::2]):
        arrays[f"W{k}"], arrays[f"b{k}"] = (
            _stored(values, network.dtype) for values in node.layer.parameters
        )
    own = (None, None) if network.input_bounds is None else network.input_bounds
    box = (own[0] if lower is None else lower, own[1] if upper is None else upper)
    for key, values in (("lb", box[0]), ("ub", box[1]), ("c", objective)):
        if values is not None:
            flat = np.asarray(values, float)
            arrays[key] = flat if flat.ndim == 0 else flat.ravel()
    with open(path, "wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


@register_reader("npz")
class NpzReader(Reader):
    """``.npz`` files and mappings with ``W0``, ``b0``, ..."""

    takes = ".npz file with W0, b0, W1, b1, ..."

    def accepts(self, source: object) -> bool:
        """See :meth:`Reader.accepts`."""
        if isinstance(source, Mapping):
            return "W0" in source
        if not is_path(source):
            return False
        return has_suffix(source, ".npz") or (
            head(source, 4) == b"PK\3\4" and _holds_weights(source)
        )

    def read(self, source: Any) -> Network:
        """See :func:`read_problem`."""
        return read_problem(source).network


def _stored(values: Array, dtype: str) -> npt.NDArray[Any]:
    """Values in the dtype of the model where that loses nothing, else in float64."""
    cast = values.astype(dtype)
    return cast if np.array_equal(cast, values) else values


def _holds_weights(source: str | os.PathLike[str]) -> bool:
    try:
        with zipfile.ZipFile(source) as archive:
            return "W0.npy" in archive.namelist()
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
