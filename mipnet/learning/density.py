"""Where data are dense: near enough to so many of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse as sp

from formulations import AffineForm, Program
from mipnet.errors import RegionError
from mipnet.learning.region import Array, Flags, Index, TrustRegion, table_of, units

#: Points measured at a time.
_SLICE = 256


class DensityRegion(TrustRegion):
    r"""Points with at least ``count`` data near them: within ``radius`` in every input.

    In units of the ranges of the data, and so where a Parzen window estimate with a box kernel,

    .. math::
        \hat p(x) = \frac{1}{n \prod_j 2 r s_j}
        \#\{i : |x_j - \hat x_{ij}| \le r s_j \ \forall j\},

    is at least :math:`\text{count} / (n \prod_j 2 r s_j)`. Unlike a hull it has holes and several
    parts. Every datum gets a binary; for ``count=1`` the rows are the convex hull of the union of
    boxes. Neither big-M constants of choice nor bounds of the inputs are needed.

    :meth:`outside` is by how much the radius would have to grow.

    Parameters
    ----------
    data : DataFrame or array_like, shape (n, n_inputs)
    radius : float
        Share of the range of an input.
    count : int

    Attributes
    ----------
    lower, upper : array, shape (n_inputs,)
        Box around the region.

    Raises
    ------
    RegionError
        When data are missing or no numbers, the radius is not positive, or there are fewer data
        than ``count``.

    Notes
    -----
    Parzen, On estimation of a probability density function and mode, Annals of Mathematical
    Statistics 33(3), 1962, equation 1.3 with a product kernel. Rows for ``count=1``: the union of
    boxes of one shape, Jeroslow, Representability in mixed integer programming I, 1987.

    Examples
    --------
    >>> region = DensityRegion([[0.0], [0.1], [0.2], [1.0]], radius=0.15, count=2)
    >>> region.contains([[0.1], [0.6], [1.0]]).tolist()
    [True, False, False]
    """

    tolerance = 1e-7

    def __init__(self, data: Any, radius: float, count: int = 1) -> None:
        points, self.names = table_of(data)
        if not (radius > 0.0 and math.isfinite(radius)):
            msg = f"the radius is a share of the range of an input, more than 0, not {radius!r}"
            raise RegionError(msg)
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            msg = f"count is a whole number, 1 or more, not {count!r}"
            raise RegionError(msg)
        if count > len(points):
            msg = f"there are {len(points)} points: none can have {count} of them near it"
            raise RegionError(msg)
        self.n_inputs, self.radius, self.count = points.shape[1], float(radius), int(count)
        low, high = points.min(axis=0), points.max(axis=0)
        self._range = high - low
        self._reach = radius * self._range
        self.points = np.unique(points, axis=0) if count == 1 else points
        self.lower, self.upper = low - self._reach, high + self._reach
        self._unit, self._origin = units(low, high), np.clip(0.0, low, high)

    @property
    def input_bounds(self) -> tuple[Array, Array]:
        """Box around the region."""
        return self.lower, self.upper

    def encode(self, program: Program, inputs: Index, whole: Flags) -> None:
        r"""See :meth:`TrustRegion.encode`.

        :math:`\sum_i z_i = k`, and the sum over the chosen data of what each demands,
        :math:`\sum_i (\hat x_i - r) z_i \le k x \le \sum_i (\hat x_i + r) z_i`; for
        :math:`k > 1` also what each demands alone, relaxed to the box of the region.
        """
        del whole
        n = len(self.points)
        chosen = program.add_columns(np.zeros(n), np.ones(n), integer=True)
        marks = AffineForm.of_columns(chosen)
        program.add_rows(marks.sum(), lower=self.count, upper=self.count)
        x = AffineForm.of_columns(inputs).shift(-self._origin).scale(1.0 / self._unit)
        reach = self._reach / self._unit
        centres = (self.points - self._origin) / self._unit
        for sign in (1.0, -1.0):
            ends = marks.affine((centres + sign * reach).T, np.zeros(self.n_inputs))
            gap = (x.scale(np.full(self.n_inputs, float(self.count))) - ends).scale(
                np.full(self.n_inputs, sign)
            )
            program.add_rows(gap, lower=-np.inf, upper=0.0)
        if self.count == 1:
            return
        for j in range(self.n_inputs):
            own = x.select(np.full(n, j))
            far = (np.array([self.lower[j], self.upper[j]]) - self._origin[j]) / self._unit[j]
            for sign, end in ((1.0, far[1]), (-1.0, far[0])):
                # sign * x <= sign * end, and where the mark is 1 within reach of the datum.
                near = centres[:, j] + sign * reach[j]
                slack = sp.csr_array(sp.diags_array(sign * (end - near)))
                form = own.scale(np.full(n, sign)) + marks.affine(slack, np.zeros(n))
                program.add_rows(form, lower=-np.inf, upper=sign * end)

    def measure(self, points: Array) -> Array:
        """By how much the radius would have to grow."""
        width = np.where(self._range > 0.0, self._range, 1.0)
        found = [
            np.sort(
                (np.abs(points[at : at + _SLICE, None] - self.points) / width
                 - np.where(self._range > 0.0, self.radius, 0.0)).max(axis=2),
                axis=1,
            )[:, self.count - 1]
            for at in range(0, len(points), _SLICE)
        ]  # fmt: skip
        return np.concatenate([np.zeros(0), *found])

    def describe(self) -> str:
        """One line for reports."""
        data = f"{self.count} of {len(self.points)} points"
        return f"neighbourhood of {data} (radius {self.radius:g})"
