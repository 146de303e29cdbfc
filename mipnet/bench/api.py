"""The Python side of ``mipnet bench``: what every command calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mipnet.bench.plan import Plan, expand, load_plan
from mipnet.bench.plan.expand import shape_of
from mipnet.bench.problems.base import FAILED
from mipnet.bench.store.folder import PLAN, State, state
from mipnet.bench.store.records import read_records
from mipnet.bench.tasks import Task, in_shard


@dataclass(frozen=True)
class Outlook:
    """What a run would do.

    Attributes
    ----------
    plan : Plan
    shape : dict of str to int
        How many different values every label of the cells takes.
    tasks : dict of str to int
        Tasks of the plan (of the shard) by kind.
    left : dict of str to int
        Those that are not done.
    most_seconds : float
        When every cell takes all its time, over the jobs.
    likely_seconds : float or None
        When the rest takes as long as what is done did on average; None before any is.
    """

    plan: Plan
    shape: dict[str, int]
    tasks: dict[str, int]
    left: dict[str, int]
    most_seconds: float
    likely_seconds: float | None


def results_folder(plan: Plan) -> Path:
    """Where the results of a plan go when nobody says otherwise."""
    return Path("results") / plan.name


def outlook(
    plan: Plan,
    folder: Path,
    *,
    jobs: int | None = None,
    shard: tuple[int, int] | None = None,
    retry_errors: bool = False,
) -> Outlook:
    """Say what a run would do, without doing or writing anything.

    Parameters
    ----------
    plan : Plan
    folder : Path
        Results folder, which need not exist.
    jobs, shard, retry_errors
        As for :func:`mipnet.bench.run`.

    Raises
    ------
    PlanError
        When the plan cannot be expanded.
    """
    matrix = expand(plan)
    own = [t for t in matrix.tasks if t.kind in {"network", "mask"} or in_shard(t.id, shard)]
    done: set[str] = set()
    likely: dict[str, float] = {}
    if (folder / PLAN).exists():
        records = read_records(folder)
        failed = {i for i, r in records.found.items() if r["status"] in FAILED}
        done = set(records.found) - (failed if retry_errors else set())
        likely = dict(state(folder, records).seconds)
    left = [t for t in own if t.id not in done]
    workers = jobs or plan.run.jobs
    most = sum(t.key["time_limit"] if t.kind == "solve" else 0.0 for t in left) / workers
    known = [likely.get(t.kind) for t in left]
    sure = [seconds for seconds in known if seconds is not None]
    return Outlook(
        plan=plan,
        shape=shape_of(matrix),
        tasks=_by_kind(own),
        left=_by_kind(left),
        most_seconds=most,
        likely_seconds=sum(sure) / workers if len(sure) == len(known) and sure else None,
    )


def status(place: Path | str) -> State:
    """State of a results folder, or of the folder of a plan.

    Parameters
    ----------
    place : path
        A results folder, or a plan file (whose results are looked for in ``results/NAME``).

    Raises
    ------
    StoreError
        When it is no results folder.
    """
    path = Path(place)
    return state(results_folder(load_plan(path)) if path.suffix == ".toml" else path)


def _by_kind(tasks: Iterable[Task]) -> dict[str, int]:
    found = dict.fromkeys(("network", "mask", "cost", "solve"), 0)
    for task in tasks:
        found[task.kind] += 1
    return found
