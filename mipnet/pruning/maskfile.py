"""The mask file: safetensors arrays with a JSON header in the metadata.

Arrays are ``kept/<layer>`` (int64) and, where present, ``scores/<layer>``,
``compensation/<layer>`` and ``bias/<layer>`` (float64). The metadata entry ``mipnet.mask`` is a
JSON object with ``version``, ``layers`` (``width`` and ``unit`` of each, ``shape`` of its weight
and size of a ``tile`` where known), ``provenance`` and ``checksum``: the SHA-256 of the header
without it as JSON with sorted keys, then of name, type, shape and bytes of each array, by name.
Version 1 had no shapes, tiles and biases, version 2 no checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise

from mipnet.arguments import require
from mipnet.errors import MaskError
from mipnet.network.writers.base import replace_file
from mipnet.pruning.mask import LayerMask, Mask, layer_mask
from mipnet.pruning.provenance import Provenance

FORMAT = "mipnet.mask"
VERSION = 3
READABLE = (1, 2, 3)
PARTS = {"kept": np.int64, "scores": np.float64, "compensation": np.float64}

Arrays = dict[str, npt.NDArray[Any]]


def write_mask(mask: Mask, path: str | os.PathLike[str]) -> None:
    """Write a mask; an existing file is replaced once the new one is complete."""
    require(path, (str, os.PathLike), "the path of a mask", MaskError)
    replace_file(Path(path), mask_content(mask))


def mask_content(mask: Mask) -> bytes:
    """Content of the file of a mask."""
    arrays: Arrays = {}
    for name, layer in mask.layers.items():
        for part in PARTS:
            value = getattr(layer, part)
            if value is not None:
                arrays[f"{part}/{name}"] = value
    arrays.update({f"bias/{name}": values for name, values in mask.bias.items()})
    header = {
        "version": VERSION,
        "layers": {name: _entry(layer) for name, layer in mask.layers.items()},
        "provenance": asdict(mask.provenance),
    }
    header["checksum"] = _checksum(header, arrays)
    return serialise(arrays, {FORMAT: json.dumps(header, allow_nan=False)})


def read_mask(path: str | os.PathLike[str]) -> Mask:
    """Read a mask.

    Raises
    ------
    MaskError
        When the file is no mask, is damaged or has a version this release does not know.
    FileNotFoundError
        When there is no such file.
    """
    require(path, (str, os.PathLike), "the path of a mask", MaskError)
    try:
        with safe_open(Path(path), framework="numpy") as file:
            header = _header(file.metadata())
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        _verify(header, arrays)
        bias = {
            name.removeprefix("bias/"): _typed(name, arrays.pop(name), np.float64)
            for name in list(arrays)
            if name.startswith("bias/")
        }
        layers = _layers(header["layers"], arrays)
        return Mask(layers, Provenance(**header["provenance"]), bias)
    except MaskError as error:
        msg = f"cannot read mask {os.fspath(path)!r}: {error}"
        raise MaskError(msg) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        why = "it is a folder" if Path(path).is_dir() else str(error)
        msg = f"cannot read mask {os.fspath(path)!r}: {why}"
        raise MaskError(msg) from error
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"cannot read mask {os.fspath(path)!r}: the file is damaged ({error!r})"
        raise MaskError(msg) from error


def _header(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    text = (metadata or {}).get(FORMAT)
    if text is None:
        msg = f"it is no mask file: no {FORMAT!r} header"
        raise MaskError(msg)
    header: dict[str, Any] = json.loads(text)
    if header["version"] not in READABLE:
        known = ", ".join(map(str, READABLE))
        msg = f"it has format version {header['version']}; this release reads {known}"
        raise MaskError(msg)
    return header


def _verify(header: Mapping[str, Any], arrays: Arrays) -> None:
    """Raise where the content is not what was written."""
    if header["version"] < 3 and "checksum" not in header:
        return
    if header["checksum"] != _checksum(header, arrays):
        msg = "the file is damaged: its checksum does not match; make the mask anew"
        raise MaskError(msg)


def _checksum(header: Mapping[str, Any], arrays: Arrays) -> str:
    rest = {key: value for key, value in header.items() if key != "checksum"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name, values in sorted(arrays.items()):
        little = values.dtype.newbyteorder("<")
        digest.update(json.dumps([name, little.str, values.shape]).encode())
        digest.update(np.ascontiguousarray(values, dtype=little).tobytes())
    return digest.hexdigest()


def _layers(entries: Mapping[str, Mapping[str, Any]], arrays: Arrays) -> dict[str, LayerMask]:
    layers = {}
    for name, entry in entries.items():
        parts = {part: arrays.pop(f"{part}/{name}", None) for part in PARTS}
        if parts["kept"] is None:
            msg = f"layer {name!r}: array 'kept/{name}' is missing"
            raise MaskError(msg)
        for part, value in parts.items():
            if value is not None:
                _typed(f"{part}/{name}", value, PARTS[part])
        known = {key: entry[key] for key in ("shape", "tile") if entry.get(key) is not None}
        layers[name] = layer_mask(name, width=entry["width"], unit=entry["unit"], **known, **parts)
    if arrays:
        msg = f"arrays that no layer of the header claims: {sorted(arrays)}"
        raise MaskError(msg)
    return layers


def _entry(layer: LayerMask) -> dict[str, Any]:
    entry: dict[str, Any] = {"width": layer.width, "unit": layer.unit}
    if layer.shape is not None:
        entry["shape"] = list(layer.shape)
    if layer.tile is not None:
        entry["tile"] = list(layer.tile)
    return entry


def _typed(name: str, value: npt.NDArray[Any], dtype: Any) -> npt.NDArray[Any]:
    if value.dtype != dtype:
        msg = f"array {name!r} is stored as {value.dtype}"
        raise MaskError(msg)
    return value
