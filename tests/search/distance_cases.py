"""Exact minimal distortions of tiny networks by enumeration of activation patterns.

Written from the definition of the network alone: no bounds, no program, no search. Once the phase
of every hidden neuron is fixed, outputs are affine and phases are linear constraints; the nearest
point of such a polyhedron is a linear program (linf, l1), a least distance problem (l2) or a
series of feasibility problems (l0).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, product

import numpy as np
from scipy.optimize import linprog, nnls

from mipnet.network import Affine, Network
from mipnet.search.distortion_result import Distortion
from tests.search.search_cases import random_network

NORMS = ["linf", "l1", "l2", "l0"]
Array = np.ndarray


def polyhedra(network: Network) -> Iterator[tuple[Array, Array, Array, Array]]:
    """``(a, b, slope, offset)``: outputs are ``slope x + offset`` where ``a x <= b``."""
    affines = [n.layer for n in network.nodes if isinstance(n.layer, Affine)]
    hidden = [a.weight.shape[0] for a in affines[:-1]]
    n = network.n_inputs
    for pattern in product((0.0, 1.0), repeat=sum(hidden)):
        slope, offset = np.eye(n), np.zeros(n)
        rows, sides, used = [np.zeros((0, n))], [np.zeros(0)], 0
        for affine, width in zip(affines[:-1], hidden, strict=True):
            slope, offset = affine.weight @ slope, affine.weight @ offset + affine.bias
            on = np.array(pattern[used : used + width])
            used += width
            sign = 1.0 - 2.0 * on
            rows.append(sign[:, None] * slope)
            sides.append(-sign * offset)
            slope, offset = on[:, None] * slope, on * offset
        last = affines[-1]
        yield (
            np.concatenate(rows),
            np.concatenate(sides),
            last.weight @ slope,
            last.weight @ offset + last.bias,
        )


def least_distance(
    network: Network,
    x: Array,
    norm: str,
    label: int,
    target: int | None = None,
    lower: float = -np.inf,
    upper: float = np.inf,
) -> float:
    """Distance of the nearest point of the closure of the wrong class; inf without one."""
    m = network.n_outputs
    wanted = [target] if target is not None else [k for k in range(m) if k != label]
    best = np.inf
    for a, b, slope, offset in polyhedra(network):
        for k in wanted:
            rivals = [label] if target is None else [j for j in range(m) if j != k]
            # y[k] >= y[j] for every rival, about the centre: rows @ d <= sides.
            rows = np.concatenate([a, slope[rivals] - slope[k]])
            sides = np.concatenate([b, offset[k] - offset[rivals]]) - rows @ x
            best = min(best, _nearest(rows, sides, norm, lower - x, upper - x, best))
    return best


def _nearest(rows: Array, sides: Array, norm: str, low: Array, high: Array, best: float) -> float:
    n = rows.shape[1]
    box = list(zip(low, high, strict=True))
    if norm == "l0":
        for count in range(n + 1):
            if count >= best:
                return np.inf
            for chosen in combinations(range(n), count):
                some = [box[i] if i in chosen else (0.0, 0.0) for i in range(n)]
                if linprog(np.zeros(n), rows, sides, bounds=some, method="highs").status == 0:
                    return float(count)
        return np.inf
    if norm == "l2":
        finite = np.isfinite(np.concatenate([low, high]))
        g = -np.concatenate([rows, np.concatenate([-np.eye(n), np.eye(n)])[finite]])
        h = -np.concatenate([sides, np.concatenate([-low, high])[finite]])
        return _least_norm(g, h)
    extra = 1 if norm == "linf" else n
    spread = np.ones((n, 1)) if norm == "linf" else np.eye(n)
    a = np.block(
        [[rows, np.zeros((len(rows), extra))], [np.eye(n), -spread], [-np.eye(n), -spread]]
    )
    b = np.concatenate([sides, np.zeros(2 * n)])
    cost = np.concatenate([np.zeros(n), np.ones(extra)])
    found = linprog(cost, a, b, bounds=[*box, *[(0.0, None)] * extra], method="highs")
    return float(found.fun) if found.status == 0 else np.inf


def _least_norm(g: Array, h: Array) -> float:
    """Least norm of ``z`` with ``g z >= h`` (Lawson and Hanson 1974, algorithm LDP)."""
    e = np.vstack([g.T, h])
    f = np.append(np.zeros(g.shape[1]), 1.0)
    u, residual = nnls(e, f)
    if residual < 1e-9:
        return np.inf
    r = e @ u - f
    return float(np.linalg.norm(-r[:-1] / r[-1]))


def exact(point: np.ndarray, centre: np.ndarray, norm: str) -> Fraction:
    """Distance; squared for l2."""
    steps = [
        abs(Fraction(float(a)) - Fraction(float(b))) for a, b in zip(point, centre, strict=True)
    ]
    total = {
        "linf": max(steps),
        "l1": sum(steps, Fraction(0)),
        "l2": sum((s * s for s in steps), Fraction(0)),
        "l0": Fraction(sum(s != 0 for s in steps)),
    }
    return total[norm]


def check_point(found: Distortion, net: Network, x: np.ndarray, low: float, high: float) -> None:
    """The witness is one, and ``upper`` is its distance rounded up."""
    point = found.point
    assert point is not None
    assert point.min() >= low
    assert point.max() <= high
    for outputs in (net(point), net.replay(point)):
        ranked = np.delete(outputs, found.label)
        assert ranked.max() > outputs[found.label]
        if found.target is not None:
            others = np.delete(outputs, found.target)
            assert outputs[found.target] > others.max()
    assert found.predicted == int(np.argmax(net(point)))
    power = 2 if found.norm == "l2" else 1
    length = exact(point, x, found.norm)
    assert Fraction(found.upper) ** power >= length
    if found.upper:
        assert Fraction(math.nextafter(math.nextafter(found.upper, 0.0), 0.0)) ** power < length


def case(seed: int) -> tuple[Network, np.ndarray]:
    sizes = [(3, 3, 3, 3), (4, 5, 3), (2, 6, 2)][seed % 3]
    net = random_network(seed, sizes, scale=1.5)
    return net, np.random.default_rng(100 + seed).uniform(-1.0, 1.0, net.n_inputs)
