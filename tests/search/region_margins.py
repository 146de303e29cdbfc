"""Largest margins over any region by enumeration of activation patterns.

Written from the definition of the network alone: no bounds, no program, no search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from scipy.optimize import linprog

from mipnet.network import Affine, Network

Array = np.ndarray


@dataclass
class Piece:
    """Outputs ``slope @ x + offset`` where ``rows @ x <= sides``."""

    slope: Array
    offset: Array
    rows: Array
    sides: Array


def pieces(network: Network) -> Iterator[Piece]:
    """The linear pieces of a dense ReLU network, one for every activation pattern."""
    affines = [n.layer for n in network.nodes if isinstance(n.layer, Affine)]
    hidden = [a.weight.shape[0] for a in affines[:-1]]
    for pattern in product((0.0, 1.0), repeat=sum(hidden)):
        slope, offset = np.eye(network.n_inputs), np.zeros(network.n_inputs)
        rows, sides, used = [], [], 0
        for affine, width in zip(affines[:-1], hidden, strict=True):
            slope, offset = affine.weight @ slope, affine.weight @ offset + affine.bias
            on = np.array(pattern[used : used + width])
            used += width
            sign = 1.0 - 2.0 * on
            rows.append(sign[:, None] * slope)
            sides.append(-sign * offset)
            slope, offset = on[:, None] * slope, on * offset
        last = affines[-1]
        yield Piece(
            last.weight @ slope,
            last.weight @ offset + last.bias,
            np.concatenate(rows),
            np.concatenate(sides),
        )


def _lp(gain: Array, rows: Array, sides: Array, low: Array, high: Array) -> Array | None:
    bounds = list(zip(low, high, strict=True))
    found = linprog(-gain, rows, sides, bounds=bounds, method="highs")
    assert found.status in {0, 2}
    return found.x if found.status == 0 else None


def over_polyhedron(
    network: Network, weights: Array, box: tuple[Array, Array], rows: Array, sides: Array
) -> float:
    """Largest ``weights . y`` over a box with ``rows @ x <= sides``."""
    best = -np.inf
    for piece in pieces(network):
        gain = weights @ piece.slope
        stacked = np.vstack([piece.rows, rows]), np.concatenate([piece.sides, sides])
        x = _lp(gain, *stacked, *box)
        if x is not None:
            best = max(best, float(gain @ x + weights @ piece.offset))
    return best


def over_l0(
    network: Network, weights: Array, box: tuple[Array, Array], centre: Array, radius: int
) -> float:
    """Largest ``weights . y`` over the points of a box that differ in few inputs."""
    best = -np.inf
    for support in combinations(range(centre.size), min(radius, centre.size)):
        chosen = np.isin(np.arange(centre.size), support)
        low, high = (np.where(chosen, end, centre) for end in box)
        none = np.zeros((0, centre.size))
        best = max(best, over_polyhedron(network, weights, (low, high), none, np.zeros(0)))
    return best


def over_l2(
    network: Network, weights: Array, box: tuple[Array, Array], centre: Array, radius: float
) -> tuple[float, float]:
    """Largest ``weights . y`` over box and ball, from below and from above.

    Every piece is maximised over a polyhedron around the ball, cut where its optimum lies outside.
    """
    below, above = -np.inf, -np.inf
    low, high = np.maximum(box[0], centre - radius), np.minimum(box[1], centre + radius)
    for piece in pieces(network):
        gain, constant = weights @ piece.slope, float(weights @ piece.offset)
        rows, sides = piece.rows, piece.sides
        for _ in range(60):
            x = _lp(gain, rows, sides, low, high)
            if x is None or gain @ x + constant <= below:
                break
            step = x - centre
            length = float(np.linalg.norm(step))
            inside = centre + step * min(1.0, radius / max(length, 1e-300))
            below = max(below, float(weights @ network(inside)))
            if length <= radius * (1.0 + 1e-7):
                break
            rows = np.vstack([rows, step / length])
            sides = np.append(sides, radius + step @ centre / length)
        if x is not None:
            above = max(above, float(gain @ x + constant))
    return below, above
