"""One task from start to record: what joblib runs, wherever it runs it."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mipnet.bench.errors import StoreError
from mipnet.bench.provenance import load_average, machine
from mipnet.bench.runner.exits import FULL, INTERRUPTED
from mipnet.bench.runner.supervisor import Outcome, Supervisor, supervisor
from mipnet.bench.store.files import timestamp, write_json
from mipnet.bench.store.markers import write_marker
from mipnet.bench.store.records import read_record
from mipnet.bench.store.schema import SCHEMA
from mipnet.bench.tasks import Task
from mipnet.errors import MissingPackageError

#: Bytes that have to be free before a task is begun.
HEADROOM = 16 << 20
#: How often a task is begun when somebody else kills it.
ATTEMPTS = 3
#: The system clock may drift from the monotonic one by so many seconds, or this share, in a cell.
DRIFT, DRIFT_SHARE = 1.0, 0.05


@dataclass(frozen=True)
class Order:
    """What a worker needs to know of a task and the run it belongs to.

    Attributes
    ----------
    task : dict
        As of :meth:`Task.to_dict`.
    folder : str
    run : dict
        ``id``, ``jobs``, ``backend``, ``host`` of the run.
    parent : int or None
        Process that has to be there still; None where workers belong to somebody else.
    previous : tuple of dict
        How earlier attempts ended.
    """

    task: Mapping[str, Any]
    folder: str
    run: Mapping[str, Any]
    parent: int | None = None
    previous: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Report:
    """What the runner hears of a task.

    Attributes
    ----------
    id, kind, name, status, reason : str
    seconds : float
    trouble : str
        ``disk`` or ``runner`` when there is no record; empty otherwise.
    """

    id: str
    kind: str
    name: str
    status: str = ""
    reason: str = ""
    seconds: float = 0.0
    trouble: str = ""


@dataclass
class _Calibration:
    """Seconds of the calibration in this process, by run."""

    seconds: dict[str, float | None] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_CALIBRATION = _Calibration()


def work(order: Order) -> Report:
    """Do a task and write its record; never raises for anything the task does.

    Parameters
    ----------
    order : Order

    Returns
    -------
    Report
    """
    task = Task.from_dict(order.task)
    orphaned = partial(_orphaned, order.parent)
    if orphaned():
        # The runner was killed; the queue it left is nobody's business any more.
        os._exit(1)
    report = partial(Report, task.id, task.kind, task.name)
    try:
        record = _record(task, order, supervisor(orphaned))
    except MissingPackageError:
        raise
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in FULL
        reason = str(error) if full else _short(error)
        return report(trouble="disk" if full else "runner", reason=reason)
    return report(record["status"], record["reason"], record["process"]["seconds"])


def _record(task: Task, order: Order, watcher: Supervisor) -> dict[str, Any]:
    """Do a task under a marker and write what came of it.

    Raises
    ------
    OSError
        When there is no room for it.
    """
    folder = Path(order.folder)
    done = _done_in_this_run(folder, task, order)
    if done is not None:
        return done
    if shutil.disk_usage(folder).free < HEADROOM:
        raise OSError(errno.ENOSPC, f"less than {HEADROOM >> 20} MB are free in {folder}")
    marker = write_marker(folder, task, os.getpid())
    try:
        record = _attempt(task, folder, order, watcher)
        if record["status"] == "disk":
            raise OSError(errno.ENOSPC, record["reason"])
        write_json(folder / task.folder / f"{task.id}.json", record)
    finally:
        with suppress(OSError):
            marker.unlink(missing_ok=True)
    return record


def _attempt(task: Task, folder: Path, order: Order, watcher: Supervisor) -> dict[str, Any]:
    """Try until the task ends by itself or at its limits."""
    log = folder / "logs" / f"{task.id}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    previous = list(order.previous)
    calibration = _calibration(folder, order, watcher)
    for attempt in range(1, ATTEMPTS + 1):
        started, load = timestamp(), load_average()
        outcome = watcher.run(task, folder, log)
        status, reason, again = judge(outcome, task)
        # The same words wherever the folder lies.
        reason = reason.replace(f"{folder}{os.sep}", "")
        about = {
            "started": started,
            "load": load,
            "machine": machine(),
            "calibration_s": calibration,
            "attempt": attempt,
            "previous": previous[:],
        }
        record = record_of(task, status, reason, outcome, {**order.run, **about})
        if not again:
            break
        previous.append({"status": status, "reason": reason, "started": started})
    _drop_empty(log)
    return record


def judge(outcome: Outcome, task: Task) -> tuple[str, str, bool]:
    """Status and reason of an outcome, and whether the task should simply be begun again.

    A process killed by somebody else, or a system clock that was set while the solver looked at
    it, says nothing about the task.
    """
    result = outcome.result
    if result is None or outcome.status in {"killed", "memory"}:
        status = "killed" if outcome.status == INTERRUPTED else outcome.status
        reason, again = outcome.reason, outcome.outside or outcome.status == INTERRUPTED
    else:
        status, reason, again = str(result["status"]), str(result["reason"]), False
    drift = max(DRIFT, DRIFT_SHARE * outcome.seconds)
    cut_short = status == "killed" or status.endswith("limit")
    if task.kind == "solve" and cut_short and abs(outcome.clock_jump_s) > drift:
        # Solvers hold their limit by the time of day.
        told = f"the system clock was moved by {outcome.clock_jump_s:.1f} s meanwhile"
        return "error", f"{told}: {reason or status}", True
    return status, reason, again


def trajectory(outcome: Outcome) -> dict[str, list[Any]]:
    """Incumbent and bound over time, in the units of the question, as columns."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("solve", "seconds", "incumbent", "bound", "nodes")
    }
    for number, seconds, incumbent, bound, nodes, scaled in outcome.events:
        factor = outcome.factors.get(int(number), 1.0) if scaled else 1.0
        values = (None if v is None else v / factor for v in (incumbent, bound))
        for name, value in zip(columns, (number, seconds, *values, nodes), strict=True):
            columns[name].append(value)
    return columns


def record_of(
    task: Task, status: str, reason: str, outcome: Outcome, run: Mapping[str, Any]
) -> dict[str, Any]:
    """Record of a task, as it is written.

    Parameters
    ----------
    task : Task
    status, reason : str
    outcome : Outcome
    run : mapping
        Where, when and within which run.
    """
    return {
        "schema": SCHEMA,
        "id": task.id,
        "pair": task.pair,
        "kind": task.kind,
        "key": dict(task.key),
        "labels": dict(task.labels),
        "status": status,
        "reason": reason,
        "result": outcome.result or {},
        "trajectory": trajectory(outcome),
        "process": {
            "seconds": outcome.seconds,
            "peak_memory_mb": outcome.peak_memory_mb,
            "user_s": outcome.user_s,
            "system_s": outcome.system_s,
            "clock_jump_s": outcome.clock_jump_s,
        },
        "run": dict(run),
    }


def failed_before(task: Task, reason: str, order: Order) -> dict[str, Any]:
    """Record of a task whose artefact could not be made."""
    about = {**order.run, "started": timestamp(), "attempt": 0, "previous": []}
    return record_of(task, "error", reason, Outcome(), about)


def _done_in_this_run(folder: Path, task: Task, order: Order) -> dict[str, Any] | None:
    """Record of the task, when it was written before any report of it could be heard."""
    with suppress(OSError, StoreError):
        record = read_record(folder / task.folder / f"{task.id}.json")
        # An artefact may have come from another shard meanwhile.
        shared = task.kind in {"network", "mask"} and record["status"] == "optimal"
        if shared or record["run"].get("id") == order.run["id"]:
            return record
    return None


def _calibration(folder: Path, order: Order, watcher: Supervisor) -> float | None:
    run = str(order.run["id"])
    with _CALIBRATION.lock:
        if run not in _CALIBRATION.seconds:
            outcome = watcher.run(None, folder, None)
            found = (outcome.result or {}).get("calibration_s")
            _CALIBRATION.seconds[run] = found
        return _CALIBRATION.seconds[run]


def _orphaned(parent: int | None) -> bool:
    return parent is not None and os.getppid() != parent


def _drop_empty(log: Path) -> None:
    with suppress(OSError):
        if log.stat().st_size == 0:
            log.unlink()


def _short(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    name = Path(where.filename).name
    return f"{type(error).__name__}: {error} ({name}, line {where.lineno})"
