"""Exact minima of tiny ReLU networks by enumeration: no code shared with the package.

Once the phase of every hidden neuron is fixed, the network is affine and the phases are linear
constraints, so each activation pattern is one small LP. Everything here is plain numpy, scipy's
``linprog`` and rational arithmetic, and imports nothing from ``mipnet`` or ``formulations``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
from scipy.optimize import linprog

Array = np.ndarray
_EXACT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


@dataclass(frozen=True)
class Minimum:
    """Least value of ``objective . network`` over the region.

    ``value`` is the smallest LP optimum, ``point`` where it is reached, ``attained`` the value
    of a plain forward pass there, ``patterns`` the number of activation patterns that occur.
    """

    value: float
    point: Array
    attained: float
    patterns: int


def forward(weights: Sequence[Array], biases: Sequence[Array], x: Array) -> Array:
    """Outputs of the network at one point: affine layers with ReLUs between them."""
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = weight @ (np.maximum(x, 0.0) if k else x) + bias
    return x


def exact_trace(
    weights: Sequence[Array], biases: Sequence[Array], x: Sequence[float | Fraction] | Array
) -> list[list[Fraction]]:
    """Pre-activations of every layer at a point, in rational arithmetic."""
    values = [Fraction(v) for v in x]
    trace = []
    for weight, bias in zip(weights, biases, strict=True):
        sums = [
            sum((Fraction(w) * v for w, v in zip(row, values, strict=True)), Fraction(b))
            for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
        ]
        trace.append(sums)
        values = [max(v, Fraction(0)) for v in sums]
    return trace


class _Enumeration:
    """The tree of activation patterns over a box, or over a box and an l1 ball.

    The LP columns are ``u`` with ``x = origin + half * u`` and, for a ball, ``t >= |u|``: scaled,
    so that far and tiny boxes are no harder than the unit box.
    """

    def __init__(
        self,
        weights: Sequence[Array],
        biases: Sequence[Array],
        box: tuple[Array, Array],
        objective: Array,
        ball: tuple[Array, float] | None,
    ) -> None:
        self.weights, self.biases, self.objective = list(weights), list(biases), objective
        lower, upper = box
        self.origin = 0.5 * (lower + upper) if ball is None else ball[0]
        self.half = np.maximum(upper - self.origin, self.origin - lower)
        scale = np.where(self.half > 0.0, self.half, 1.0)
        self.low, self.high = (lower - self.origin) / scale, (upper - self.origin) / scale
        n = self.origin.size
        self.n = n
        self.columns = list(zip(self.low, self.high, strict=True))
        self.rows, self.sides = np.zeros((0, n)), np.zeros(0)
        if ball is not None:
            eye, size = np.eye(n), max(float(self.half.max()), 1e-300)
            budget = np.concatenate([np.zeros(n), self.half / size])[None]
            self.rows = np.vstack([np.hstack([eye, -eye]), np.hstack([-eye, -eye]), budget])
            self.sides = np.concatenate([np.zeros(2 * n), [ball[1] / size]])
            self.columns += [(0.0, None)] * n

    def lp(self, cost: Array, rows: Array, sides: Array) -> Array | None:
        """Least point ``u`` of a linear cost under the region and more rows; None if empty."""
        extra = self.rows.shape[1] - self.n
        a = np.vstack([self.rows, np.hstack([rows, np.zeros((len(rows), extra))])])
        b = np.concatenate([self.sides, sides])
        size = np.abs(cost).max(initial=0.0)
        c = np.concatenate([cost / size if size > 0.0 else cost, np.zeros(extra)])
        found = linprog(
            c,
            A_ub=a if len(a) else None,
            b_ub=b if len(a) else None,
            bounds=self.columns,
            method="highs",
            options=_EXACT,
        )
        if found.status == 2:
            return None
        if found.status != 0:
            raise AssertionError(found.message)
        return np.asarray(found.x[: self.n])

    def phases(self, slope: Array, constant: Array) -> Iterator[tuple[bool, ...]]:
        """Phase combinations a layer can have over the whole box."""
        ends = slope * self.low, slope * self.high
        least = constant + np.minimum(*ends).sum(axis=1)
        most = constant + np.maximum(*ends).sum(axis=1)
        both = np.where(least >= 0.0, 1, np.where(most <= 0.0, 0, 2)).tolist()
        return product(*((False, True) if b == 2 else (bool(b),) for b in both))

    def leaves(
        self, layer: int, slope: Array, constant: Array, rows: Array, sides: Array
    ) -> Iterator[tuple[float, Array]]:
        """LP optimum and point of every pattern that occurs, from ``layer`` on."""
        slope = self.weights[layer] @ slope
        constant = self.weights[layer] @ constant + self.biases[layer]
        if layer == len(self.weights) - 1:
            cost = self.objective @ slope
            u = self.lp(cost, rows, sides)
            if u is not None:
                yield float(cost @ u + self.objective @ constant), u
            return
        size = np.abs(slope).max(axis=1, initial=0.0)
        scale = np.where(size > 0.0, size, 1.0)[:, None]
        for phase in self.phases(slope, constant):
            on = np.array(phase)
            sign = np.where(on, -1.0, 1.0)[:, None]
            moves = size > 0.0
            more = np.vstack([rows, (sign * slope / scale)[moves]])
            side = np.concatenate([sides, (-sign * constant[:, None] / scale)[moves, 0]])
            last_hidden = layer == len(self.weights) - 2
            if not last_hidden and self.lp(np.zeros(self.n), more, side) is None:
                continue
            yield from self.leaves(layer + 1, slope * on[:, None], constant * on, more, side)

    def run(self) -> Minimum:
        start = self.leaves(0, np.diag(self.half), self.origin, np.zeros((0, self.n)), np.zeros(0))
        found = list(start)
        value, u = min(found, key=lambda leaf: leaf[0])
        point = self.origin + self.half * u
        attained = float(self.objective @ forward(self.weights, self.biases, point))
        return Minimum(value, point, attained, len(found))


def minimum(
    weights: Sequence[Array],
    biases: Sequence[Array],
    box: tuple[Array, Array],
    objective: Array,
    ball: tuple[Array, float] | None = None,
) -> Minimum:
    """Exact minimum over a box, or over a box and an l1 ball ``(centre, radius)`` around a point
    of the box."""
    return _Enumeration(weights, biases, box, objective, ball).run()
