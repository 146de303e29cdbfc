"""Questions to the library, each answered exactly beside it and checked from outside.

A question is made from its seed alone. :func:`check` returns how it ended, or raises
``AssertionError`` with what is wrong. Nothing the library computed is used to judge its answer but
the points it returns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from mipnet.errors import BoundsError
from mipnet.search import (
    certified_radius,
    find_adversarial,
    maximize,
    minimal_distortion,
    minimize,
    verify,
)
from mipnet.search.vnnlib import parse_property
from tests.fuzz import exact, knobs, nets, properties, sets
from tests.fuzz.nets import Net
from tests.fuzz.properties import Rows
from tests.fuzz.sets import InputSet

Array = np.ndarray

#: Questions asked about one network, and how often each kind comes.
PER_NET = 4
KINDS = {
    "untargeted": 0.4,
    "targeted": 0.16,
    "top_k": 0.1,
    "minimize": 0.05,
    "maximize": 0.05,
    "verify": 0.16,
    "distortion": 0.04,
    "radius": 0.04,
}
BOUNDS = ("interval", "crown", "alpha", "lp")
#: Distance of a margin from zero, relative to the sizes in the network, at which questions of tame
#: networks may stay open.
TIE = 1e-5

_net = lru_cache(maxsize=4)(nets.make)


@dataclass(frozen=True)
class Outcome:
    """How a question ended: kind, family of the network, status, and what decided it."""

    kind: str
    family: str
    status: str
    methods: tuple[str, ...] = ()


def check(seed: int) -> Outcome:
    """Ask the question of a seed, and hold the answer against the truth."""
    net = _net(seed // PER_NET)
    rng = np.random.default_rng([seed, 2])
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if kind == "top_k" and net.n_outputs < 3:
        kind = "untargeted"
    asked: Callable[[Net, np.random.Generator], tuple[str, ...]] = globals()[f"_{kind}"]
    with knobs.turned(rng):
        status, *methods = asked(net, rng)
    return Outcome(kind, net.family, status, tuple(methods))


# --- the truth ----------------------------------------------------------------------------------


def least_row(values: list[Fraction]) -> Fraction:
    """Margin of a conjunction."""
    return min(values)


def reach(
    net: Net,
    where: InputSet,
    clauses: Sequence[Rows],
    pick: Callable[[list[Fraction]], Fraction] = least_row,
    radius: float | None = None,
) -> tuple[Fraction, Fraction]:
    """Largest margin of any clause over a set, from below and from above."""
    ends = []
    for polygons in where.polygons(radius):
        found = exact.cells(net.folded, net.biases, polygons)
        ends.append(max(exact.largest(found, rows, pick) for rows in clauses))
    return ends[0], ends[1]


def difference(n: int, high: int, low: int) -> list[float]:
    """Coefficients of ``y[high] - y[low]``."""
    row = [0.0] * n
    row[high], row[low] = 1.0, -1.0
    return row


def size_over(net: Net, where: InputSet) -> float:
    """Size of the numbers in the network over a set."""
    corner = np.maximum(np.abs(where.lower), np.abs(where.upper))
    values = corner
    for weight, bias in zip(net.weights, net.biases, strict=True):
        values = np.abs(weight) @ values + np.abs(bias)
    return float(values.max())


# --- what a point shows -------------------------------------------------------------------------


def confirm(net: Net, where: InputSet, point: Array, rows: Rows, k: int = 0) -> None:
    """A witness lies in the set exactly, and exceeds the rows there and in onnxruntime.

    Parameters
    ----------
    k : int
        How many rows have to be positive; all when 0.
    """
    assert where.holds(point), f"{point.tolist()} is outside the {where.kind} set"
    held = point.astype(net.dtype).astype(np.float64)
    for dtype, outputs in (
        ("float64", net.exact(point.tolist())),
        (net.dtype, [Fraction(v) for v in net.run(held).tolist()]),
    ):
        at = point if dtype == "float64" else held
        margins = sorted(
            sum((Fraction(c) * y for c, y in zip(row, outputs, strict=True)), Fraction(0))
            for row in rows
        )
        margin = margins[-k] if k else margins[0]
        noise = 2.0 * net.noise(at, dtype)
        assert margin > -noise, f"margin {float(margin):.3g} at a witness in {dtype}"


def judge(
    found: Any, truth: tuple[Fraction, Fraction], net: Net, where: InputSet
) -> tuple[str, ...]:
    """Hold a verdict against the truth; return its status and methods."""
    below, above = truth
    status: str = found.status
    if status in {"robust", "unsat"}:
        assert below < 0, f"{status}, but the margin reaches {float(below):.6g}"
    elif status in {"witness", "sat"}:
        assert above > -net.noise(np.maximum(np.abs(where.lower), np.abs(where.upper)), "float64")
    elif net.tame and not re.search("time.limit", found.reason):
        near = TIE * size_over(net, where)
        tie = below <= near and above >= -near
        assert tie, f"open at {float(below):.6g} to {float(above):.6g}: {found.reason}"
    return status, *found.methods


# --- classes ------------------------------------------------------------------------------------


def _asked(net: Net, rng: np.random.Generator) -> tuple[InputSet, int, dict[str, Any]]:
    where = sets.make(rng, str(rng.choice(sets.KINDS, p=sets.SHARES)), net.group)
    label = int(np.argmax(net.network(where.centre)))
    if rng.random() < 0.15:
        label = int(rng.integers(net.n_outputs))
    options = {
        "bounds": str(rng.choice(BOUNDS)),
        "restarts": int(rng.integers(1, 3)),
        "seed": int(rng.integers(100)),
    }
    if rng.random() < 0.08:
        options["time_limit"] = float(rng.choice([0.0, 0.003, 0.01]))
    return where, label, options


def _untargeted(net: Net, rng: np.random.Generator) -> tuple[str, ...]:
    where, label, options = _asked(net, rng)
    n = net.n_outputs
    clauses = [[difference(n, j, label)] for j in range(n) if j != label]
    verdict = find_adversarial(net.network, where.centre, label, **where.question(), **options)
    truth = reach(net, where, clauses)
    if verdict.point is not None:
        assert verdict.predicted != label
        confirm(net, where, verdict.point, [row for [row] in clauses], k=1)
    if verdict.status == "robust":
        slack = 1e-6 * size_over(net, where)
        assert verdict.bound >= float(truth[0]) - slack, f"bound {verdict.bound} below the truth"
    return judge(verdict, truth, net, where)


def _targeted(net: Net, rng: np.random.Generator) -> tuple[str, ...]:
    where, label, options = _asked(net, rng)
    n = net.n_outputs
    target = int(rng.choice([j for j in range(n) if j != label]))
    rows = [difference(n, target, j) for j in range(n) if j != target]
    verdict = find_adversarial(
        net.network, where.centre, label, target=target, **where.question(), **options
    )
    if verdict.point is not None:
        assert verdict.predicted == target
        confirm(net, where, verdict.point, rows)
    return judge(verdict, reach(net, where, [rows]), net, where)


def _top_k(net: Net, rng: np.random.Generator) -> tuple[str, ...]:
    where, _, options = _asked(net, rng)
    n = net.n_outputs
    k = int(rng.integers(2, n))
    label = int(np.argsort(-net.network(where.centre))[rng.integers(k)])
    rows = [difference(n, j, label) for j in range(n) if j != label]
    verdict = find_adversarial(
        net.network, where.centre, label, top_k=k, **where.question(), **options
    )
    if verdict.point is not None:
        confirm(net, where, verdict.point, rows, k)
    truth = reach(net, where, [rows], lambda values: sorted(values)[-k])
    return judge(verdict, truth, net, where)


# --- optima -------------------------------------------------------------------------------------


def _minimize(net: Net, rng: np.random.Generator, sign: int = -1) -> tuple[str, ...]:
    where, _, options = _asked(net, rng)
    objective = rng.normal(size=net.n_outputs)
    if rng.random() < 0.5:
        objective = np.eye(net.n_outputs)[rng.integers(net.n_outputs)]
    ask = maximize if sign > 0 else minimize
    try:
        best = ask(net.network, objective, where.region(), **options)
    except BoundsError:
        # The big-M of a neuron is above the limit.
        assert not net.tame
        return ("refused",)
    # All as a maximum.
    low, high = reach(net, where, [[(sign * objective).tolist()]])
    value, bound = sign * best.value, sign * best.bound
    assert where.holds(best.point), f"{best.point.tolist()} is outside the {where.kind} set"
    outputs = net.exact(best.point.tolist())
    attained = sum(Fraction(sign * c) * y for c, y in zip(objective.tolist(), outputs, strict=True))
    noise = net.n_outputs * (1.0 + np.abs(objective).max()) * net.noise(best.point, "float64")
    assert abs(float(attained - Fraction(value))) <= noise, "the value is not that of the point"
    # What "closed" may leave open: see Optimum.
    slack = 4e-6 * (min(1.0, size_over(net, where)) + abs(value)) + noise
    assert Fraction(value) <= high + Fraction(noise), "better than the optimum"
    if best.status in {"optimal", "time_limit", "interrupted"}:
        assert bound >= float(low) - slack, f"bound {bound} below the optimum {float(low)}"
    if best.status == "optimal":
        assert value >= float(low) - slack, f"value {value}, optimum {float(low)}"
    elif net.tame and "time_limit" not in options and where.region().exact_encoding:
        msg = f"{best.status}: {best.message}"
        raise AssertionError(msg)
    return (best.status,)


def _maximize(net: Net, rng: np.random.Generator) -> tuple[str, ...]:
    return _minimize(net, rng, 1)


# --- distances ----------------------------------------------------------------------------------


def _distance(net: Net, rng: np.random.Generator) -> tuple[InputSet, int, list[Rows]]:
    where = sets.make(rng, str(rng.choice(sets.BALLS)), net.group)
    label, n = int(np.argmax(net.network(where.centre))), net.n_outputs
    return where, label, [[difference(n, j, label)] for j in range(n) if j != label]


def _excluded(net: Net, where: InputSet, clauses: list[Rows], radius: float) -> None:
    """Nothing in a closed ball reaches a clause."""
    if radius >= 0.0:
        whole = float(np.abs(where.upper - where.lower).sum()) + 1.0
        below, _ = reach(net, where, clauses, radius=min(radius, whole))
        assert below < 0, f"a margin of {float(below):.3g} within the proven radius {radius!r}"


def _distortion(net: Net, rng: np.random.Generator) -> tuple[str, ...]:
    where, label, clauses = _distance(net, rng)
    found = minimal_distortion(
        net.network,
        where.centre,
        label,
        norm=where.norm,
        lower=where.lower,
        upper=where.upper,
        restarts=1,
        tolerance=1e-3,
    )
    _excluded(net, where, clauses, found.robust_radius)
    if found.point is not None:
        assert where.holds(found.point, found.upper)
        whole = InputSet("box", where.lower, where.upper, where.centre, 0.0, group=net.group)
        confirm(net, whole, found.point, [row for [row] in clauses], k=1)
        assert found.lower <= found.upper
    if found.status == "optimal":
        # Below the tolerance of the solver a distance is no different from zero.
        least = 1e-8 * max(1.0, float(np.abs(where.centre).max()))
        assert found.upper - found.lower <= max(1e-3 * found.upper, least)
    if found.status == "none":
        assert reach(net, where, clauses, radius=1e9)[0] < 0
    return found.status, *(c.method for c in found.classes)


def _radius(net: Net, rng: np.random.Generator) -> tuple[str, ...]:
    where, label, clauses = _distance(net, rng)
    method = "exact" if rng.random() < 0.3 else "bounds"
    found = certified_radius(
        net.network,
        where.centre,
        label,
        norm=where.norm,
        method=method,
        lower=where.lower,
        upper=where.upper,
        restarts=1,
    )
    _excluded(net, where, clauses, float(found))
    return found.status, *(c.method for c in found.classes)


# --- properties ---------------------------------------------------------------------------------


def _verify(net: Net, rng: np.random.Generator) -> tuple[str, ...]:
    boxes, clauses, text = properties.make(net, rng)
    given: Any = net.model if rng.random() < 0.5 else net.network
    result = verify(given, parse_property(text), restarts=int(rng.integers(1, 3)))
    wheres = [
        InputSet("box", np.array(low), np.array(high), np.array(low), 0.0, group=net.group)
        for low, high in boxes
    ]
    truths = [reach(net, where, clauses) for where in wheres]
    truth = max(a for a, _ in truths), max(b for _, b in truths)
    if result.status == "sat":
        entries = re.findall(r"\(([XY])_\d+ ([^\s()]+)\)", result.counterexample())
        x = [Fraction(text) for name, text in entries if name == "X"]
        assert any(
            all(low <= v <= high for low, v, high in zip(lo, x, up, strict=True))
            for lo, up in boxes
        ), "the counterexample is in no box"
        y = [Fraction(text) for name, text in entries if name == "Y"]
        assert max(min(_row(row, y) for row in clause) for clause in clauses) >= 0
        if given is net.model:
            assert [float(v) for v in y] == net.run(np.array([float(v) for v in x])).tolist()
    hardest = max(wheres, key=lambda where: size_over(net, where))
    return judge(result, truth, net, hardest)


def _row(row: Sequence[float | Fraction], y: list[Fraction]) -> Fraction:
    constant = Fraction(row[len(y)]) if len(row) > len(y) else Fraction(0)
    return sum((Fraction(c) * v for c, v in zip(row, y, strict=False)), constant)
