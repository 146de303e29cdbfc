"""Records of one or several folders -> tables, with what only the whole can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mipnet.bench.errors import StoreError
from mipnet.bench.problems.base import FAILED, SOLVED
from mipnet.bench.statistics import (
    Claim,
    contradiction,
    primal_dual_integral,
    primal_integral,
    running_best,
    times_to,
)
from mipnet.bench.store.files import json_files, read_json
from mipnet.bench.store.folder import read_plan, spoilt
from mipnet.bench.store.records import Records, move_damaged, read_records
from mipnet.bench.store.rows import (
    Context,
    Row,
    artefact_row,
    cell_row,
    cost_row,
    trajectory_rows,
)
from mipnet.bench.store.values import wrong_provenance


@dataclass
class Collection:
    """Rows of all tables.

    Attributes
    ----------
    plan : dict
        Resolved plan.
    tables : dict of str to list of rows
        ``cells``, ``trajectories``, ``artefacts``, ``hardware``.
    missing : int
        Cells of the plan without a record.
    notes : list of str
        What was left out or set aside, and what cells disagree about.
    """

    plan: dict[str, Any]
    tables: dict[str, list[Row]]
    missing: int = 0
    notes: list[str] = field(default_factory=list)


def gather(folders: Sequence[Path], *, move: bool = True) -> Collection:
    """Read results folders and make rows of everything finished.

    Parameters
    ----------
    folders : sequence of Path
        One, or several of the same plan (shards run apart).
    move : bool
        Whether files that cannot be used are set aside; they are named in any case.

    Raises
    ------
    StoreError
        When a folder holds no results, or the folders belong to different plans.
    """
    if not folders:
        msg = "name at least one results folder"
        raise StoreError(msg)
    plans = [read_plan(folder) for folder in folders]
    names = {plan["name"] for plan in plans}
    if len(names) > 1:
        listing = ", ".join(f"{f} ({p['name']})" for f, p in zip(folders, plans, strict=True))
        msg = f"results of different plans do not go into one table: {listing}"
        raise StoreError(msg)
    notes: list[str] = []
    whole = Records()
    runs: dict[str, dict[str, Any]] = {}
    logs: set[str] = set()
    for folder in folders:
        records = read_records(folder)
        if records.damaged:
            notes += (
                move_damaged(folder, records.damaged)
                if move
                else [f"{p.relative_to(folder)} left out: {why}" for p, why in records.damaged]
            )
        faults = spoilt(folder, records)
        notes += [f"{path.relative_to(folder)}: {why}" for path, why in faults]
        _merge(whole, records)
        runs |= _runs(folder, notes)
        logs |= {path.stem for path in (folder / "logs").glob("*.log")}
    plan = max(plans, key=lambda p: sum(map(len, p["tasks"].values())))
    return _tables(plan, whole, runs, logs, notes)


def _merge(whole: Records, records: Records) -> None:
    """Add records; an answer beats a failure."""
    for task_id, record in records.found.items():
        known = whole.found.get(task_id)
        if known is None or (known["status"] in FAILED and record["status"] not in FAILED):
            whole.found[task_id] = record


def _runs(folder: Path, notes: list[str]) -> dict[str, dict[str, Any]]:
    found = {}
    for path in json_files(folder / "runs"):
        try:
            run = read_json(path)
            wrong = wrong_provenance(run)
        except (StoreError, OSError) as error:
            wrong = str(error)
        if wrong:
            where = path.relative_to(folder)
            notes.append(f"{where}: {wrong}; its cells are kept, without versions and commit")
        else:
            found[path.stem] = run
    return found


def _tables(
    plan: dict[str, Any],
    records: Records,
    runs: Mapping[str, dict[str, Any]],
    logs: set[str],
    notes: list[str],
) -> Collection:
    wanted = {task_id for ids in plan["tasks"].values() for task_id in ids}
    strangers = sorted(set(records.found) - wanted)
    if strangers:
        listing = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
        notes.append(
            f"{len(strangers)} record(s) belong to no task of the plan as it is now and are left "
            f"out, but kept: {listing}"
        )
    arrays = plan.get("arrays") or [{}]
    context = Context(plan["name"], records.found, runs, arrays[0].get("name"), logs)
    kinds: dict[str, list[Any]] = {
        kind: [records.found[i] for i in ids if i in records.found]
        for kind, ids in plan["tasks"].items()
    }
    cells = [cell_row(record, context) for record in kinds["solve"]]
    trajectories = [row for record in kinds["solve"] for row in trajectory_rows(record)]
    notes += _agree(cells)
    _regrets(cells)
    _integrals(cells, trajectories)
    codes = {row["code"] for row in cells if row["code"]}
    if len(codes) > 1:
        notes.append(f"cells were made by {len(codes)} different states of mipnet's code")
    for column, what in (("jobs", "numbers of cells at once"), ("node", "machines")):
        if len({row[column] for row in cells if row[column] is not None}) > 1:
            notes.append(f"cells come from different {what}: compare their times with care")
    tables = {
        "cells": cells,
        "trajectories": trajectories,
        "artefacts": [artefact_row(r, context) for r in kinds["network"] + kinds["mask"]],
        "hardware": [cost_row(r, context) for r in kinds["cost"]],
    }
    missing = len(plan["tasks"]["solve"]) - len(cells)
    return Collection(plan, tables, missing, notes)


def _groups(rows: Iterable[Row], name: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return found


def _agree(cells: list[Row]) -> list[str]:
    """Mark cells that contradict each other; return a line for each group of them."""
    notes = []
    for group in _groups(cells, "subject").values():
        claims = [
            Claim(row.get("goal") or "", row["status"], row.get("objective"), row.get("bound"))
            for row in group
        ]
        why = contradiction(claims)
        if not why:
            continue
        first = group[0]
        where = f"{first['network']} {first['pruning']}, {first['problem']}, {first['instance']}"
        notes.append(f"inconsistent: {where}: {why}")
        for row in group:
            if row["status"] in SOLVED | {"feasible-limit"}:
                row.update(status="inconsistent", solved=False, reason=why)
    return notes


def _regrets(cells: list[Row]) -> None:
    """How much worse a decision is in the dense network than the best one known."""
    for group in _groups(cells, "question").values():
        goals = {row.get("goal") for row in group}
        if not goals & {"maximise", "minimise"}:
            continue
        sign = 1.0 if "maximise" in goals else -1.0
        values = [sign * row["original_value"] for row in group if _known(row, "original_value")]
        for row in group:
            if _known(row, "original_value"):
                row["regret"] = max(values) - sign * row["original_value"]


def _integrals(cells: list[Row], trajectories: list[Row]) -> None:
    """Measures of the way to the answer, where a trajectory tells it."""
    paths = _groups(trajectories, "cell")
    for group in _groups(cells, "subject").values():
        goals = {row.get("goal") for row in group}
        maximise = "maximise" in goals
        sign = 1.0 if maximise else -1.0
        values = [row["objective"] for row in group if _known(row, "objective")]
        if "decide" in goals or not values:
            continue
        best = max(values, key=lambda v: sign * v)
        for row in group:
            # A cell that was killed has a way, but no end.
            if row["cell"] in paths and row.get("total_s") is not None:
                _integrate(row, paths[row["cell"]], best, maximise=maximise)


def _integrate(row: Row, path: list[Row], best: float, *, maximise: bool) -> None:
    end = float(row["total_s"])
    last = {"seconds": end, "incumbent": row.get("objective"), "bound": row.get("bound")}
    points = [*path, last]
    times = np.maximum.accumulate([float(p["seconds"]) for p in points])
    incumbents, bounds = (
        np.array([np.nan if p[name] is None else p[name] for p in points], dtype=np.float64)
        for name in ("incumbent", "bound")
    )
    incumbents = running_best(incumbents, maximise=maximise)
    bounds = running_best(bounds, maximise=not maximise)
    row["primal_integral"] = primal_integral(times, incumbents, best, end)
    row["primal_dual_integral"] = primal_dual_integral(times, incumbents, bounds, end)
    first, last_best = times_to(times, incumbents)
    row["first_s"] = None if np.isnan(first) else first
    row["best_s"] = None if np.isnan(last_best) else last_best


def _known(row: Row, name: str) -> bool:
    return row.get(name) is not None and row["status"] != "inconsistent"
