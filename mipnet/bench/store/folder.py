"""A results folder as a whole: the plan it belongs to, its state, its runs."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mipnet.bench.errors import DamagedError, StoreError
from mipnet.bench.plan.expand import Matrix
from mipnet.bench.plan.model import Plan
from mipnet.bench.store.files import read_json, set_aside_notes, write_bytes, write_json
from mipnet.bench.store.markers import read_markers
from mipnet.bench.store.records import Records, move_damaged, read_records
from mipnet.bench.store.schema import SCHEMA
from mipnet.bench.tasks import FOLDERS, identity

PLAN = "plan.json"


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
    if folder.exists() and not folder.is_dir():
        msg = f"{folder} is a file; name a folder for the results"
        raise StoreError(msg)
    path = folder / PLAN
    notes: list[str] = []
    if path.exists():
        try:
            known = read_plan(folder)
        except DamagedError as error:
            if not _written_for(folder, plan):
                raise
            notes = move_damaged(folder, [(path, str(error))])
            known = {"name": plan.name}
        if known["name"] != plan.name:
            msg = (
                f"{folder} holds the results of the plan {known['name']!r}, not of {plan.name!r}; "
                "choose another folder, or the plan it belongs to"
            )
            raise StoreError(msg)
    elif _written_for(folder, plan):
        notes = [f"{PLAN} was gone and is made anew"]
    elif folder.is_dir() and any(p for p in folder.iterdir() if not p.name.startswith(".lock")):
        msg = f"{folder} is not empty and no results folder (no {PLAN}); choose another"
        raise StoreError(msg)
    write_bytes(folder / "plan.toml", plan.text.encode())
    write_json(path, describe(plan, matrix))
    return notes


def _written_for(folder: Path, plan: Plan) -> bool:
    """Whether the plan as it was written, which lies beside, is this one."""
    try:
        text = (folder / "plan.toml").read_text(encoding="utf-8")
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
    """Read the resolved plan of a results folder.

    Raises
    ------
    DamagedError
        When it is damaged; says what is wrong, and what to do.
    StoreError
        When the folder has none, or one of another release.
    """
    path = folder / PLAN
    try:
        plan = read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"{folder} is no results folder: it has no {PLAN}"
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
    unusable = [*found.damaged, *marks.damaged]
    tasks: dict[str, list[str]] = plan["tasks"]
    wanted = {task_id for ids in tasks.values() for task_id in ids}
    done = {
        kind: Counter(found.found[i]["status"] for i in ids if i in found.found)
        for kind, ids in tasks.items()
    }
    spent: dict[str, list[float]] = {kind: [] for kind in tasks}
    for record in found.found.values():
        spent[record["kind"]].append(record["process"].get("seconds") or 0.0)
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
        seconds={kind: sum(s) / len(s) for kind, s in spent.items() if s},
    )
