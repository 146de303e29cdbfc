"""Small networks and independent answers for the search tests."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
from scipy.optimize import linprog

from mipnet.network import Affine, Network, ReLU


def random_network(seed: int, sizes: tuple[int, ...], scale: float = 1.0) -> Network:
    """Dense ReLU network with normal weights."""
    rng = np.random.default_rng(seed)
    layers: list[Affine | ReLU] = []
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        if k:
            layers.append(ReLU())
        weight = scale * rng.normal(size=(n_out, n_in)) / np.sqrt(n_in)
        layers.append(Affine(weight, 0.3 * rng.normal(size=n_out)))
    return Network.sequential(layers)


def largest_margin(
    network: Network,
    x: np.ndarray,
    radius: float,
    norm: str,
    label: int,
    target: int,
    lower: float = -np.inf,
    upper: float = np.inf,
) -> float:
    """Largest ``y[target] - y[label]`` over a ball, by one LP for every activation pattern.

    Written from the definition of the network alone: no bounds, no program, no search.
    """
    affines = [n.layer for n in network.nodes if isinstance(n.layer, Affine)]
    hidden = [a.weight.shape[0] for a in affines[:-1]]
    n = x.size
    low, high = np.maximum(lower, x - radius), np.minimum(upper, x + radius)
    best = -np.inf
    for pattern in product((0.0, 1.0), repeat=sum(hidden)):
        slope, offset = np.eye(n), np.zeros(n)
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
        slope, offset = last.weight @ slope, last.weight @ offset + last.bias
        gain, constant = slope[target] - slope[label], offset[target] - offset[label]
        a, b = np.concatenate(rows), np.concatenate(sides)
        cost, bounds = -gain, list(zip(low, high, strict=True))
        if norm == "l1":
            # x = centre + p - q with p, q >= 0 and sum(p + q) <= radius
            eye = np.eye(n)
            a = np.block([[a, np.zeros((len(a), 2 * n))]])
            a = np.vstack([a, np.concatenate([np.zeros(n), np.ones(2 * n)])])
            b = np.append(b, radius)
            link = np.block([[eye, -eye, eye]])
            cost = np.concatenate([cost, np.zeros(2 * n)])
            bounds += [(0.0, None)] * (2 * n)
            found = linprog(cost, a, b, link, x, bounds=bounds, method="highs")
        else:
            found = linprog(cost, a, b, bounds=bounds, method="highs")
        if found.status == 0:
            best = max(best, float(-found.fun) + float(constant))
    return best
