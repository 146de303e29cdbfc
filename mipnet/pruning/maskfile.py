"""The mask file: safetensors arrays with a JSON header in the metadata.

Arrays are ``kept/<layer>`` (int64) and, where present, ``scores/<layer>`` and
``compensation/<layer>`` (float64). The metadata entry ``mipnet.mask`` is a JSON object with
``version``, ``layers`` (``width`` and ``unit`` of each) and ``provenance``.
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
from safetensors.numpy import save_file

from mipnet.errors import MaskError
from mipnet.pruning.mask import LayerMask, Mask, Provenance, layer_mask

FORMAT = "mipnet.mask"
VERSION = 1
PARTS = {"kept": np.int64, "scores": np.float64, "compensation": np.float64}

Arrays = dict[str, npt.NDArray[Any]]


def write_mask(mask: Mask, path: str | os.PathLike[str]) -> None:
    """Write a mask; an existing file is replaced."""
    arrays: Arrays = {}
    for name, layer in mask.layers.items():
        for part in PARTS:
            value = getattr(layer, part)
            if value is not None:
                arrays[f"{part}/{name}"] = value
    header = {
        "version": VERSION,
        "layers": {name: {"width": m.width, "unit": m.unit} for name, m in mask.layers.items()},
        "provenance": asdict(mask.provenance),
    }
    save_file(arrays, Path(path), {FORMAT: json.dumps(header, allow_nan=False)})


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
        layers = _layers(header["layers"], arrays)
        return Mask(layers, Provenance(**header["provenance"]))
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
    if header["version"] != VERSION:
        msg = f"it has format version {header['version']}; this release reads version {VERSION}"
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
            if value is not None and value.dtype != PARTS[part]:
                msg = f"layer {name!r}: {part} is stored as {value.dtype}"
                raise MaskError(msg)
        layers[name] = layer_mask(name, width=entry["width"], unit=entry["unit"], **parts)
    if arrays:
        msg = f"arrays that no layer of the header claims: {sorted(arrays)}"
        raise MaskError(msg)
    return layers
