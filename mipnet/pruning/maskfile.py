"""The mask file: safetensors arrays with a JSON header in the metadata.

Arrays are ``kept/<layer>`` (int64) and, where present, ``scores/<layer>``,
``compensation/<layer>`` and ``bias/<layer>`` (float64). The metadata entry ``mipnet.mask`` is a
JSON object with ``version``, ``layers`` (``width`` and ``unit`` of each, ``shape`` of its weight
and size of a ``tile`` where known) and ``provenance``. Version 1 had no shapes, tiles and biases.
"""

from __future__ import annotations

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

from mipnet.errors import MaskError
from mipnet.network.writers.base import replace_file
from mipnet.pruning.mask import LayerMask, Mask, Provenance, layer_mask

FORMAT = "mipnet.mask"
VERSION = 2
READABLE = (1, 2)
PARTS = {"kept": np.int64, "scores": np.float64, "compensation": np.float64}

Arrays = dict[str, npt.NDArray[Any]]


def write_mask(mask: Mask, path: str | os.PathLike[str]) -> None:
    """Write a mask; an existing file is replaced once the new one is complete."""
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
    try:
        with safe_open(Path(path), framework="numpy") as file:
            header = _header(file.metadata())
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
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
        known = " and ".join(map(str, READABLE))
        msg = f"it has format version {header['version']}; this release reads {known}"
        raise MaskError(msg)
    return header


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
