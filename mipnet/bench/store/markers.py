"""Markers of tasks at work: who works on what, and what a runner that died left behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mipnet.bench.errors import StoreError
from mipnet.bench.provenance import node
from mipnet.bench.store.files import json_files, read_json, timestamp, vanished, write_json
from mipnet.bench.tasks import FOLDERS, Task
from mipnet.errors import MissingPackageError

#: Folder of the markers.
RUNNING = "running"


@dataclass
class Markers:
    """Markers of a results folder.

    Attributes
    ----------
    running : list of dict
        ``id``, ``name``, ``started``, ``pid`` and ``node`` of tasks at work; on other machines as
        far as can be told from here.
    interrupted : list of dict
        Those whose process is gone, without a record: they wait to be done again.
    stale : list of dict
        Those whose process is gone, which had finished.
    damaged : list of (Path, str)
        Files that are no markers, and why.
    """

    running: list[dict[str, Any]] = field(default_factory=list)
    interrupted: list[dict[str, Any]] = field(default_factory=list)
    stale: list[dict[str, Any]] = field(default_factory=list)
    damaged: list[tuple[Path, str]] = field(default_factory=list)


def marker_file(folder: Path, task_id: str) -> Path:
    """Where the marker of a task is."""
    return folder / RUNNING / f"{task_id}.json"


def write_marker(folder: Path, task: Task, pid: int) -> Path:
    """Say that a process is at work on a task; return the file."""
    path = marker_file(folder, task.id)
    mark = {"pid": pid, "node": node(), "started": timestamp(), "name": task.name}
    write_json(path, mark, durable=False)
    return path


def read_markers(folder: Path) -> Markers:
    """Read the markers of a results folder, and ask which processes are there."""
    found = Markers()
    for path in json_files(folder / RUNNING):
        try:
            mark = read_json(path)
        except (StoreError, OSError) as error:
            if not isinstance(error, FileNotFoundError) or not vanished(path):
                found.damaged.append((path, str(error)))
            continue
        wrong = _wrong(mark)
        if wrong:
            found.damaged.append((path, wrong))
            continue
        entry = {"id": path.stem, **mark}
        if mark["node"] != node() or alive(mark["pid"]):
            found.running.append(entry)
        elif any((folder / name / path.name).exists() for name in FOLDERS.values()):
            found.stale.append(entry)
        else:
            found.interrupted.append(entry)
    return found


def alive(pid: int) -> bool:
    """Whether a process of this machine is at work."""
    try:
        import psutil
    except ImportError as error:
        raise MissingPackageError("psutil", "looking after cells", "bench") from error
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, ValueError, OverflowError):
        return False


def _wrong(mark: Any) -> str:
    if not isinstance(mark, dict):
        return f"a marker is a JSON object, not {type(mark).__name__}"
    for name in ("node", "started", "name"):
        if not isinstance(mark.get(name), str):
            return f"{name!r} is missing or no string"
    whole = isinstance(mark.get("pid"), int) and not isinstance(mark["pid"], bool)
    return "" if whole else "'pid' is missing or no whole number"
