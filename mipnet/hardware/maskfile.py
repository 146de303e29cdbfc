"""Files of hardware masks: safetensors arrays with a JSON header in the metadata.

Arrays are ``<i>/keep`` (uint8) of tile and element masks and ``<i>/kept`` (int64) of unit masks.
The metadata entry ``mipnet.hardware.mask`` is a JSON object with ``version`` and ``masks``: name,
kind and plain fields of each. Files of :class:`mipnet.pruning.Mask` are read as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mipnet.errors import MaskError
from mipnet.hardware.apply import AnyMask
from mipnet.hardware.masks import ElementMask, NMMask, TileMask
from mipnet.pruning import LayerMask, Mask

FORMAT = "mipnet.hardware.mask"
VERSION = 1

Arrays = dict[str, npt.NDArray[Any]]


def save_masks(
    masks: Mapping[str, AnyMask | Iterable[AnyMask]], path: str | os.PathLike[str]
) -> None:
    """Write masks by name; an existing file is replaced.

    Raises
    ------
    MaskError
        When something is no mask.
    """
    arrays: Arrays = {}
    entries: list[dict[str, Any]] = []
    for name, value in masks.items():
        for mask in value if isinstance(value, list | tuple) else (value,):
            entries.append({"name": name, **_entry(mask, str(len(entries)), arrays)})
    header = {"version": VERSION, "masks": entries}
    save_file(arrays, Path(path), {FORMAT: json.dumps(header, allow_nan=False)})


def load_masks(path: str | os.PathLike[str]) -> Mask | dict[str, tuple[AnyMask, ...]]:
    """Read a file of :func:`save_masks`, or of :meth:`mipnet.pruning.Mask.save`.

    Raises
    ------
    MaskError
        When the file is neither, or is damaged.
    FileNotFoundError
        When there is no such file.
    """
    try:
        with safe_open(Path(path), framework="numpy") as file:
            text = (file.metadata() or {}).get(FORMAT)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if text is None:
            return Mask.load(path)
        header = json.loads(text)
        if header["version"] != VERSION:
            msg = f"it has version {header['version']}; this release reads version {VERSION}"
            raise MaskError(msg)
        masks: dict[str, tuple[AnyMask, ...]] = {}
        for i, entry in enumerate(header["masks"]):
            name = str(entry["name"])
            masks[name] = (*masks.get(name, ()), _mask(entry, str(i), arrays))
    except FileNotFoundError:
        raise
    except OSError as error:
        msg = f"cannot read masks {os.fspath(path)!r}: {error}"
        raise MaskError(msg) from error
    except (MaskError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"cannot read masks {os.fspath(path)!r}: {error or repr(error)}"
        raise MaskError(msg) from error
    return masks


def _entry(mask: object, key: str, arrays: Arrays) -> dict[str, Any]:
    if isinstance(mask, LayerMask):
        arrays[f"{key}/kept"] = mask.kept
        entry = {"kind": "units", "width": mask.width, "unit": mask.unit}
        return entry if mask.tile is None else {**entry, "tile": mask.tile, "shape": mask.shape}
    if isinstance(mask, TileMask):
        arrays[f"{key}/keep"] = mask.keep.astype(np.uint8)
        return {"kind": "tiles", "tile": mask.tile, "shape": mask.shape, "tile_map": mask.tile_map}
    if isinstance(mask, NMMask):
        return {"kind": "n:m", "n": int(mask.n), "m": int(mask.m)}
    if isinstance(mask, ElementMask):
        arrays[f"{key}/keep"] = mask.keep.astype(np.uint8)
        return {"kind": "elements", "compressed": mask.compressed}
    msg = f"{type(mask).__name__} is no mask"
    raise MaskError(msg)


def _mask(entry: Mapping[str, Any], key: str, arrays: Arrays) -> AnyMask:
    kind = entry["kind"]
    if kind == "units":
        tile, shape = (entry.get(side) for side in ("tile", "shape"))
        kept, width, unit = arrays[f"{key}/kept"], entry["width"], entry["unit"]
        return LayerMask(kept, width, unit, shape=shape and tuple(shape), tile=tile and tuple(tile))
    if kind == "n:m":
        return NMMask(entry["n"], entry["m"])
    keep = arrays[f"{key}/keep"].astype(bool)
    if kind == "tiles":
        return TileMask(keep, tuple(entry["tile"]), tuple(entry["shape"]), entry["tile_map"])
    if kind == "elements":
        return ElementMask(keep, bool(entry["compressed"]))
    msg = f"masks of kind {kind!r} are unknown"
    raise MaskError(msg)
