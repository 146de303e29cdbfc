"""The Python side of ``mipnet bench``: what every command calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mipnet.bench.plan import Plan, expand, load_plan
from mipnet.bench.plan.expand import factors_of, shape_of
from mipnet.bench.problems.base import FAILED
from mipnet.bench.store.folder import PLAN, State, examine, mean_seconds, spoilt, state
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
    factors : dict of str to int
        What cells are made of: networks (dense and pruned), questions, ways to answer one. Not
        every combination has to be asked.
    notes : tuple of str
        What is damaged, or gone, and made again.
    cells : int
        Of the whole plan.
    """

    plan: Plan
    shape: dict[str, int]
    tasks: dict[str, int]
    left: dict[str, int]
    most_seconds: float
    likely_seconds: float | None
    factors: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    cells: int = 0


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
    StoreError
        When a run would refuse the folder: it holds the results of another plan, or something else.
    """
    matrix = expand(plan)
    own = [t for t in matrix.tasks if t.kind in {"network", "mask"} or in_shard(t.id, shard)]
    done: set[str] = set()
    likely: dict[str, float] = {}
    damaged, notes = examine(folder, plan, matrix)
    if folder.is_dir():
        records = read_records(folder)
        failed = {i for i, r in records.found.items() if r["status"] in FAILED}
        done = set(records.found) - (failed if retry_errors else set())
        done -= {task_id for task_id, _, _ in records.spoilt}
        likely = mean_seconds(records)
        damaged += records.damaged
        if any(folder.iterdir()):
            damaged += [(p, why) for p, why in spoilt(folder, records) if p != folder / PLAN]
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
        factors=factors_of(matrix),
        cells=len(matrix.cells),
        notes=(*(f"{p.relative_to(folder)}: {why}" for p, why in damaged), *notes),
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
