"""A results folder as a whole: the plan it belongs to, its state, its runs."""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mipnet.bench.errors import DamagedError, StoreError
from mipnet.bench.plan.expand import Matrix, expand
from mipnet.bench.plan.model import Plan
from mipnet.bench.plan.read import load_plan
from mipnet.bench.store.artefacts import spoilt_data
from mipnet.bench.store.files import read_json, set_aside_notes, write_bytes, write_json
from mipnet.bench.store.markers import read_markers
from mipnet.bench.store.records import Records, move_damaged, read_records
from mipnet.bench.store.schema import SCHEMA
from mipnet.bench.tasks import FOLDERS, identity
from mipnet.errors import MipnetError

#: The resolved plan, and the plan as it was written.
PLAN, SOURCE = "plan.json", "plan.toml"


@dataclass(frozen=True)
class State:
    """What is done and what is not.

    Attributes
    ----------
    folder : Path
    plan : str
        Name of the plan.
    total : mapping of str to int
        Tasks of the plan by kind.
    done : mapping of str to dict
        By kind, how many have each status.
    missing : mapping of str to int
    running : list of dict
        Tasks at work.
    interrupted : list of dict
        Tasks a run that was killed left behind: they wait to be done again.
    strangers : list of str
        Records that belong to no task of the plan.
    damaged : list of str
        Files that cannot be used.
    set_aside : list of dict
        Files set aside so far.
    seconds : mapping of str to float
        Mean process time of the finished tasks by kind.
    """

    folder: Path
    plan: str
    total: Mapping[str, int]
    done: Mapping[str, Mapping[str, int]]
    missing: Mapping[str, int]
    running: list[dict[str, Any]]
    interrupted: list[dict[str, Any]]
    strangers: list[str]
    damaged: list[str]
    set_aside: list[dict[str, str]]
    seconds: Mapping[str, float]


def claim(folder: Path, plan: Plan, matrix: Matrix) -> list[str]:
    """Make a folder the one of a plan, or see that it is.

    Returns
    -------
    list of str
        What was damaged and is made anew.

    Raises
    ------
    StoreError
        When it holds the results of another plan, or something else.
    """
    damaged, notes = examine(folder, plan, matrix)
    notes = move_damaged(folder, damaged) + notes
    write_bytes(folder / SOURCE, plan.text.encode())
    write_json(folder / PLAN, describe(plan, matrix))
    return notes


def examine(folder: Path, plan: Plan, matrix: Matrix) -> tuple[list[tuple[Path, str]], list[str]]:
    """See whether a folder may take the results of a plan; nothing is changed.

    Returns
    -------
    damaged : list of (Path, str)
        What cannot be used, and why.
    notes : list of str
        What else is made anew.

    Raises
    ------
    StoreError
        When it holds the results of another plan, or something else.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        msg = f"{folder} is a file; name a folder for the results"
        raise StoreError(msg)
    path = folder / PLAN
    damaged: list[tuple[Path, str]] = []
    if os.path.lexists(path):
        try:
            name = _plan_of(folder)["name"]
        except DamagedError as error:
            if not _written_for(folder, plan):
                raise
            damaged, name = [(path, str(error))], plan.name
        if name != plan.name:
            msg = (
                f"{folder} holds the results of the plan {name!r}, not of {plan.name!r}; "
                "choose another folder, or the plan it belongs to"
            )
            raise StoreError(msg)
        return damaged, []
    paths = (folder / t.folder / f"{t.id}.json" for t in matrix.tasks)
    ours = not (folder / SOURCE).exists() and any(path.exists() for path in paths)
    if ours or _written_for(folder, plan):
        return [], [f"{PLAN} was gone and is made anew"]
    if folder.is_dir() and any(p for p in folder.iterdir() if not p.name.startswith(".lock")):
        msg = f"{folder} is not empty and no results folder (no {PLAN}); choose another"
        raise StoreError(msg)
    return [], []


def _written_for(folder: Path, plan: Plan) -> bool:
    """Whether the plan as it was written, which lies beside, is this one."""
    try:
        text = (folder / SOURCE).read_text(encoding="utf-8")
        return text == plan.text or tomllib.loads(text)["plan"]["name"] == plan.name
    except (OSError, ValueError, KeyError, TypeError):
        return False


def describe(plan: Plan, matrix: Matrix) -> dict[str, Any]:
    """Return a plan as plain data: name, hash, and the tasks by kind."""
    tasks: dict[str, list[str]] = {"network": [], "mask": [], "cost": [], "solve": []}
    for task in matrix.tasks:
        tasks[task.kind].append(task.id)
    limits = {name: getattr(plan.limits, name) for name in plan.limits.__dataclass_fields__}
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "hash": identity("plan", {"tasks": sorted(t.id for t in matrix.tasks)}),
        "file": plan.path.name,
        "seed": plan.seed,
        "limits": limits,
        "resolved": resolved(plan),
        "arrays": [{"name": a.name, **a.options} for a in plan.arrays],
        "tasks": tasks,
        "pairs": [task.pair for task in matrix.cells],
    }


def resolved(plan: Plan) -> dict[str, Any]:
    """Everything a plan says, defaults filled in, as plain data."""
    return {
        "data": {
            name: {"source": d.source, "hash": d.fingerprint} for name, d in plan.data.items()
        },
        "networks": [_plain(spec) for spec in plan.networks],
        "dense": plan.dense,
        "masks": [_plain(spec) for spec in plan.masks],
        "problems": [
            {**_plain(spec), "problem": {"kind": spec.problem.kind, **_plain(spec.problem)}}
            for spec in plan.problems
        ],
        "formulations": list(plan.formulations),
        "bounds": list(plan.bounds),
        "restarts": plan.restarts,
        "permute": plan.permute,
        "seeds": list(plan.seeds),
        "solvers": [_plain(spec) for spec in plan.solvers],
        "run": _plain(plan.run),
        "pin_code": plan.pin_code,
    }


def _plain(record: Any) -> dict[str, Any]:
    """Fields of a frozen record as JSON; files by their name."""
    found = {f.name: getattr(record, f.name) for f in fields(record)}
    return {
        name: value.name if isinstance(value, Path) else value
        for name, value in found.items()
        if name != "problem"
    }


def read_plan(folder: Path) -> dict[str, Any]:
    """Read the resolved plan of a results folder, or make it from the plan as it was written.

    Raises
    ------
    DamagedError
        When it is damaged; says what is wrong, and what to do.
    StoreError
        When the folder has none, or one of another release.
    """
    if os.path.lexists(folder / PLAN) or not (folder / SOURCE).is_file():
        return _plan_of(folder)
    try:
        plan = load_plan(folder / SOURCE)
        return describe(plan, expand(plan))
    except (MipnetError, OSError) as error:
        # Names of files in it are relative to where it was read.
        why = str(error).replace("\n", " ")
        msg = (
            f"{folder} has no {PLAN}, and its {SOURCE} cannot be read from there ({why}): "
            f"mipnet bench run PLAN --results {folder} makes it anew and keeps what is finished"
        )
        raise StoreError(msg) from error


def _plan_of(folder: Path) -> dict[str, Any]:
    path = folder / PLAN
    try:
        plan = read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_symlink():
            raise DamagedError(_damaged(path, "it is a link to nothing")) from error
        msg = f"{folder} is no results folder: it has no {PLAN}"
        if any((folder / name).is_dir() for name in FOLDERS.values()):
            msg = f"{folder} has no {PLAN}: mipnet bench run PLAN --results {folder} makes it anew"
        raise StoreError(msg) from error
    except (StoreError, OSError) as error:
        raise DamagedError(_damaged(path, str(error))) from error
    wrong = _wrong(plan)
    if wrong:
        raise DamagedError(_damaged(path, wrong))
    if plan["schema"] != SCHEMA:
        msg = f"{path} has schema version {plan['schema']!r}; this release reads {SCHEMA}"
        raise StoreError(msg)
    return dict(plan)


def _damaged(path: Path, wrong: str) -> str:
    return (
        f"{path} is no plan of mipnet bench: {wrong}; run the plan again in this folder: the file "
        "is made anew, and what is finished is kept"
    )


def _wrong(plan: Any) -> str:
    """Say what of a plan is missing or of a wrong type; empty when nothing is."""
    if not isinstance(plan, dict):
        return f"it must be a JSON object, not {type(plan).__name__}"
    tasks, arrays, schema = plan.get("tasks"), plan.get("arrays", []), plan.get("schema")
    kinds = tasks if isinstance(tasks, dict) else {}
    entries = arrays if isinstance(arrays, list) else [None]
    faults = {
        "'schema' is missing or no whole number": type(schema) is not int,
        "'name' is missing or no string": not isinstance(plan.get("name"), str),
        f"'tasks' is missing or no table of {', '.join(FOLDERS)}": set(kinds) != set(FOLDERS),
        "'arrays' is no list of tables with names": not all(
            isinstance(a, dict) and isinstance(a.get("name"), str | None) for a in entries
        ),
    }
    lists = [(f"tasks.{kind}", ids) for kind, ids in kinds.items()]
    for where, ids in [*lists, ("pairs", plan.get("pairs", []))]:
        good = isinstance(ids, list) and all(isinstance(i, str) for i in ids)
        faults[f"'{where}' is no list of strings"] = not good
    return next((fault for fault, found in faults.items() if found), "")


def spoilt(folder: Path, records: Records) -> list[tuple[Path, str]]:
    """Files beside the records that are not what was stored, each with the reason."""
    faults = [(file, f"{why}; the next run makes it again") for _, file, why in records.spoilt]
    if not os.path.lexists(folder / PLAN):
        faults.append((folder / PLAN, f"it is gone; the next run makes it from {SOURCE}"))
    for path in sorted((folder / "data").glob("*")):
        why = spoilt_data(folder, path.name)
        if why:
            faults.append((path, f"{why}; the next run of a plan that needs it makes it again"))
    return faults


def state(folder: Path, records: Records | None = None) -> State:
    """State of a results folder; nothing in it is changed.

    Parameters
    ----------
    folder : Path
    records : Records, optional
        Where they have been read already.

    Raises
    ------
    StoreError
        When it is no results folder.
    """
    plan = read_plan(folder)
    found = records or read_records(folder)
    marks = read_markers(folder)
    unusable = [*found.damaged, *spoilt(folder, found), *marks.damaged]
    tasks: dict[str, list[str]] = plan["tasks"]
    wanted = {task_id for ids in tasks.values() for task_id in ids}
    done = {
        kind: Counter(found.found[i]["status"] for i in ids if i in found.found)
        for kind, ids in tasks.items()
    }
    return State(
        folder=folder,
        plan=plan["name"],
        total={kind: len(ids) for kind, ids in tasks.items()},
        done=done,
        missing={kind: len(ids) - sum(done[kind].values()) for kind, ids in tasks.items()},
        running=marks.running,
        interrupted=marks.interrupted,
        strangers=sorted(set(found.found) - wanted),
        damaged=[f"{path.relative_to(folder)}: {why}" for path, why in unusable],
        set_aside=set_aside_notes(folder),
        seconds=mean_seconds(found),
    )


def mean_seconds(records: Records) -> dict[str, float]:
    """Mean process time of the finished tasks by kind."""
    spent: dict[str, list[float]] = {}
    for record in records.found.values():
        spent.setdefault(record["kind"], []).append(record["process"].get("seconds") or 0.0)
    return {kind: sum(s) / len(s) for kind, s in spent.items()}
