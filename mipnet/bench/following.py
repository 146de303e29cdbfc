"""The logs of cells at work, as they are written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mipnet.bench.store.folder import read_plan
from mipnet.bench.store.markers import read_markers

#: Seconds between two looks.
PAUSE = 0.3


def follow(folder: Path | str, *, patience: float | None = None) -> Iterator[tuple[str, str]]:
    """Lines of the logs of cells at work, from where they are now.

    Parameters
    ----------
    folder : path
        Results folder.
    patience : float, optional
        Seconds without any cell at work after which to stop; never when absent.

    Yields
    ------
    tuple of str
        Name of the cell, and a line of its log.

    Raises
    ------
    StoreError
        When it is no results folder.
    """
    place = Path(folder)
    read_plan(place)
    names: dict[str, str] = {}
    read: dict[str, int] = {}
    idle_since = time.monotonic()
    while True:
        at_work = {m["id"]: m["name"] for m in read_markers(place).running}
        names |= at_work
        for task_id in list(names):
            with suppress(OSError):
                yield from _new_lines(place / "logs" / f"{task_id}.log", names[task_id], read)
            if task_id not in at_work:
                del names[task_id]
        now = time.monotonic()
        if at_work:
            idle_since = now
        elif patience is not None and now - idle_since > patience:
            return
        time.sleep(PAUSE)


def _new_lines(path: Path, name: str, read: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Whole lines that have come since the last look."""
    with path.open("rb") as stream:
        stream.seek(read.get(path.name, 0))
        found = stream.read()
    end = found.rfind(b"\n") + 1
    read[path.name] = read.get(path.name, 0) + end
    for line in found[:end].decode(errors="replace").splitlines():
        yield name, line
