"""Distances of points, exact, and the part of a program that minimises them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Program, ProgramArrays
from mipnet.encode import Encoding
from mipnet.errors import QueryError
from mipnet.network.layers.base import Array
from mipnet.solver import FEASIBILITY

Index = npt.NDArray[np.int32]

#: What is taken off a minimum of the solver before it counts as proven, relative to the radius of
#: the ball it was computed over.
DISTANCE_MARGIN = 1e-6
#: The same in absolute terms: rows may be off by the solver's tolerance.
LEAK = 10.0 * FEASIBILITY
#: Radius of a ball, relative to another one, over which programs prove the whole other one.
WIDER = 1.0 + 4.0 * DISTANCE_MARGIN
#: The radius, relative to itself, with room for rounding.
_WHOLE = 1.0 + DISTANCE_MARGIN


def distance(norm: str, point: Array, centre: Array) -> float:
    """Distance of two points in exact arithmetic, rounded up to the next float.

    Parameters
    ----------
    norm : {"linf", "l1", "l2", "l0"}
        ``l0`` counts the coordinates that differ.
    point, centre : array, shape (n,)
    """
    moved = np.flatnonzero(point != centre)
    if norm == "l0" or not moved.size:
        return float(moved.size)
    if norm == "linf":
        # Only the largest differences, up to rounding, can be the largest one.
        size = np.abs(point - centre)
        moved = np.flatnonzero(size >= (1.0 - 2.0**-50) * size.max())
    pairs = zip(point[moved].tolist(), centre[moved].tolist(), strict=True)
    steps = [abs(Fraction(a) - Fraction(b)) for a, b in pairs]
    if norm == "l2":
        return _root_up(sum((s * s for s in steps), Fraction(0)))
    exact = max(steps) if norm == "linf" else sum(steps, Fraction(0))
    nearest = float(exact)
    return nearest if Fraction(nearest) >= exact else math.nextafter(nearest, math.inf)


def _root_up(square: Fraction) -> float:
    """Smallest float whose square is not below ``square``, or the one after it."""
    # A power of four brings the number where floats neither overflow nor vanish.
    shift = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    root = math.ldexp(math.sqrt(float(square / Fraction(4) ** shift)), shift)
    while Fraction(root) ** 2 < square:
        root = math.nextafter(root, math.inf)
    return root


def reach(norm: str, centre: Array, lower: Array, upper: Array) -> float:
    """Distance of the corner of a box that is furthest from ``centre``, rounded up."""
    corner = np.where(upper - centre >= centre - lower, upper, lower)
    return distance(norm, corner, centre)


@dataclass
class DistanceModel:
    """A network over a box, with the distance of the inputs from a centre as the objective.

    The objective is relative to ``radius``, so that the absolute gaps of the solver are relative
    ones: ``max |x - c| / r``, ``sum |x - c| / r``, or, for l2, an outer linearisation of
    ``sum (x - c)**2 / r**2``: one column for each square, bounded from below by tangents. Tangents
    for each coordinate on its own cut far more than cuts of the whole norm (Vielma, Dunning,
    Huchette and Lubin, Math. Prog. Comp. 2017: extended formulations in outer approximation).

    Parameters
    ----------
    encoding : Encoding
        Of the network over the bounding box of the ball.
    norm : {"linf", "l1", "l2"}
    centre : array, shape (n,)
    radius : float
        Positive; neuron bounds of the encoding need to hold within this distance only.

    Attributes
    ----------
    program : Program
    objective : AffineForm with one row
    """

    encoding: Encoding
    norm: str
    centre: Array
    radius: float
    program: Program = field(init=False)
    objective: AffineForm = field(init=False)
    _own: list[tuple[Index, Callable[[Array], Array]]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.program = self.encoding.program.copy()
        steps = AffineForm.of_columns(self.encoding.inputs).shift(-self.centre)
        self.steps = steps.scale(np.full(self.centre.size, 1.0 / self.radius))
        add = {"linf": self._linf, "l1": self._l1, "l2": self._l2}
        self.objective = add[self.norm]()

    def _add(self, count: int, value: Callable[[Array], Array]) -> AffineForm:
        """Columns from 0 to just above 1 whose value at relative steps is known."""
        columns = self.program.add_columns(np.zeros(count), np.full(count, _WHOLE))
        self._own.append((columns, value))
        return AffineForm.of_columns(columns)

    def _linf(self) -> AffineForm:
        largest = self._add(1, lambda d: np.abs(d).max(keepdims=True))
        spread = largest.select(np.zeros(self.centre.size, dtype=np.intp))
        self.program.add_rows(self.steps - spread, lower=-np.inf, upper=0.0)
        self.program.add_rows(-self.steps - spread, lower=-np.inf, upper=0.0)
        return largest

    def _l1(self) -> AffineForm:
        n = self.centre.size
        rise = self._add(n, lambda d: np.maximum(d, 0.0))
        fall = self._add(n, lambda d: np.maximum(-d, 0.0))
        self.program.add_rows(self.steps - rise + fall, lower=0.0, upper=0.0)
        total = rise.stack(fall).sum()
        self.program.add_rows(total, lower=-np.inf, upper=_WHOLE)
        return total

    def _l2(self) -> AffineForm:
        n = self.centre.size
        self.squares = self._add(n, np.square)
        total = self.squares.sum()
        self.program.add_rows(total, lower=-np.inf, upper=_WHOLE)
        for tangent in (1.0 / math.sqrt(n), 0.5):
            self.touch(np.full(n, tangent))
            self.touch(np.full(n, -tangent))
        return total

    def touch(self, steps: Array) -> None:
        """Add the tangents of the squares at relative steps, shape (n,); l2 only."""
        rows = np.flatnonzero(np.abs(steps) > 1e-6)
        at = steps[rows]
        tangent = self.squares.select(rows) - self.steps.select(rows).scale(2.0 * at)
        self.program.add_rows(tangent, lower=-at * at, upper=np.inf)

    def relative(self, point: Array) -> Array:
        """Return the steps from the centre to a point, relative to the radius."""
        return np.asarray((point - self.centre) / self.radius)

    def complete(self, point: Array) -> Array:
        """Full column vector of an input point."""
        steps = self.relative(point)
        full = np.zeros(self.program.n_columns)
        known = self.encoding.complete(point)
        full[: known.size] = known
        for columns, value in self._own:
            full[columns] = value(steps)
        return full

    def measure(self, steps: Array) -> float:
        """Objective without linearisation at relative steps."""
        if self.norm == "linf":
            return float(np.abs(steps).max())
        return float(np.abs(steps).sum() if self.norm == "l1" else np.square(steps).sum())

    def cutoff(self, length: float) -> float:
        """Objective of points at a distance."""
        share = length / self.radius
        return share * share if self.norm == "l2" else share

    def asked(self, length: float) -> float:
        """Bound of the objective that proves a distance; see :meth:`proven`."""
        return self.cutoff(length + LEAK) + DISTANCE_MARGIN

    def proven(self, bound: float) -> float:
        """Radius of a closed ball without any point, from a lower bound of the objective; or -1."""
        # The ball ends at 1: beyond, nothing was searched.
        share = min(bound, 1.0) - DISTANCE_MARGIN
        if not share > 0.0:
            return -1.0
        share = math.sqrt(share) if self.norm == "l2" else share
        radius = self.radius * share - LEAK
        return radius if radius >= 0.0 else -1.0

    def arrays(self, forms: AffineForm, margin: float) -> ProgramArrays:
        """Nearest point where all forms are at least ``margin``."""
        program = self.program.copy()
        program.add_rows(forms, lower=margin, upper=np.inf)
        return program.freeze(self.objective)


def checked_norm(norm: str) -> str:
    """Return the norm.

    Raises
    ------
    QueryError
        When it is unknown.
    """
    if norm not in {"linf", "l1", "l2", "l0"}:
        msg = f"unknown norm {norm!r}; known: linf, l1, l2, l0"
        raise QueryError(msg)
    return norm
