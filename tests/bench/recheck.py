"""Margins recomputed by scipy's own solver from a plain big-M model; nothing of the package."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

Array = np.ndarray


def least_margin(
    weights: list[Array],
    biases: list[Array],
    box: tuple[Array, Array],
    objective: Array,
    ball: tuple[Array, float] | None = None,
) -> float:
    """Proven lower bound of ``objective . outputs`` over a box, or a box and an l1 ball.

    Columns: inputs, deviations from the centre, then values and phases of every hidden layer.
    Bounds of the neurons come from interval arithmetic, and from the dual norm in the first layer.
    """
    lower, upper = box
    n = lower.size
    hidden = [len(b) for b in biases[:-1]]
    width = 2 * n + 2 * sum(hidden)
    low, high, whole = np.zeros(width), np.ones(width), np.zeros(width)
    low[:n], high[:n], high[n : 2 * n] = lower, upper, np.inf
    rows, floor = [], []

    def at_least(side: Array, *blocks: tuple[int, Array]) -> None:
        """Rows ``sum of blocks >= side``; a block is its first column and its matrix."""
        row = np.zeros((len(side), width))
        for first, matrix in blocks:
            row[:, first : first + matrix.shape[1]] += matrix
        rows.append(row)
        floor.append(side)

    centre, radius = ball if ball is not None else (0.5 * (lower + upper), np.inf)
    eye = np.eye(n)
    at_least(-centre, (n, eye), (0, -eye))
    at_least(centre, (n, eye), (0, eye))
    at_least(np.array([-radius]), (n, -np.ones((1, n))))
    source, start = 0, 2 * n
    least, most = lower, upper
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        up, down = np.maximum(weight, 0.0), np.minimum(weight, 0.0)
        least, most = up @ least + down @ most + bias, up @ most + down @ least + bias
        if source == 0 and ball is not None:
            middle, spread = weight @ centre + bias, radius * np.abs(weight).max(axis=1)
            least, most = np.maximum(least, middle - spread), np.minimum(most, middle + spread)
        size, one = len(bias), np.eye(len(bias))
        phase = start + size
        on, off = np.maximum(most, 0.0), np.minimum(least, 0.0)
        high[start:phase], whole[phase : phase + size] = on, 1.0
        at_least(bias, (start, one), (source, -weight))
        at_least(-bias + off, (start, -one), (source, weight), (phase, np.diag(off)))
        at_least(np.zeros(size), (start, -one), (phase, np.diag(on)))
        source, start = start, phase + size
        least, most = np.maximum(least, 0.0), on
    cost = np.zeros(width)
    cost[source : source + weights[-1].shape[1]] = objective @ weights[-1]
    limits = LinearConstraint(np.vstack(rows), np.concatenate(floor), np.inf)
    found = milp(cost, constraints=limits, bounds=Bounds(low, high), integrality=whole)
    if found.status != 0:
        raise AssertionError(found.message)
    return float(found.mip_dual_bound + objective @ biases[-1])
