"""The protocol of input regions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from formulations import AffineForm, Program
from mipnet.errors import RegionError
from mipnet.network.interval import Interval

Array = npt.NDArray[np.float64]
#: Arrays of either precision.
Floats = npt.NDArray[np.floating[Any]]
Index = npt.NDArray[np.int32]

#: What :meth:`Region.minimise` answers for a box found to miss the region. Any value would be
#: sound; this one settles every question about the box and stays clear of overflow.
EMPTY = 1e30


class Region(ABC):
    """A bounded set of flat input vectors.

    Two readings keep both sides honest: everything used for a proof (``lower``, ``upper``,
    :meth:`minimise`, :meth:`encode`) covers the set, rounded outward; everything used for a
    witness (:meth:`project`, :meth:`contains`) stays inside it, without tolerance.

    Attributes
    ----------
    lower, upper : array, shape (n,)
        Bounding box of the region, rounded outward.
    centre : array, shape (n,)
        A point of the region.
    exact_encoding : bool
        Whether the rows of :meth:`encode` describe the region, not merely a set around it. Where
        they do not, a solver's point may lie outside, and :meth:`cuts` cuts it off.
    """

    lower: Array
    upper: Array
    centre: Array
    exact_encoding: bool = True

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return int(self.lower.size)

    def box(self) -> Interval:
        """Bounding box as an interval of batch one, shape (1, n)."""
        return Interval(self.lower[None], self.upper[None])

    @abstractmethod
    def minimise(
        self, coefficients: Array, lower: Array | None = None, upper: Array | None = None
    ) -> Array:
        """Sound lower bounds of linear forms over the region.

        Parameters
        ----------
        coefficients : array, shape (batch, targets, n)
        lower, upper : array, shape (batch, n), optional
            Boxes to intersect the region with, one for each item of the batch; its own box when
            absent.

        Returns
        -------
        array, shape (batch, targets)
            Any value for a box that misses the region, :data:`EMPTY` where that is noticed.
        """

    @abstractmethod
    def ascent(self, gradient: Array) -> Array:
        """Displacements of unit size that increase a function of that gradient.

        Parameters
        ----------
        gradient : array, shape (batch, n)

        Returns
        -------
        array, shape (batch, n)
            Scaled so that one whole step crosses the region.
        """

    def minimiser(self, forms: Floats) -> Floats:
        """Points where linear forms are about as small as the region allows.

        For searching only: nothing is proven by them, and rounding may leave them just outside.

        Parameters
        ----------
        forms : array of float32 or float64, shape (batch, n)

        Returns
        -------
        array, shape (batch, n)
        """
        return self.project(self.centre + self.ascent(-forms.astype(np.float64)))

    @abstractmethod
    def project(self, points: Array) -> Array:
        """Nearby points inside the region, shape (batch, n)."""

    @abstractmethod
    def contains(self, point: Array) -> bool:
        """Whether a point lies in the region, decided exactly, with no tolerance."""

    @abstractmethod
    def encode(self, program: Program) -> Index:
        """Append columns and rows of the region to ``program``; return the input columns."""

    def cuts(self, columns: Index, points: Array) -> tuple[AffineForm, Array]:
        """Rows ``form <= side`` that hold on the region and cut off given points outside it.

        Parameters
        ----------
        columns : array of int32, shape (n,)
            The input columns, as :meth:`encode` returned them.
        points : array, shape (k, n)

        Returns
        -------
        forms : AffineForm
            Over the columns of the program; none where the encoding is exact.
        sides : array, one for each form
            Rounded outward.
        """
        del points
        return AffineForm.of_columns(columns[:0]), np.zeros(0)

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Plain data for reports: kind, radius, ..."""

    def sample(self, rng: np.random.Generator, count: int) -> Array:
        """Random points of the region, shape (count, n); not uniform in general."""
        points = rng.uniform(self.lower, self.upper, size=(count, self.n_inputs))
        return self.project(points)


def finite_box(lower: npt.ArrayLike, upper: npt.ArrayLike) -> tuple[Array, Array]:
    """Return checked flat float64 bounds.

    Raises
    ------
    RegionError
        When a bound is missing, NaN or infinite, or the box is empty; names the input.
    """
    lo = np.atleast_1d(np.array(lower, dtype=np.float64)).reshape(-1)
    up = np.atleast_1d(np.array(upper, dtype=np.float64)).reshape(-1)
    if lo.shape != up.shape or lo.size == 0:
        msg = f"lower and upper bounds must have one value for each input; got {lo.size}, {up.size}"
        raise RegionError(msg)
    unbounded = np.flatnonzero(~(np.isfinite(lo) & np.isfinite(up)))
    if unbounded.size:
        msg = (
            f"{unbounded.size} input(s) have no finite bounds, first input {unbounded[0]} "
            f"[{lo[unbounded[0]]}, {up[unbounded[0]]}]; give finite lower and upper bounds"
        )
        raise RegionError(msg)
    empty = np.flatnonzero(lo > up)
    if empty.size:
        msg = (
            f"the box is empty: lower > upper at {empty.size} input(s), first input {empty[0]} "
            f"[{lo[empty[0]]}, {up[empty[0]]}]"
        )
        raise RegionError(msg)
    lo.flags.writeable = up.flags.writeable = False
    return lo, up


def centre_in_box(centre: npt.ArrayLike, lower: Array, upper: Array) -> Array:
    """Return the checked centre of a ball inside its domain.

    Raises
    ------
    RegionError
        When the centre is of the wrong size, not finite, or outside the domain.
    """
    point = np.array(centre, dtype=np.float64).reshape(-1)
    if point.shape != lower.shape:
        msg = f"the centre has {point.size} values, the domain {lower.size} inputs"
        raise RegionError(msg)
    outside = np.flatnonzero(~((lower <= point) & (point <= upper)))
    if outside.size:
        i = outside[0]
        msg = f"the centre lies outside the domain at input {i}: {point[i]} not in "
        msg += f"[{lower[i]}, {upper[i]}]"
        raise RegionError(msg)
    point.flags.writeable = False
    return point


def checked_radius(radius: float) -> float:
    """Return the radius as a float.

    Raises
    ------
    RegionError
        When it is negative, NaN or infinite.
    """
    value = float(radius)
    if not (np.isfinite(value) and value >= 0.0):
        msg = f"radius must be a finite number >= 0, not {radius}"
        raise RegionError(msg)
    return value


def ball_box(centre: Array, radius: float, lower: Array, upper: Array) -> tuple[Interval, Interval]:
    """Boxes ``centre ± radius`` within a domain: one just outside, one just inside.

    ``centre ± radius`` is in general no floating-point number; the sign of the rounding error,
    computed exactly (Knuth's two-sum), says which neighbour lies inside.

    Returns
    -------
    outer, inner : Interval, shape (n,)
    """

    def ends(offset: float) -> tuple[Array, Array]:
        total = centre + offset
        part = total - centre
        error = (centre - (total - part)) + (offset - part)
        above = np.where(error > 0.0, np.nextafter(total, np.inf), total)
        below = np.where(error < 0.0, np.nextafter(total, -np.inf), total)
        return below, above

    low_below, low_above = ends(-radius)
    up_below, up_above = ends(radius)
    outer = Interval(np.maximum(low_below, lower), np.minimum(up_above, upper))
    inner = Interval(np.maximum(low_above, lower), np.minimum(up_below, upper))
    return outer, inner


def pull_in(region: Region, points: Array, doubtful: npt.NDArray[np.intp]) -> Array:
    """Move doubtful points that rounding left outside towards the centre until none is outside.

    Parameters
    ----------
    region : Region
    points : array, shape (batch, n)
        Changed in place.
    doubtful : array of int
        Items to look at.
    """
    for i in doubtful:
        pull = 2.0**-30
        while not region.contains(points[i]) and pull < 1.0:
            points[i] += pull * (region.centre - points[i])
            pull *= 4.0
        if not region.contains(points[i]):
            points[i] = region.centre
    return points
