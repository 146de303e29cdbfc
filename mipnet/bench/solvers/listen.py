"""Inside one cell, every MIP solve of the searches goes through here.

The searches call :func:`mipnet.solver.solve`; they neither choose a solver nor keep its log. Here
the solver and profile of the plan are put in, the log is kept, and incumbent and bound are read
from it, with the time each line came.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from types import ModuleType
from typing import TextIO

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

import mipnet.solver
from formulations import ProgramArrays
from mipnet.bench.solvers.base import Progress, Solver
from mipnet.errors import QueryError
from mipnet.solver import (
    EXPLORE,
    IMPROVE,
    PROVE,
    Limits,
    Profile,
    Solution,
    choose_profile,
)

Array = npt.NDArray[np.float64]

#: Profiles a plan may ask for beside ``auto``.
PROFILES: Mapping[str, Profile] = {p.name: p for p in (PROVE, IMPROVE, EXPLORE)}
#: Solves of a cell that are logged; bisection makes thousands of small ones.
MAX_LOGGED = 50

#: Number of the solve, seconds, incumbent, bound, nodes, and whether the two values are in the
#: solver's own scale.
Event = tuple[int, float, float | None, float | None, int | None, bool]


@dataclass
class Listener:
    """What to do with every solve of a cell.

    Attributes
    ----------
    solver : Solver
    profile : str
        ``auto`` leaves the choice to the search.
    options : mapping
        Solver options on top of the profile.
    permute : bool
        Whether rows and columns are shuffled by the seed, which solvers are sensitive to.
    callers : collection of str
        Modules whose solves are about the whole question.
    send : callable
        Receives every :data:`Event` as it happens.
    finish : callable
        Receives (solve, factor) when a solve ends: values in its scale are to be divided by that.
    log : text file, optional
    """

    solver: Solver
    profile: str = "auto"
    options: Mapping[str, object] = field(default_factory=dict)
    permute: bool = False
    callers: Collection[str] = ()
    send: Callable[[Event], None] = lambda event: None
    finish: Callable[[int, float], None] = lambda solve, factor: None
    log: TextIO | None = None
    begin: float = field(default_factory=time.perf_counter)
    solves: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.profile not in {"auto", *PROFILES}:
            known = ", ".join(["auto", *PROFILES])
            msg = f"unknown solver profile {self.profile!r}; known: {known}"
            raise QueryError(msg)

    def solve(
        self,
        caller: str,
        arrays: ProgramArrays,
        *,
        limits: Limits | None = None,
        profile: Profile | None = None,
        start: Array | None = None,
        threads: int = 1,
        seed: int = 0,
        log: Callable[[str], None] | None = None,
    ) -> Solution:
        """Minimise a program for a module of the search."""
        with self._lock:
            number = self.solves
            self.solves += 1
        tape = _Tape(self, number, caller in self.callers)
        if start is not None:
            tape.note(Progress(arrays.objective(start), None), scaled=False)
        ready, order = permuted(arrays, seed) if self.permute else (arrays, None)
        answer = self.solver.solve(
            ready,
            limits=limits,
            profile=self.choose(profile, limits, start),
            start=start if start is None or order is None else start[order],
            threads=threads,
            seed=seed,
            log=tape.line if log is None and number < MAX_LOGGED else log,
        )
        if order is not None and answer.values is not None:
            values = np.empty_like(answer.values)
            values[order] = answer.values
            answer = replace(answer, values=values)
        tape.end(answer)
        return answer

    def choose(
        self, asked: Profile | None, limits: Limits | None, start: Array | None
    ) -> Profile | None:
        """Profile of a solve: what the search asks for, unless the plan says otherwise."""
        if self.profile != "auto":
            # What the search sets on top of its profile (a gap, presolve) belongs to the question.
            named = PROFILES.get(asked.name) if asked else None
            own = {} if asked is None else dict(asked.options)
            kept = {
                name: value
                for name, value in own.items()
                if named is None or named.options.get(name) != value
            }
            asked = PROFILES[self.profile].with_options(**kept)
        if not self.options:
            return asked
        cutoff = limits is not None and limits.cutoff is not None
        base = asked or choose_profile(start=start is not None, cutoff=cutoff)
        return base.with_options(**self.options)

    def write(self, text: str) -> None:
        """Add to the log; a full disk must not end a solve."""
        if self.log is not None:
            with suppress(OSError, ValueError):
                self.log.write(text)


class _Tape:
    """The events of one solve."""

    def __init__(self, listener: Listener, number: int, whole: bool) -> None:
        self.listener, self.number, self.whole = listener, number, whole
        self.last: Progress | None = None
        self.known: tuple[float | None, float | None] = (None, None)

    def line(self, text: str) -> None:
        """Take a line of the log."""
        self.listener.write(text)
        found = self.listener.solver.read_line(text)
        if found is not None:
            self.note(found)

    def note(self, found: Progress, *, scaled: bool = True) -> None:
        """Send what has changed."""
        if scaled:
            self.last = found
        if not self.whole or (found.incumbent, found.bound) == self.known:
            return
        self.known = (found.incumbent, found.bound)
        seconds = time.perf_counter() - self.listener.begin
        event = (self.number, seconds, found.incumbent, found.bound, found.nodes, scaled)
        self.listener.send(event)

    def end(self, answer: Solution) -> None:
        """Find out by what power of two the solver saw the objective multiplied."""
        factor = 1.0
        if self.last is not None:
            pairs = ((self.last.incumbent, answer.objective), (self.last.bound, answer.bound))
            for shown, true in pairs:
                if shown and true and math.isfinite(true) and shown / true > 0.0:
                    factor = 2.0 ** round(math.log2(shown / true))
                    break
        if self.whole:
            self.listener.finish(self.number, factor)
        self.listener.write(
            f"\n[solve {self.number}: {answer.status.value}, {answer.seconds:.3f} s, "
            f"{answer.nodes} nodes, profile {answer.profile}, {answer.version}]\n\n"
        )


def permuted(arrays: ProgramArrays, seed: int) -> tuple[ProgramArrays, npt.NDArray[np.int64]]:
    """Shuffle rows and columns; return the program and the original position of every column.

    Seed 0 leaves everything as it is.
    """
    columns = np.arange(arrays.n_columns)
    rows = np.arange(arrays.n_rows)
    if seed:
        rng = np.random.default_rng(seed)
        columns, rows = rng.permutation(columns), rng.permutation(rows)
    matrix = sp.csr_array(sp.csr_array(arrays.matrix[rows])[:, columns])
    matrix.sort_indices()
    shuffled = replace(
        arrays,
        lower=arrays.lower[columns],
        upper=arrays.upper[columns],
        cost=arrays.cost[columns],
        integer=arrays.integer[columns],
        matrix=matrix,
        row_lower=arrays.row_lower[rows],
        row_upper=arrays.row_upper[rows],
    )
    return shuffled, columns


@cache
def solve_places() -> tuple[tuple[ModuleType, str], ...]:
    """Modules of mipnet, among those imported, that have the solver under a name, and the name."""
    original = mipnet.solver.solve
    return tuple(
        (module, name)
        for key, module in sorted(sys.modules.items())
        if key.partition(".")[0] == "mipnet" and not key.startswith("mipnet.bench")
        for name, value in list(vars(module).items())
        if value is original
    )


@contextmanager
def listening(listener: Listener) -> Iterator[Listener]:
    """Lead every MIP solve of the searches through a listener.

    For the process of one cell, which ends with it: the name ``solve`` is put in place in every
    module of mipnet that has it, and put back at the end.
    """
    original = mipnet.solver.solve
    places = solve_places()

    for module, name in places:
        setattr(module, name, partial(listener.solve, module.__name__))
    try:
        yield listener
    finally:
        for module, name in places:
            setattr(module, name, original)
