"""Trust regions as Pyomo blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.core.base.block import ScalarBlock

from formulations import Program, ProgramArrays
from mipnet.embedding.base_block import EmbeddedBatch, EmbeddedBlockData, Held
from mipnet.embedding.inputs import Plug, input_box, plug, replug
from mipnet.embedding.rows import RowArrays, Rows
from mipnet.embedding.users import refuse_users
from mipnet.errors import EmbeddingError, SolverError
from mipnet.learning.region import Array, Index, TrustRegion
from mipnet.learning.report import TrustReport, total

#: Components made anew when a block is built again.
_INNER = ("weights", "binaries", "rows", "input_range")


@dataclass(frozen=True, eq=False)
class Written:
    """A trust region as arrays, shared by every copy of a model.

    Attributes
    ----------
    region : TrustRegion
    arrays : ProgramArrays
        The first ``n_inputs`` columns are the inputs.
    held : Held
    holds : bool
        Whether the block has to hold its inputs within that.
    ends : tuple of (array_like or None)
        ``lower`` and ``upper`` as they were given.
    seconds : float
    """

    region: TrustRegion
    arrays: ProgramArrays
    held: Held
    holds: bool
    ends: tuple[npt.ArrayLike | None, npt.ArrayLike | None]
    seconds: float

    def __deepcopy__(self, memo: dict[int, Any]) -> Written:
        return self


def written(
    region: TrustRegion,
    plugs: list[Plug],
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
) -> Written:
    """Rows of a region over inputs.

    Raises
    ------
    EmbeddingError
        When an input has no finite bounds and the region needs them, bounds contradict each other
        or the region, or no point within them is in it.
    """
    start = time.perf_counter()
    low, high = input_box(_inside(region, plugs), region, lower, upper)
    program = Program()
    columns: Index = program.add_columns(low, high)
    whole = np.array([p.source is not None and _is_whole(p.source) for p in plugs])
    region.encode(program, columns, whole)
    arrays = program.freeze()
    holds = region.needs_bounds or lower is not None or upper is not None
    if holds:
        own = np.array([p.source is None for p in plugs])
        held = Held(
            low,
            high,
            np.where(own, low, [p.lower for p in plugs]),
            np.where(own, high, [p.upper for p in plugs]),
        )
    else:
        free = np.full(low.size, np.inf)
        held = Held(-free, free, -free, free)
    return Written(region, arrays, held, holds, (lower, upper), time.perf_counter() - start)


def _inside(region: TrustRegion, plugs: list[Plug]) -> list[Plug]:
    """Narrow the bounds of inputs to the box around a region."""
    box = region.input_bounds
    if box is None:
        return plugs
    found = []
    for i, (p, low, high) in enumerate(zip(plugs, *(b.tolist() for b in box), strict=True)):
        # A value may stand next to the box, as one that was read from a file with few digits.
        room = 1e-9 * (1.0 + max(abs(low), abs(high)))
        if p.lower > high + room or p.upper < low - room:
            msg = f"{p.describe(i)} lies in [{p.lower}, {p.upper}], the {region.describe()} in "
            raise EmbeddingError(msg + f"[{low}, {high}]: no point is in both")
        ends = min(max(p.lower, low), high + room), max(min(p.upper, high), low - room)
        found.append(Plug(p.source, p.own, *ends))
    return found


def _is_whole(source: Any) -> bool:
    """Whether a variable takes whole numbers only."""
    return bool(hasattr(source, "is_integer") and source.is_integer())


class TrustRegionData(EmbeddedBlockData):
    """A trust region in a block; made by :func:`mipnet.add_trust_region`.

    Attributes
    ----------
    inputs : dict of int to VarData
    weights, binaries : Var
        Continuous and binary columns of the region.
    rows : Constraint
    input_range : Constraint
        The inputs within the bounds the rows are valid for, where they need some.
    own_inputs, input_links : Var, Constraint
        Inputs that the block made, and the equalities that tie them to expressions.
    """

    written: Written

    def build(self, known: Written, plugs: list[Plug]) -> None:
        """Make the components of an empty block."""
        start = time.perf_counter()
        n = known.region.n_inputs
        self._add_inputs(plugs, known.arrays.lower[:n], known.arrays.upper[:n])
        self._add_inner(known)
        self.build_s = known.seconds + time.perf_counter() - start

    def _add_inner(self, known: Written) -> None:
        """Make everything that follows from the inputs."""
        self.written = known
        arrays, n = known.arrays, known.region.n_inputs
        columns = np.empty(arrays.n_columns, dtype=object)
        columns[:n] = list(self.inputs.values())
        others = np.arange(arrays.n_columns) >= n
        for name, chosen, domain in (
            ("weights", others & ~arrays.integer, pyo.Reals),
            ("binaries", others & arrays.integer, pyo.Binary),
        ):
            at = np.flatnonzero(chosen)
            columns[at] = self._add_vars(name, arrays.lower[at], arrays.upper[at], domain)
        self.rows = Rows(RowArrays.of_program(arrays), columns.tolist())
        if known.holds:
            held = RowArrays.of_bounds(known.held.lower, known.held.upper)
            self.input_range = Rows(held, list(self.inputs.values()))

    @property
    def region(self) -> TrustRegion:
        """The region that the rows describe."""
        return self.written.region

    def report(self) -> TrustReport:
        """Binaries, sizes, and seconds spent."""
        arrays = self.written.arrays
        return TrustReport(
            self.region.describe(),
            self.region.n_inputs,
            arrays.n_binaries,
            arrays.n_columns,
            arrays.n_rows,
            arrays.n_nonzeros,
            build_s=self.build_s,
        )

    def held(self) -> Held:
        """Range that the rows are valid for."""
        return self.written.held

    def point(self) -> Array:
        """Return the loaded inputs; whole where the variable is.

        Raises
        ------
        EmbeddingError
            When an input has no value.
        """
        values = self._values("inputs")
        whole = [_is_whole(v) for v in self.inputs.values()]
        return np.where(whole, np.round(values), values)

    def error(self, tolerance: float | None = None) -> float:
        """By how much the loaded inputs are outside, by the region itself, not by its rows.

        Parameters
        ----------
        tolerance : float, optional
            Largest value that passes.

        Returns
        -------
        float
            0 inside; the unit is that of :meth:`TrustRegion.outside`.

        Raises
        ------
        EmbeddingError
            When an input has no value.
        SolverError
            When the tolerance is exceeded.
        """
        found = float(self.region.outside(self.point())[0])
        if tolerance is not None and not found <= tolerance:
            msg = f"{self.name}: the inputs are outside of the {self.region.describe()} by "
            raise SolverError(msg + f"{found:.3g}, more than {tolerance:.3g}")
        return found

    def doubts(self, error: float) -> Iterator[str]:
        """See :meth:`EmbeddedBlockData.doubts`: a point that is not in the region."""
        if not error <= self.region.tolerance:
            yield (
                f"{self.name}: the loaded inputs are outside of the {self.region.describe()} by "
                f"{error:.3g}; do not trust this solution"
            )

    def rebuild(self, region: Any = None) -> None:
        """Build the block again in its place, for the bounds its inputs have now.

        Parameters
        ----------
        region : TrustRegion, or anything :func:`mipnet.add_trust_region` takes, optional
            Another region over as many inputs; the same one when absent.

        Raises
        ------
        EmbeddingError
            When it does not fit, or an active constraint outside uses a variable that is made
            anew. The block stays as it was.
        """
        chosen = self.region if region is None else as_region(region)
        plugs = replug(list(self.sources.values()), list(self.inputs.values()), chosen)
        inner = [v for c in ("weights", "binaries") for v in self._members(c)]
        refuse_users(self.name, [self], inner, "built again")
        known = written(chosen, plugs, *self.written.ends)
        for name in _INNER:
            self.del_component(name)
        for i, p in enumerate(plugs):
            if p.own:
                self.inputs[i].setlb(known.arrays.lower[i])
                self.inputs[i].setub(known.arrays.upper[i])
        self._add_inner(known)


class TrustRegionBlock(TrustRegionData, ScalarBlock):  # type: ignore[misc]
    """A trust region over one set of inputs."""


class TrustRegionBatch(EmbeddedBatch):
    """A trust region over rows of inputs, by label; each is a block of its own."""

    _ComponentDataClass = TrustRegionData

    def report(self) -> TrustReport:
        """Sum of the reports of all rows."""
        return total([block.report() for block in self.values()])


def as_region(source: Any) -> TrustRegion:
    """Return a trust region, made of a fitted forest or of data where it is none yet."""
    if isinstance(source, TrustRegion):
        return source
    if hasattr(source, "ctype") or hasattr(source, "is_variable_type"):
        msg = f"{source} is a part of a model, no region: add_trust_region(model, region, inputs)"
        raise EmbeddingError(msg)
    from mipnet.learning.forest import IsolationRegion, is_forest
    from mipnet.learning.hull import ConvexHull

    return IsolationRegion(source) if is_forest(source) else ConvexHull(source)


def prepared(
    region: TrustRegion,
    inputs: Any,
    lower: npt.ArrayLike | None,
    upper: npt.ArrayLike | None,
) -> tuple[Written, list[Plug]]:
    """Everything about one block, so that a bad one leaves nothing half done."""
    plugs = plug(inputs, region)
    return written(region, plugs, lower, upper), plugs
