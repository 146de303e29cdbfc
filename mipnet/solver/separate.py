"""Rounds of separation at the root: rows of a family that the relaxation violates, kept if tight.

HiGHS takes no cuts during its search. What it can be given is a better program: its relaxation is
solved, the families of valid rows a program offers (:class:`formulations.Separator`) are asked for
the rows its point violates, those are added, and so on while the bound moves. The rows that hold
the last bound stay in the program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from formulations import AffineForm, ProgramArrays
from mipnet.clocks import Stopwatch
from mipnet.errors import SolverError
from mipnet.solver.balance import Balanced, balance
from mipnet.solver.coefficients import prepare
from mipnet.solver.model import load_model, set_options
from mipnet.solver.objective import objective_factor
from mipnet.solver.pool import POOL
from mipnet.solver.version import highs_version

Array = npt.NDArray[np.float64]

#: Rounds at most; a round that closes less of the gap opened so far than this is a stall, and so
#: many of them in a row end the separation.
ROUNDS, STALL, STALLS = 40, 0.01, 3
#: Slack, relative to the side, up to which a row of the last relaxation counts as holding it.
_TIGHT = 1e-7


@dataclass(frozen=True, eq=False)
class Separated:
    """A program with the rows that separation found.

    Attributes
    ----------
    arrays : ProgramArrays
        With the rows, and without separators.
    cuts : int
        Rows added.
    rounds : int
        Relaxations solved.
    before, after : float
        Bound of the relaxation without and with the rows (approximate); NaN when not known.
    """

    arrays: ProgramArrays
    cuts: int
    rounds: int
    before: float
    after: float


def separate(
    arrays: ProgramArrays,
    *,
    rounds: int = ROUNDS,
    stall: float = STALL,
    time_limit: float | None = None,
    cutoff: float | None = None,
) -> Separated:
    """Add rows that tighten the linear relaxation of a program.

    Parameters
    ----------
    arrays : ProgramArrays
    rounds : int
        Most relaxations to solve.
    stall : float
        Stop after rounds whose gain, as a share of all gain so far, is less; 0 for as long as a row
        is violated.
    time_limit : float, optional
        Seconds.
    cutoff : float, optional
        Stop when the bound reaches this.

    Returns
    -------
    Separated
        The program itself where it offers no family, or a relaxation could not be solved.
    """
    plain = replace(arrays, separators=())
    if not arrays.separators or not rounds:
        return Separated(plain, 0, 0, math.nan, math.nan)
    highs_version()
    watch, loop = Stopwatch(time_limit), _Relaxation(plain)
    values, bound = loop.solve(watch.left)
    before, done, stalled, last = bound, 1, 0, bound
    while values is not None and done < rounds and not watch.expired:
        if (cutoff is not None and bound >= cutoff) or stalled >= STALLS:
            break
        found = [family.separate(values) for family in arrays.separators]
        found = [(form, side) for form, side in found if form.size]
        if not found:
            break
        loop.add(found)
        values, bound = loop.solve(watch.left)
        done += 1
        gain, total = bound - last, bound - before
        stalled = stalled + 1 if stall > 0.0 and gain <= stall * abs(total) else 0
        last = bound
    kept = loop.tight(values)
    return Separated(_with_rows(plain, kept), kept[1].size, done, before, last)


class _Relaxation:
    """The linear relaxation in HiGHS, and the rows added to it in the units of the program."""

    def __init__(self, arrays: ProgramArrays) -> None:
        relaxed = replace(arrays, integer=np.zeros(arrays.n_columns, dtype=bool))
        self._balanced: Balanced = balance(relaxed)
        own = prepare(self._balanced.arrays).arrays
        self._factor = objective_factor(own.cost)
        self._highs = load_model(
            replace(own, cost=own.cost * self._factor, offset=own.offset * self._factor)
        )
        set_options(self._highs, {"threads": 1, "solver": "simplex"})
        self._n = arrays.n_columns
        self._forms: list[sp.csr_array] = []
        self._sides: list[Array] = []

    def solve(self, time_limit: float | None) -> tuple[Array | None, float]:
        """Optimal columns and value; None when there are none."""
        if time_limit is not None:
            limit = float(self._highs.getRunTime()) + max(0.0, time_limit)
            set_options(self._highs, {"time_limit": limit})
        POOL.enter(1)
        try:
            self._highs.run()
        except (RuntimeError, MemoryError):
            return None, math.nan
        finally:
            POOL.leave()
        if self._highs.getModelStatus().name != "kOptimal":
            return None, math.nan
        values = np.array(self._highs.getSolution().col_value, dtype=np.float64)
        bound = float(self._highs.getInfo().objective_function_value) / self._factor
        return self._balanced.original(values[: self._n]), bound

    def add(self, found: list[tuple[AffineForm, Array]]) -> None:
        """Append rows ``form <= side``."""
        form, side = _stacked([(f.matrix(self._n), s - f.constant) for f, s in found])
        self._forms.append(form)
        self._sides.append(side)
        unit, shift = self._balanced.unit, self._balanced.shift
        own = form.data * unit[form.indices]
        status = self._highs.addRows(
            side.size,
            np.full(side.size, -np.inf),
            side - form @ shift,
            own.size,
            form.indptr[:-1].astype(np.int32),
            form.indices.astype(np.int32),
            own,
        )
        if status.name == "kError":
            msg = "HiGHS refused the separated rows"
            raise SolverError(msg)

    def tight(self, values: Array | None) -> tuple[sp.csr_array, Array]:
        """Rows without slack at a point; all of them where there is no point."""
        form, side = _stacked(list(zip(self._forms, self._sides, strict=True)), self._n)
        if values is None or not side.size:
            return form, side
        slack = side - form @ values
        kept = np.flatnonzero(slack <= _TIGHT * (1.0 + np.abs(side)))
        return sp.csr_array(form[kept]), side[kept]


def _stacked(rows: list[tuple[sp.csr_array, Array]], width: int = 0) -> tuple[sp.csr_array, Array]:
    if not rows:
        return sp.csr_array((0, width)), np.zeros(0)
    forms, sides = zip(*rows, strict=True)
    return sp.csr_array(sp.vstack(forms)), np.concatenate(sides)


def _with_rows(arrays: ProgramArrays, rows: tuple[sp.csr_array, Array]) -> ProgramArrays:
    form, side = rows
    if not side.size:
        return arrays
    matrix = sp.csr_array(sp.vstack([arrays.matrix, form]))
    matrix.sort_indices()
    return replace(
        arrays,
        matrix=matrix,
        row_lower=np.concatenate([arrays.row_lower, np.full(side.size, -np.inf)]),
        row_upper=np.concatenate([arrays.row_upper, side]),
    )
