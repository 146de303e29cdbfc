"""Bounds on disk: safetensors arrays, and a JSON header that says what they hold for.

Arrays are ``lower/<node>`` and ``upper/<node>`` (float64, as computed, bit by bit). The metadata
entry ``mipnet.bounds`` is a JSON object with ``version``, the fingerprint of the network and of
each of its layers, the method that proved each node, the description of the region and a digest
of its set, and a digest of the arrays.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mipnet.bounds.data import Bounds
from mipnet.errors import BoundsError
from mipnet.network import INPUT, Interval, Network
from mipnet.network.layers.base import Array
from mipnet.region import Region

FORMAT = "mipnet.bounds"
VERSION = 1

_SIDES = ("lower", "upper")


def save_bounds(
    bounds: Bounds, path: str | os.PathLike[str], *, region: Region | None = None
) -> None:
    """Write bounds; an existing file is replaced, and never left half written.

    Parameters
    ----------
    bounds : Bounds
    path : path
    region : Region, optional
        The region they were computed over. With it, :func:`load_bounds` can refuse another one.

    Raises
    ------
    BoundsError
        When a bound is NaN, infinite or crossed, or the region is not the one of the bounds.
    """
    network = bounds.network
    for name, shape in network.shapes.items():
        if name not in bounds.intervals or name not in bounds.methods:
            msg = f"layer {name!r} has no bounds, or no method that proved them; nothing is saved"
            raise BoundsError(msg)
        _check(name, bounds.intervals[name], shape)
    arrays = {
        f"{side}/{name}": np.ascontiguousarray(getattr(bounds.intervals[name], side))
        for name in network.shapes
        for side in _SIDES
    }
    if region is not None:
        box = bounds.intervals[INPUT].reshape((network.n_inputs,))
        if region.n_inputs != network.n_inputs or not (
            np.array_equal(region.lower, box.lower[0])
            and np.array_equal(region.upper, box.upper[0])
        ):
            msg = "the bounds were not computed over this region: its box is another one"
            raise BoundsError(msg)
    header = {
        "version": VERSION,
        "fingerprint": network.fingerprint,
        "layers": _layers(network),
        "methods": dict(bounds.methods),
        "seconds": bounds.seconds,
        "region": None if region is None else region.describe(),
        "region_digest": None if region is None else region_digest(region),
        "digest": _digest(arrays),
    }
    content = save(arrays, {FORMAT: json.dumps(header, allow_nan=False)})
    _write(Path(path), content)


def load_bounds(
    path: str | os.PathLike[str], network: Network, *, region: Region | None = None
) -> Bounds:
    """Read bounds of a network.

    Parameters
    ----------
    path : path
    network : Network
        The network they were computed for.
    region : Region, optional
        The region they are to be used over. Bounds hold over no larger set than their own; give
        the region unless it is checked elsewhere.

    Returns
    -------
    Bounds
        Equal bit by bit to what was saved.

    Raises
    ------
    BoundsError
        When the file is damaged, of another format version, of another network (says what
        differs) or of another region, or holds NaN, infinite or crossed bounds.
    FileNotFoundError
        When there is no such file.
    """
    try:
        with safe_open(Path(path), framework="numpy") as file:
            header = _header(file.metadata())
            _same_network(header, network)
            _same_region(header, region)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if _digest(arrays) != header["digest"]:
            msg = "the arrays are not those that were saved"
            raise BoundsError(msg)
        intervals = {
            name: _check(name, Interval(*(arrays[f"{side}/{name}"] for side in _SIDES)), shape)
            for name, shape in network.shapes.items()
        }
        methods = {name: str(header["methods"][name]) for name in intervals}
        return Bounds(network, intervals, methods, float(header["seconds"]))
    except BoundsError as error:
        msg = f"cannot use the bounds in {os.fspath(path)!r}: {error}"
        raise BoundsError(msg) from error
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"cannot read bounds from {os.fspath(path)!r}: the file is damaged ({error!r})"
        raise BoundsError(msg) from error


def region_digest(region: Region) -> str:
    """SHA-256 over everything a region is made of, hexadecimal.

    Two regions with the same digest are the same set. One set built in two ways may have two.

    Raises
    ------
    BoundsError
        When the region holds something other than numbers, texts and arrays.
    """
    digest = hashlib.sha256(type(region).__name__.encode())
    # Not what it works out for itself in the meantime (cached properties of the class).
    made_of = {k: v for k, v in vars(region).items() if not hasattr(type(region), k)}
    _feed(digest, {"describe": region.describe(), **made_of})
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    """Add a value to a digest, with its type and size, so that no two values look alike."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        digest.update(f"array {value.dtype.str} {value.shape} ".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif value is None or isinstance(value, str | int | float | np.number | np.bool_):
        digest.update(f"{type(value).__name__} {value!r};".encode())
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)} ".encode())
        for key in sorted(value):
            _feed(digest, key)
            _feed(digest, value[key])
    elif isinstance(value, tuple | list):
        digest.update(f"sequence {len(value)} ".encode())
        for entry in value:
            _feed(digest, entry)
    else:
        msg = f"a region with a {type(value).__name__} inside has no digest; save without region"
        raise BoundsError(msg)


def _digest(arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    _feed(digest, arrays)
    return digest.hexdigest()


def _layers(network: Network) -> list[dict[str, Any]]:
    """Name, kind, inputs, shape and digest of the parameters of every layer."""
    return [
        {
            "name": node.name,
            "kind": f"{node.layer.kind}{node.layer.attributes or ''}",
            "inputs": list(node.inputs),
            "shape": list(network.shapes[node.name]),
            "parameters": _digest({str(i): p for i, p in enumerate(node.layer.parameters)}),
        }
        for node in network.nodes
    ]


def _header(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    text = (metadata or {}).get(FORMAT)
    if text is None:
        msg = f"it is no file of bounds: no {FORMAT!r} header"
        raise BoundsError(msg)
    header: dict[str, Any] = json.loads(text)
    if header["version"] != VERSION:
        msg = f"it has format version {header['version']}; this release reads version {VERSION}"
        raise BoundsError(msg)
    return header


def _same_network(header: Mapping[str, Any], network: Network) -> None:
    if header["fingerprint"] == network.fingerprint:
        return
    stored, own = header["layers"], _layers(network)
    names, present = [entry["name"] for entry in stored], [entry["name"] for entry in own]
    if names != present:
        msg = f"they belong to another network: its layers are {names}, not {present}"
        raise BoundsError(msg)
    for theirs, mine in zip(stored, own, strict=True):
        for key in ("kind", "inputs", "shape"):
            if theirs[key] != mine[key]:
                msg = f"they belong to another network: {key} of layer {mine['name']!r} is "
                msg += f"{theirs[key]}, not {mine[key]}"
                raise BoundsError(msg)
        if theirs["parameters"] != mine["parameters"]:
            msg = "they belong to another network: the parameters of layer "
            msg += f"{mine['name']!r} differ; compute the bounds again"
            raise BoundsError(msg)
    msg = "they belong to another network: the input shape differs"
    raise BoundsError(msg)


def _same_region(header: Mapping[str, Any], region: Region | None) -> None:
    if region is None or header["region_digest"] == region_digest(region):
        return
    stored = header["region"]
    what = "no region was saved with them" if stored is None else f"they hold over {stored}"
    msg = f"{what}; asked for is {region.describe()}"
    if stored == region.describe():
        msg += " with another centre or domain"
    raise BoundsError(msg)


def _check(name: str, box: Interval, shape: tuple[int, ...]) -> Interval:
    """Return the bounds of a layer, if they are ones."""
    for side in _SIDES:
        values = getattr(box, side)
        if values.dtype != np.float64 or values.shape != (1, *shape):
            msg = f"layer {name!r}: {side} is {values.dtype} of shape {values.shape}, not float64 "
            msg += f"of shape {(1, *shape)}"
            raise BoundsError(msg)
    lower, upper = box.lower.reshape(-1), box.upper.reshape(-1)
    # The comparison is false for NaN too.
    wrong = np.flatnonzero(~((lower <= upper) & np.isfinite(lower) & np.isfinite(upper)))
    if wrong.size:
        i = int(wrong[0])
        msg = f"layer {name!r}, neuron {i}: [{lower[i]}, {upper[i]}] is no finite interval"
        raise BoundsError(msg)
    return box


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
