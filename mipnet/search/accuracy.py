"""Robust accuracy of a classifier on a set of samples, between a proven and an attacked share."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.choice import Choice, solvable
from mipnet.choice import label as choice_label
from mipnet.clocks import Stopwatch, seconds
from mipnet.errors import QueryError, RegionError, SolverError
from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.network.readers import load
from mipnet.region import ball
from mipnet.search.accuracy_file import Results
from mipnet.search.accuracy_result import RobustAccuracy, Sample
from mipnet.search.adversarial import find_adversarial


def robust_accuracy(
    network: Network,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    radius: float,
    norm: str = "linf",
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
    time_limit: float | None = None,
    total_time: float | None = None,
    jobs: int = 1,
    results: str | os.PathLike[str] | None = None,
    progress: bool = True,
    bounds: str = "milp",
    formulation: Choice = "big_m",
    restarts: int = 8,
    threads: int = 1,
    seed: int = 0,
) -> RobustAccuracy:
    """Share of samples whose whole ball is given the right class.

    Every sample is one :func:`mipnet.find_adversarial`. A sample the network gets wrong is not
    robust at any radius and is not searched.

    Parameters
    ----------
    network : Network or anything :func:`mipnet.load` reads
    X : array_like, shape (samples, ...)
        Inputs of ``input_shape``, or flat.
    y : array_like of int, shape (samples,)
        Right classes.
    radius : float
    norm : {"linf", "l1", "l2", "l0"}
    lower, upper : array_like, optional
        Domain of the inputs, as for :func:`mipnet.find_adversarial`.
    time_limit, total_time : float, optional
        Seconds for each sample and for the whole call.
    jobs : int
        Samples searched at once, each in a process of its own (joblib with loky); -1 for one on
        every core.
    results : path, optional
        File of JSON lines, one added after every sample. What it answers already is not asked
        again: decided samples, and undecided ones that had no less time. It belongs to one network,
        norm, radius, domain and choice of options; samples may come and go.
    progress : bool
        Show a bar, if standard error is a terminal.
    bounds, formulation, restarts, threads, seed
        As for :func:`mipnet.find_adversarial`.

    Returns
    -------
    RobustAccuracy
        Of all samples; those not reached for lack of time, after Ctrl-C or after the death of a
        worker are unresolved.

    Raises
    ------
    QueryError
        When samples and labels do not fit, an option is out of range, or the file of results is
        damaged, none, or of another network or other settings.
    RegionError
        When a sample is NaN or lies outside the domain; names the sample.
    """
    watch = Stopwatch(None if total_time is None else seconds("total_time", total_time))
    limit = math.inf if time_limit is None else seconds("time_limit", time_limit)
    if isinstance(jobs, bool) or not isinstance(jobs, int) or (jobs < 1 and jobs != -1):
        msg = f"jobs must be at least 1, or -1 for every core, not {jobs!r}"
        raise QueryError(msg)
    net = load(network)
    points, labels = _samples(net, X, y)
    if lower is None and upper is None and net.input_bounds is not None:
        lower, upper = net.input_bounds
    _fits(points, radius, norm, lower, upper)
    options = {
        "radius": float(radius),
        "norm": norm,
        "bounds": bounds,
        "formulation": choice_label(solvable(formulation, net)),
        "restarts": int(restarts),
        "seed": int(seed),
    }
    domain = _plain(lower), _plain(upper)
    store = Results.open(results, net, domain, options)
    work = {
        **options,
        "formulation": formulation,
        "lower": lower,
        "upper": upper,
        "threads": threads,
    }
    found: dict[int, Sample] = {}
    waiting = []
    for i, (point, label) in enumerate(zip(points, labels, strict=True)):
        known = store.find(point, int(label), limit)
        if known is not None:
            found[i] = known.at(i)
        else:
            waiting.append(i)
    reason = ""
    tasks = (Task(i, net, points[i], int(labels[i]), limit, work) for i in waiting)
    with _bar(len(points), len(found), shown=progress) as advance:
        try:
            for sample in _run(tasks, watch, jobs):
                if sample.reason == "interrupted":
                    reason = "interrupted"
                    break
                found[sample.index] = sample
                store.add(points[sample.index], sample)
                advance()
        except KeyboardInterrupt:
            reason = "interrupted"
        except BrokenExecutor:
            reason = "a worker process died"
    if not reason and len(found) < len(points):
        reason = "time limit reached"
    missing = [Sample(i, int(n), reason=reason) for i, n in enumerate(labels) if i not in found]
    return RobustAccuracy(
        norm=norm,
        radius=float(radius),
        samples=tuple(sorted([*found.values(), *missing], key=lambda s: s.index)),
        reason=reason,
        seconds=watch.elapsed,
        fingerprint=net.fingerprint,
    )


@dataclass(frozen=True)
class Task:
    """One sample to search.

    Attributes
    ----------
    index : int
    network : Network
    point : array, shape (n_inputs,)
    label : int
    limit : float
        Seconds; infinite for none.
    options : dict
        Keyword arguments of :func:`mipnet.find_adversarial`.
    """

    index: int
    network: Network
    point: Array
    label: int
    limit: float
    options: dict[str, Any]


def _run(tasks: Iterable[Task], watch: Stopwatch, jobs: int) -> Iterator[Sample]:
    """Answers in the order they come; no task starts once the time is up."""

    def started() -> Iterator[Task]:
        for task in tasks:
            if watch.expired:
                return
            left = math.inf if watch.left is None else watch.left
            yield replace(task, limit=min(task.limit, left))

    if jobs == 1:
        yield from map(examine, started())
        return
    from joblib import Parallel, delayed

    # One task for each worker at a time, so that each gets the time left when it starts.
    parallel = Parallel(
        n_jobs=jobs, batch_size=1, pre_dispatch="n_jobs", return_as="generator_unordered"
    )
    yield from parallel(delayed(examine)(task) for task in started())


def examine(task: Task) -> Sample:
    """Answer for one sample."""
    index, label, limit = task.index, task.label, task.limit
    watch = Stopwatch()
    predicted = int(np.argmax(task.network.replay(task.point)))
    if predicted != label:
        return Sample(index, label, predicted, "misclassified", seconds=watch.elapsed, limit=limit)
    time_limit = limit if math.isfinite(limit) else None
    try:
        verdict = find_adversarial(
            task.network, task.point, label, time_limit=time_limit, **task.options
        )
    except SolverError as error:
        reason, seconds = str(error), watch.elapsed
        return Sample(index, label, predicted, reason=reason, seconds=seconds, limit=limit)
    return Sample(
        index,
        label,
        predicted,
        verdict.status,
        reason=verdict.reason,
        verdict=verdict,
        seconds=watch.elapsed,
        limit=limit,
    )


def _samples(network: Network, X: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Array, Array]:
    """Flat samples and their labels."""
    values, single = network.batch(X)
    labels = np.asarray(y)
    if single and labels.ndim != 1:
        labels = labels.reshape(1)
    if labels.shape != (len(values),):
        msg = f"{len(values)} samples need as many labels, got an array of shape {labels.shape}"
        raise QueryError(msg)
    if not len(values):
        msg = "there are no samples"
        raise QueryError(msg)
    if labels.dtype.kind not in "iu":
        msg = f"labels must be integers, not {labels.dtype}"
        raise QueryError(msg)
    if network.n_outputs < 2:
        msg = "the network has one output; classes need at least two"
        raise QueryError(msg)
    wrong = np.flatnonzero((labels < 0) | (labels >= network.n_outputs))
    if wrong.size:
        msg = f"sample {wrong[0]}: label {labels[wrong[0]]} is out of range; the network has "
        msg += f"classes 0 to {network.n_outputs - 1}"
        raise QueryError(msg)
    return values.reshape(len(values), -1), labels


def _fits(
    points: Array,
    radius: float,
    norm: str,
    lower: npt.ArrayLike | None,
    upper: npt.ArrayLike | None,
) -> None:
    """Refuse what no ball can be made of before any time is spent."""
    for i, point in enumerate(points):
        try:
            ball(point, radius, norm, lower, upper)
        except RegionError as error:
            msg = f"sample {i}: {error}"
            raise RegionError(msg) from error


def _plain(side: npt.ArrayLike | None) -> Array | None:
    return None if side is None else np.asarray(side, dtype=np.float64).reshape(-1)


@contextmanager
def _bar(total: int, done: int, *, shown: bool) -> Iterator[Any]:
    """Show a progress bar on a terminal; gives the function that advances it."""
    from rich.console import Console

    console = Console(stderr=True)
    if not (shown and console.is_terminal):
        yield lambda: None
        return
    from rich import progress

    columns = (
        progress.TextColumn("samples"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total, completed=done)
        yield lambda: bar.advance(task)
