"""Files beside the records: networks, masks and data, held against what was stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mipnet.bench.data import Data
from mipnet.bench.errors import StoreError
from mipnet.bench.provenance import file_hash

#: Name of the mask file of an artefact.
MASK = "mask.safetensors"


def stored_files(folder: Path, names: tuple[str | None, ...]) -> dict[str, str]:
    """Content hashes of the files of an artefact, by name; None stands for no file."""
    return {name: file_hash(folder / name) for name in names if name is not None}


def spoilt_files(folder: Path, record: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Files of a finished network or mask that are not what was stored.

    Parameters
    ----------
    folder : Path
        Results folder.
    record : mapping
        Of the network or mask.

    Yields
    ------
    path : Path
    reason : str
    """
    if record["status"] != "optimal":
        return
    result, place = record["result"], folder / "artefacts" / record["id"]
    wanted: dict[str, str | None] = {result["file"]: None} if result.get("file") else {}
    if result.get("mask_hash"):
        wanted[MASK] = result["mask_hash"]
    for name, known in (wanted | result.get("files", {})).items():
        path = place / name
        if not path.is_file():
            yield path, "the file is gone, or something else is in its place"
            continue
        try:
            same = known is None or file_hash(path) == known
        except OSError as error:
            yield path, f"it cannot be read ({error})"
            continue
        if not same:
            yield path, "its content is not what was stored"


def spoilt_data(folder: Path, fingerprint: str) -> str:
    """Say what is wrong with a stored data set; empty when nothing is.

    Parameters
    ----------
    folder : Path
        Results folder.
    fingerprint : str
        Of the data set.
    """
    place = folder / "data" / fingerprint
    try:
        same = Data.load(place).fingerprint == fingerprint
    except StoreError as error:
        return str(error)
    return "" if same else "its content does not belong to its name"
