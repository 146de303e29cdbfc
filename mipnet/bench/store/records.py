"""Records of finished tasks: read, checked, and set aside when they cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mipnet.bench.errors import StoreError
from mipnet.bench.problems.base import STATUSES
from mipnet.bench.store.artefacts import spoilt_files
from mipnet.bench.store.files import json_files, read_json, set_aside, vanished
from mipnet.bench.store.schema import SCHEMA
from mipnet.bench.store.values import wrong_key, wrong_value
from mipnet.bench.tasks import FOLDERS, identity

#: Parts of a record.
_PARTS: Mapping[str, type] = {
    "id": str,
    "pair": str,
    "kind": str,
    "key": dict,
    "labels": dict,
    "status": str,
    "reason": str,
    "result": dict,
    "trajectory": dict,
    "process": dict,
    "run": dict,
}


@dataclass
class Records:
    """Everything finished in a results folder.

    Attributes
    ----------
    found : dict of str to dict
        Records by task.
    damaged : list of (Path, str)
        Records that cannot be used, and why.
    spoilt : list of (str, Path, str)
        Networks and masks whose files are gone or not what was stored: task, file, and why. Their
        records are whole.
    """

    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: list[tuple[Path, str]] = field(default_factory=list)
    spoilt: list[tuple[str, Path, str]] = field(default_factory=list)

    def counts(self, kind: str) -> Counter[str]:
        """How many records of a kind have each status."""
        return Counter(r["status"] for r in self.found.values() if r["kind"] == kind)


def read_records(folder: Path) -> Records:
    """Read and check every record of a results folder.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Records
        Nothing is moved; see :func:`move_damaged`.
    """
    records = Records()
    for name in dict.fromkeys(FOLDERS.values()):
        for path in json_files(folder / name):
            try:
                record = read_record(path)
            except (StoreError, OSError) as error:
                if not isinstance(error, FileNotFoundError):
                    records.damaged.append((path, str(error)))
                elif not vanished(path):
                    records.damaged.append((path, "it is a link to a file that is not there"))
                continue
            records.found[record["id"]] = record
            if record["kind"] in {"network", "mask"}:
                faults = spoilt_files(folder, record)
                records.spoilt += [(record["id"], file, why) for file, why in faults]
    return records


def read_record(path: Path) -> dict[str, Any]:
    """Read and check one record.

    Raises
    ------
    StoreError
        Saying what is wrong with it.
    FileNotFoundError
        When there is none.
    """
    record = read_json(path)
    check_record(record, path.stem)
    return dict(record)


def move_damaged(folder: Path, damaged: Iterable[tuple[Path, str]]) -> list[str]:
    """Set aside files that cannot be used, each with the reason; return a line for each."""
    lines = []
    for path, reason in damaged:
        where = path.relative_to(folder)
        target = set_aside(folder, path, reason)
        lines.append(f"{where} set aside as {target.relative_to(folder)}: {reason}")
    return lines


def check_record(record: Any, name: str) -> None:
    """Raise unless a record is one, of this schema, and belongs under its name.

    Parameters
    ----------
    record : object
        As read from JSON.
    name : str
        Name of the file without its end.

    Raises
    ------
    StoreError
        Saying what is wrong.
    """
    if not isinstance(record, dict):
        msg = f"a record is a JSON object, not {type(record).__name__}"
        raise StoreError(msg)
    version = record.get("schema")
    if version != SCHEMA:
        msg = f"it has schema version {version!r}; this release reads version {SCHEMA}"
        raise StoreError(msg)
    for part, kind in _PARTS.items():
        if not isinstance(record.get(part), kind):
            msg = f"{part!r} is missing or no {kind.__name__}"
            raise StoreError(msg)
    if record["kind"] not in FOLDERS or record["status"] not in STATUSES:
        msg = f"unknown kind {record['kind']!r} or status {record['status']!r}"
        raise StoreError(msg)
    if record["id"] != name or identity(record["kind"], record["key"]) != name:
        msg = "its content does not belong to its name; it was changed or copied"
        raise StoreError(msg)
    wrong = wrong_value(record) or wrong_key(record)
    if wrong:
        raise StoreError(wrong)
