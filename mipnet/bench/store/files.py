"""Files of a results folder: JSON written atomically, and what cannot be used set aside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mipnet.bench.errors import StoreError

#: End of the names of files being written.
PART = ".part"
#: Age in seconds from which a left-over part file belongs to nobody.
STALE = 3600.0


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all: beside it, flushed to the disk, then renamed.

    A crash leaves the old file, or none; a full disk raises and leaves no part behind.

    Parameters
    ----------
    path : Path
    content : bytes
    durable : bool
        Whether it has to survive a power cut too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns():x}{PART}")
    try:
        with part.open("wb") as stream:
            stream.write(content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write strict JSON as :func:`write_bytes` does; NaN and infinite numbers are refused."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    write_bytes(path, text.encode(), durable=durable)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    StoreError
        When it is empty, cut short or no JSON; the message says which.
    FileNotFoundError
        When there is none.
    """
    content = path.read_bytes()
    if not content:
        msg = "the file is empty"
        raise StoreError(msg)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        msg = f"no JSON: {error}"
        raise StoreError(msg) from error


def json_files(folder: Path) -> Iterator[Path]:
    """JSON files of a folder by name, without those being written."""
    if folder.is_dir():
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if e.name.endswith(".json"))
        yield from (folder / name for name in names if not name.startswith("."))


def vanished(path: Path) -> bool:
    """Whether a file that could not be found is gone, and no link that leads nowhere."""
    return not path.is_symlink()


def set_aside(folder: Path, path: Path, reason: str) -> Path:
    """Move a file that cannot be used to ``set_aside/`` and note why.

    Parameters
    ----------
    folder : Path
        Results folder.
    path : Path
        The file, somewhere in it.
    reason : str

    Returns
    -------
    Path
        Where the file is now.
    """
    place = folder / "set_aside" / path.parent.name
    place.mkdir(parents=True, exist_ok=True)
    target = place / path.name
    number = 1
    while os.path.lexists(target):
        number += 1
        target = place / f"{path.stem}.{number}{path.suffix}"
    os.replace(path, target)
    note = {
        "file": str(path.relative_to(folder)),
        "now": str(target.relative_to(folder)),
        "reason": reason,
        "noted": timestamp(),
    }
    with (folder / "set_aside" / "notes.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(note, ensure_ascii=False) + "\n")
    return target


def set_aside_notes(folder: Path) -> list[dict[str, str]]:
    """Everything ever set aside in a results folder, oldest first."""
    path = folder / "set_aside" / "notes.jsonl"
    if not path.exists():
        return []
    notes = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
        note = None
        with suppress(ValueError, RecursionError):
            note = json.loads(line)
        if isinstance(note, dict) and {"file", "reason"} <= set(note):
            notes.append({str(key): str(value) for key, value in note.items()})
        else:
            notes.append({"file": "a file", "reason": f"line {number} of {path} cannot be read"})
    return notes


def sweep(folder: Path) -> int:
    """Delete part files that a crash left behind; return how many."""
    count = 0
    for part in folder.glob(f"*/.*{PART}"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > STALE:
                part.unlink()
                count += 1
    return count


def timestamp() -> str:
    """Time of day, UTC, ISO 8601 to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
