"""A run: claim the folder, do what is not done, stage by stage, and leave it consistent."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mipnet.bench.errors import RunError, StoreError
from mipnet.bench.plan.expand import Matrix, expand
from mipnet.bench.plan.model import Plan
from mipnet.bench.plan.read import load_plan
from mipnet.bench.problems.base import FAILED
from mipnet.bench.provenance import machine, run_provenance
from mipnet.bench.runner.engine import Engine
from mipnet.bench.runner.lock import locked
from mipnet.bench.runner.supervisor import supervisor
from mipnet.bench.runner.worker import Order, Report, failed_before
from mipnet.bench.store.artefacts import spoilt_data
from mipnet.bench.store.files import sweep, timestamp, write_json
from mipnet.bench.store.folder import claim
from mipnet.bench.store.markers import marker_file, read_markers
from mipnet.bench.store.records import Records, move_damaged, read_record, read_records
from mipnet.bench.tasks import STAGES, Task, in_shard

#: Seconds from which the machine may have drifted during a run.
LONG = 60.0
End = Literal["done", "interrupted", "disk", "limit"]
#: Receives what is being done, tasks done, tasks in all, and the last report.
Progress = Callable[[str, int, int, Report | None], None]


@dataclass
class Summary:
    """What a run did.

    Attributes
    ----------
    folder : Path
    id : str
        Of the run.
    end : {"done", "interrupted", "disk"}
        ``disk``: there was no room left for results.
    kept : int
        Tasks that were finished before.
    counts : Counter
        Cells of the plan (of the shard) by status, finished before or now.
    failed : list of Report
        Tasks of this run that did not end with an answer or at a limit.
    troubles : list of Report
        Tasks without a record: the runner itself failed.
    notes : list of str
        What was set aside, or left behind by a run that was killed.
    missing : int
        Cells without a record.
    seconds : float
    reason : str
        Why the run ended early.
    """

    folder: Path
    id: str
    end: End = "done"
    kept: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Report] = field(default_factory=list)
    troubles: list[Report] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether every cell has an answer or met a limit, now or before."""
        failed = self.failed or self.troubles or FAILED & set(self.counts)
        return self.end == "done" and not (failed or self.missing)


def run(
    plan: Plan | Path | str,
    folder: Path | str | None = None,
    *,
    jobs: int | None = None,
    backend: str | None = None,
    options: dict[str, Any] | None = None,
    shard: tuple[int, int] | None = None,
    retry_errors: bool = False,
    host: str | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Do everything of a plan that is not done.

    Parameters
    ----------
    plan : Plan or path
    folder : path, optional
        Results, new or of this plan; ``results/NAME`` when absent.
    jobs, backend, options
        As in ``[run]`` of the plan, which they replace.
    shard : tuple of int, optional
        Only cells of part ``i`` of ``n``.
    retry_errors : bool
        Ask cells again that ended with an error, were killed, or ran out of memory.
    host : str, optional
        Name of this machine, written to the results.
    progress : callable, optional

    Returns
    -------
    Summary
        Also after Ctrl-C and on a full disk: what was finished is kept, and a further run goes on.

    Raises
    ------
    StoreError
        When the folder belongs to another plan.
    RunError
        When another runner holds the folder, or workers keep dying.
    """
    known = plan if isinstance(plan, Plan) else load_plan(plan)
    place = Path("results") / known.name if folder is None else Path(folder)
    job = _Run(
        known,
        expand(known),
        place,
        jobs or known.run.jobs,
        backend or known.run.backend,
        known.run.options if options is None else options,
        shard,
        progress or (lambda stage, done, total, report: None),
    )
    place.mkdir(parents=True, exist_ok=True)
    with locked(place, shard):
        try:
            return job.carry_out(retry_errors, host)
        finally:
            supervisor().close()


@dataclass
class _Run:
    """State of one run."""

    plan: Plan
    matrix: Matrix
    folder: Path
    jobs: int
    backend: str
    options: Any
    shard: tuple[int, int] | None
    progress: Progress
    records: Records = field(default_factory=Records)
    about: dict[str, Any] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    started: str = field(default_factory=timestamp)
    done: int = 0
    total: int = 0

    def carry_out(self, retry_errors: bool, host: str | None) -> Summary:
        """Do what is not done."""
        start = time.monotonic()
        name = f"{timestamp().replace(':', '').replace('-', '')}-{secrets.token_hex(3)}"
        summary = Summary(self.folder, name)
        summary.notes += claim(self.folder, self.plan, self.matrix)
        self.about = {"id": name, "jobs": self.jobs, "backend": self.backend, "host": host}
        self.prepare(summary, retry_errors)
        self.write_run(summary, host)
        try:
            with Engine(self.jobs, self.backend, self.options) as engine:
                for kinds in STAGES:
                    self.stage([t for t in self.matrix.tasks if t.kind in kinds], engine, summary)
        except KeyboardInterrupt:
            summary.end, summary.reason = "interrupted", "interrupted"
        except _DiskFullError as error:
            summary.end, summary.reason = "disk", str(error)
        cells = [t for t in self.matrix.cells if in_shard(t.id, self.shard)]
        if summary.end != "done":
            self.unheard(cells)
            self.clear_markers()
        summary.counts = Counter(self.status[t.id] for t in cells if t.id in self.status)
        summary.missing = len(cells) - sum(summary.counts.values())
        summary.seconds = time.monotonic() - start
        if summary.end != "disk":
            self.write_run(summary, host)
        return summary

    def prepare(self, summary: Summary, retry_errors: bool) -> None:
        """Look at what is there, put the data in place, and find out what is left to do."""
        sweep(self.folder)
        summary.notes += self.clear_markers()
        cores = machine()["cores"]
        if self.backend == "loky" and self.jobs > cores:
            summary.notes.append(f"{self.jobs} cells at once on {cores} core(s): times disturb")
        self.records = read_records(self.folder)
        summary.notes += move_damaged(self.folder, self.records.damaged)
        summary.notes += self.forget_lost()
        for task in self.matrix.tasks:
            record = self.records.found.get(task.id)
            if record is not None and not (retry_errors and record["status"] in FAILED):
                self.status[task.id] = record["status"]
                self.reasons[task.id] = record["reason"]
        summary.kept = len(self.status)
        self.save_data(summary)
        self.total = len(self.wanted(self.matrix.tasks)) + summary.kept
        self.done = summary.kept

    def clear_markers(self) -> list[str]:
        """Take away the markers of processes that are gone; say which tasks they cut off."""
        found = read_markers(self.folder)
        for left in found.stale + found.interrupted:
            marker_file(self.folder, left["id"]).unlink(missing_ok=True)
        notes = move_damaged(self.folder, found.damaged)
        return notes + [f"{m['name']} was cut off and is done again" for m in found.interrupted]

    def forget_lost(self) -> list[str]:
        """Set networks and masks aside whose files are not what was stored: they are made again."""
        names = {t.id: t.name for t in self.matrix.networks + self.matrix.masks}
        lost: dict[Path, str] = {}
        for task_id, file, why in self.records.spoilt:
            if task_id not in names:
                continue
            self.records.found.pop(task_id, None)
            reason = f"{file.name} of {names[task_id]}: {why}"
            # What stands in the way of the folder goes as well.
            way = file if file.parent.is_dir() else file.parent
            if os.path.lexists(way):
                lost[way] = reason
            lost[self.folder / "artefacts" / f"{task_id}.json"] = reason
        return move_damaged(self.folder, lost.items())

    def unheard(self, cells: Sequence[Task]) -> None:
        """Count cells that were finished while nobody listened any more."""
        for task in cells:
            if task.id not in self.status:
                with suppress(StoreError, OSError):
                    record = read_record(self.folder / task.folder / f"{task.id}.json")
                    self.status[task.id] = record["status"]

    def save_data(self, summary: Summary) -> None:
        """Put the data in place, again where what is there is something else."""
        for data in self.plan.data.values():
            place = self.folder / "data" / data.fingerprint
            if os.path.lexists(place):
                reason = spoilt_data(self.folder, data.fingerprint)
                if not reason:
                    continue
                notes = move_damaged(self.folder, [(place, reason)])
                summary.notes += [f"{note}; it is written again" for note in notes]
            data.save(place)

    def wanted(self, tasks: Sequence[Task]) -> list[Task]:
        """Tasks of the shard, and artefacts they need, that are not done."""
        own = {t.id for t in self.matrix.costs + self.matrix.cells if in_shard(t.id, self.shard)}
        before = {t.id: t for t in self.matrix.networks + self.matrix.masks}
        needed = set()
        stack = [n for t in self.matrix.costs + self.matrix.cells if t.id in own for n in t.needs]
        if self.shard is None:
            stack += before
        while stack:
            task_id = stack.pop()
            if task_id not in needed:
                needed.add(task_id)
                stack += before[task_id].needs
        return [t for t in tasks if t.id in own | needed and t.id not in self.status]

    def stage(self, tasks: list[Task], engine: Engine, summary: Summary) -> None:
        """Do the tasks of one stage that can be done; note those that cannot."""
        orders = []
        for task in self.wanted(tasks):
            order = self.order(task)
            blocked = next((n for n in task.needs if self.status.get(n) != "optimal"), None)
            if blocked is None:
                orders.append(order)
                continue
            reason = f"its artefact {blocked} failed: {self.reasons.get(blocked, 'not made')}"
            write_json(
                self.folder / task.folder / f"{task.id}.json", failed_before(task, reason, order)
            )
            self.take(Report(task.id, task.kind, task.name, "error", reason), summary)
        if not orders:
            return
        if self.plan.run.shuffle:
            random.Random(self.plan.seed).shuffle(orders)  # noqa: S311
        what = "artefacts" if tasks[0].kind in {"network", "mask"} else "cells"
        self.progress(what, self.done, self.total, None)
        for report in engine.execute(orders):
            self.take(report, summary)
            self.progress(what, self.done, self.total, report)

    def order(self, task: Task) -> Order:
        """Write what a worker is told; earlier failures of the task go with it."""
        known = self.records.found.get(task.id)
        previous: tuple[dict[str, Any], ...] = ()
        if known is not None:
            ended = {"status": known["status"], "reason": known["reason"]}
            before = known["run"].get("previous", [])
            previous = (*before, {**ended, "started": known["run"].get("started")})
        return Order(task.to_dict(), str(self.folder), self.about, previous=previous)

    def take(self, report: Report, summary: Summary) -> None:
        """Take note of a task that ended."""
        if report.trouble == "disk":
            raise _DiskFullError(report.reason)
        self.done += 1
        if report.trouble:
            summary.troubles.append(report)
            return
        self.status[report.id], self.reasons[report.id] = report.status, report.reason
        if report.status in FAILED:
            summary.failed.append(report)

    def write_run(self, summary: Summary, host: str | None) -> None:
        """Write what this run is, and how it went as far as that is known."""
        known: dict[str, Any] = {
            **self.about,
            **run_provenance(host),
            "plan": self.plan.name,
            "shard": self.shard,
            "started": self.started,
            "ended": timestamp() if summary.seconds else None,
            "end": summary.end if summary.seconds else "running",
            "kept": summary.kept,
            "seconds": summary.seconds,
            "calibration_end_s": self.calibration(summary),
        }
        write_json(self.folder / "runs" / f"{summary.id}.json", known)

    def calibration(self, summary: Summary) -> float | None:
        """Seconds of the calibration after a long run, to see drift against those before."""
        if summary.seconds < LONG or summary.end != "done" or self.done == summary.kept:
            return None
        found = supervisor().run(None, self.folder, None).result or {}
        return found.get("calibration_s")


class _DiskFullError(RunError):
    """There is no room for results."""
