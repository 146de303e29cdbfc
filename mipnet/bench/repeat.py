"""One cell of finished results asked again, here and now, with the log of the solver."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from mipnet.bench.errors import StoreError
from mipnet.bench.plan import expand, load_plan
from mipnet.bench.plugins import load_plugins
from mipnet.bench.stages.channel import Channel
from mipnet.bench.stages.perform import perform
from mipnet.bench.statistics import Claim, contradiction
from mipnet.bench.store.folder import read_plan
from mipnet.bench.store.records import read_record
from mipnet.bench.tasks import Task

#: Columns that are set side by side.
SHOWN = ("status", "verdict", "objective", "bound", "nodes", "solves", "total_s")


@dataclass(frozen=True)
class Repeat:
    """A cell as it was recorded and as it came out now.

    Attributes
    ----------
    name : str
    before, now : mapping
        Columns of :data:`SHOWN`.
    contradiction : str
        Why both cannot be right; empty when they can.
    """

    name: str
    before: Mapping[str, Any]
    now: Mapping[str, Any]
    contradiction: str


def repeat_cell(
    folder: Path | str, cell: str, *, plan: Path | str | None = None, log: TextIO | None = None
) -> Repeat:
    """Ask a cell again, in this process; nothing in the folder is changed.

    There are no hard limits: a solver that hangs has to be interrupted.

    Parameters
    ----------
    folder : path
        Results folder, with its artefacts and data.
    cell : str
        Identity of the cell, or its beginning.
    plan : path, optional
        Plan file; needed by cells that read files of their own (``vnnlib``).
    log : text file, optional
        Receives the log of the solver.

    Raises
    ------
    StoreError
        When there is no such cell, or what it needs is missing.
    """
    place = Path(folder)
    read_plan(place)
    path = _cell_file(place, cell)
    try:
        record = read_record(path)
    except StoreError as error:
        msg = f"{path}: {error}; run the plan again to have it done again"
        raise StoreError(msg) from error
    load_plugins()
    task = _task(record, plan)
    with open(os.devnull, "wb") as nowhere:
        result = perform(task, place, Channel(nowhere.fileno()), log)
    before = {"status": record["status"], **record["result"]}
    goal = str(result.get("goal") or "")
    claims = [
        Claim(goal, str(found["status"]), found.get("objective"), found.get("bound"))
        for found in (before, result)
    ]
    old, new = ({k: found.get(k) for k in SHOWN} for found in (before, result))
    return Repeat(task.name, old, new, contradiction(claims))


def _cell_file(place: Path, cell: str) -> Path:
    if not cell.isalnum():
        msg = f"{cell!r} is no identity of a cell: hexadecimal digits, column 'cell' of the tables"
        raise StoreError(msg)
    found = sorted((place / "cells").glob(f"{cell}*.json"))
    if len(found) != 1:
        what = f"{len(found)} cells begin" if found else "no cell begins"
        msg = f"{place}: {what} with {cell!r}"
        raise StoreError(msg)
    return found[0]


def _task(record: Mapping[str, Any], plan: Path | str | None) -> Task:
    key = record["key"]
    files: Mapping[str, str] = {}
    if key.get("files"):
        if plan is None:
            msg = f"cell {record['id']} reads files of its own: name the plan they are in"
            raise StoreError(msg)
        same = [task for task in expand(load_plan(plan)).tasks if task.id == record["id"]]
        if not same:
            msg = f"cell {record['id']} is not in {plan} as it is now, with the files as they are"
            raise StoreError(msg)
        files = same[0].files
    return Task(
        id=record["id"],
        pair=record["pair"],
        kind="solve",
        key=key,
        needs=tuple(key["needs"].values()),
        labels=record["labels"],
        files=files,
    )
