"""Convex hull of data, or of clusters of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.optimize import linprog

from formulations import AffineForm, Program
from mipnet.errors import RegionError, SolverError
from mipnet.learning.region import Array, Flags, Index, TrustRegion, table_of, units
from mipnet.learning.vertices import vertices

#: Coordinates of at most this size, in units of the input, are zero to a solver anyway.
_SMALL = 1e-9


class ConvexHull(TrustRegion):
    r"""All convex combinations of data: where a network interpolates.

    .. math::
        x = \sum_i \lambda_i \hat x_i, \quad \sum_i \lambda_i = 1, \quad \lambda \ge 0

    With clusters, of the points of one of them, which a binary :math:`u_k` chooses:
    :math:`\sum_{i \in C_k} \lambda_i = u_k`, :math:`\sum_k u_k = 1`. That leaves out the empty
    space between them. With slack :math:`\epsilon`, every input may be off by
    :math:`\epsilon` times its range. No big-M, and no bounds of the inputs are needed.

    :meth:`outside` is the largest distance of an input from the hull, as share of its range.

    Parameters
    ----------
    data : DataFrame or array_like, shape (n, n_inputs)
        Points the network was trained on.
    clusters : int or array_like of shape (n,), optional
        How many clusters k-means shall find, with inputs scaled to their ranges; or a label for
        each point.
    slack : float
        By which share of its range an input may leave the hull.
    random_state : int
        Seed of k-means.

    Attributes
    ----------
    parts : tuple of array
        Points of each cluster that its hull needs; duplicates, and in up to five dimensions
        inner points, are left out (:func:`mipnet.learning.vertices.vertices`).
    lower, upper : array, shape (n_inputs,)
        Box around the hull, slack included.

    Raises
    ------
    RegionError
        When data are missing or no numbers, there are fewer distinct points than clusters, or
        the slack is negative.

    Notes
    -----
    Maragno, Wiberg, Bertsimas, Birbil, den Hertog, Fajemisin: Mixed-integer optimization with
    constraint learning, Operations Research 73(2), 2025 (arXiv 2111.04469), section on trust
    regions; clusters as there, slack in place of the ball around the hull, which is not linear.

    Examples
    --------
    >>> hull = ConvexHull([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.2, 0.2]])
    >>> hull.contains([[0.5, 0.5], [0.6, 0.6]]).tolist(), len(hull.parts[0])
    ([True, False], 3)
    """

    tolerance = 1e-7

    def __init__(
        self,
        data: Any,
        clusters: int | npt.ArrayLike | None = None,
        *,
        slack: float = 0.0,
        random_state: int = 0,
    ) -> None:
        points, self.names = table_of(data)
        if isinstance(slack, bool) or not (slack >= 0.0 and math.isfinite(slack)):
            msg = f"slack is a share of the range of an input, 0 or more, not {slack!r}"
            raise RegionError(msg)
        self.n_inputs = points.shape[1]
        self.slack = float(slack)
        low, high = points.min(axis=0), points.max(axis=0)
        self._range = high - low
        groups = [points] if clusters is None else _clustered(points, clusters, random_state)
        self.parts = tuple(vertices(group) for group in groups)
        self.lower, self.upper = low - slack * self._range, high + slack * self._range
        self._unit = units(low, high)
        # Origin of the units: 0 where the data reach over it, so that zeros stay zeros.
        self._origin = np.clip(0.0, low, high)

    @property
    def input_bounds(self) -> tuple[Array, Array]:
        """Box around the hull."""
        return self.lower, self.upper

    def encode(self, program: Program, inputs: Index, whole: Flags) -> None:
        """See :meth:`TrustRegion.encode`."""
        del whole
        sizes = [len(part) for part in self.parts]
        weights = program.add_columns(np.zeros(sum(sizes)), np.ones(sum(sizes)))
        share = sp.csr_array(sp.block_diag([np.ones((1, size)) for size in sizes]))
        totals = AffineForm.of_columns(weights).affine(share, np.zeros(len(sizes)))
        if len(sizes) > 1:
            marks = AffineForm.of_columns(
                program.add_columns(np.zeros(len(sizes)), np.ones(len(sizes)), integer=True)
            )
            program.add_rows(totals - marks, lower=0.0, upper=0.0)
            program.add_rows(marks.sum(), lower=1.0, upper=1.0)
        else:
            program.add_rows(totals, lower=1.0, upper=1.0)
        combined = AffineForm.of_columns(weights).affine(
            self._coordinates(np.concatenate(self.parts)).T, np.zeros(self.n_inputs)
        )
        scaled = AffineForm.of_columns(inputs).scale(1.0 / self._unit)
        offset = self._origin / self._unit
        room = self.slack * self._range / self._unit
        program.add_rows(combined - scaled, lower=-offset - room, upper=room - offset)

    def _coordinates(self, points: Array) -> Array:
        """Points in units of the inputs; what is next to nothing becomes nothing."""
        scaled = (points - self._origin) / self._unit
        return np.where(np.abs(scaled) <= _SMALL, 0.0, scaled)

    def measure(self, points: Array) -> Array:
        """Share of its range by which an input is farther off than the slack, by one LP each."""
        return np.array([min(self._distance(p, part) for part in self.parts) for p in points])

    def _distance(self, point: Array, part: Array) -> float:
        width = np.where(self._range > 0.0, self._range, 1.0)
        moved = ((part - point) / width).T
        # Minimise t subject to -t <= moved @ weights <= t and weights that sum to 1.
        room = -np.ones((self.n_inputs, 1))
        solved = linprog(
            np.append(np.zeros(len(part)), 1.0),
            A_ub=np.block([[moved, room], [-moved, room]]),
            b_ub=np.where(np.tile(self._range, 2) > 0.0, self.slack, 0.0),
            A_eq=np.append(np.ones(len(part)), 0.0)[None],
            b_eq=[1.0],
            method="highs",
        )
        if solved.fun is None:
            msg = f"the distance from the hull was not found: {solved.message}"
            raise SolverError(msg)
        return float(solved.fun)

    def describe(self) -> str:
        """One line for reports."""
        many = f" in {len(self.parts)} clusters" if len(self.parts) > 1 else ""
        slack = f", slack {self.slack:g}" if self.slack else ""
        return f"convex hull of {sum(map(len, self.parts))} points{many}{slack}"


def _clustered(points: Array, clusters: int | npt.ArrayLike, seed: int) -> list[Array]:
    """Points by cluster: those of k-means, or those of given labels."""
    if isinstance(clusters, int | np.integer) and not isinstance(clusters, bool):
        distinct = len(np.unique(points, axis=0))
        if not 1 <= clusters <= distinct:
            msg = f"there are {distinct} distinct points: no {clusters} clusters can be made"
            raise RegionError(msg)
        from sklearn.cluster import KMeans

        width = np.ptp(points, axis=0)
        scaled = points / np.where(width > 0.0, width, 1.0)
        labels = KMeans(int(clusters), n_init=10, random_state=seed).fit_predict(scaled)
    else:
        labels = np.asarray(clusters)
        if labels.shape != (len(points),):
            msg = f"clusters is a number, or a label for each of the {len(points)} points: shape "
            raise RegionError(f"{msg}{labels.shape} given")
    return [points[labels == label] for label in np.unique(labels)]
