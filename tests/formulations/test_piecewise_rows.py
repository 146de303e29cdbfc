"""Pieces, clipped forms, hinges and maxima as rows: exact as programs, tight as relaxations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from formulations import AffineForm, Program, formulation
from formulations.clip import clip_rows
from formulations.hinge import hinge_rows
from formulations.max_pool import max_rows
from formulations.piecewise import Pieces, piecewise_rows
from formulations.program import ProgramArrays

EXACT = ["big_m", "triangle"]


def optimum(arrays: ProgramArrays, *, integer: bool = True) -> float:
    """Least objective by scipy, as program or as its relaxation."""
    found = milp(
        arrays.cost,
        constraints=LinearConstraint(arrays.matrix, arrays.row_lower, arrays.row_upper)
        if arrays.n_rows
        else None,
        bounds=Bounds(arrays.lower, arrays.upper),
        integrality=arrays.integer.astype(int) if integer else None,
        options={"mip_rel_gap": 0.0},
    )
    assert found.status == 0, found.message
    return float(found.fun) + arrays.offset


def random_pieces(rng: np.random.Generator, n: int, band: float = 0.0) -> tuple[Pieces, list]:
    """Functions with one to five pieces each, and their breakpoints and values.

    With a band the values are those of :func:`wave`.
    """
    owner, left, right, low, high, graphs = [], [], [], [], [], []
    for i in range(n):
        count = int(rng.integers(1, 6))
        points = np.cumsum(rng.uniform(0.1, 2.0, size=count + 1)) - 3.0
        values = rng.normal(size=count + 1) if band == 0.0 else wave(points)
        graphs.append((points, values))
        owner += [i] * count
        left += points[:-1].tolist()
        right += points[1:].tolist()
        ends = np.stack([values[:-1], values[1:]], axis=1)
        low += (ends - band).tolist()
        high += (ends + band).tolist()
    arrays = (np.array(v) for v in (left, right, low, high))
    return Pieces(np.array(owner), *arrays), graphs


@pytest.mark.parametrize("seed", range(8))
def test_pieces_describe_the_graph_and_relax_to_its_hull(seed: int) -> None:
    """Least ``y + c a`` over the graph, over all breakpoints: the relaxation misses nothing."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    pieces, graphs = random_pieces(rng, n)
    program = Program()
    ends = np.array([(points[0], points[-1]) for points, _ in graphs])
    a = AffineForm.of_columns(program.add_columns(ends[:, 0], ends[:, 1]))
    y = piecewise_rows(program, a, pieces)
    counts = np.bincount(pieces.owner)
    assert program.n_integers == int((counts - 1).sum())
    slopes = rng.normal(size=n)
    cost = y + a.scale(slopes)
    arrays = program.freeze(cost.sum())
    wanted = sum(
        float((values + c * points).min())
        for (points, values), c in zip(graphs, slopes, strict=True)
    )
    assert optimum(arrays) == pytest.approx(wanted, abs=1e-6)
    assert optimum(arrays, integer=False) == pytest.approx(wanted, abs=1e-6)
    # At a point the value is that of the graph, from below and from above.
    x = rng.uniform(ends[:, 0], ends[:, 1])
    truth = np.array([np.interp(v, *graph) for v, graph in zip(x, graphs, strict=True)])
    full = program.complete(np.arange(n, dtype=np.int32), x)
    assert program.freeze().violation(full) <= 1e-9
    assert y.evaluate(full) == pytest.approx(truth, abs=1e-12)
    lower, upper = arrays.lower.copy(), arrays.upper.copy()
    lower[:n] = upper[:n] = x
    for sign in (1.0, -1.0):
        fixed = replace(
            program.freeze(y.affine(sign * np.ones((1, n)), np.zeros(1))), lower=lower, upper=upper
        )
        assert optimum(fixed) == pytest.approx(sign * truth.sum(), abs=1e-6)


def wave(values: np.ndarray) -> np.ndarray:
    """Some function of one variable."""
    return np.sin(values)


@pytest.mark.parametrize("seed", range(6))
def test_bands_hold_what_lies_in_them_and_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, band = 3, 0.25
    pieces, graphs = random_pieces(rng, n, band)
    program = Program()
    ends = np.array([(points[0], points[-1]) for points, _ in graphs])
    x = rng.uniform(ends[:, 0], ends[:, 1])
    a = AffineForm.of_columns(program.add_columns(x, x))
    y = piecewise_rows(program, a, pieces, value=wave)
    full = program.complete(np.arange(n, dtype=np.int32), x)
    truth = np.array([np.interp(v, *graph) for v, graph in zip(x, graphs, strict=True)])
    assert y.evaluate(full) == pytest.approx(wave(x))
    outside = np.maximum(np.abs(wave(x) - truth) - band, 0.0).max()
    assert program.freeze().violation(full) == pytest.approx(outside, abs=1e-9)
    for i in range(n):
        for sign in (1.0, -1.0):
            arrays = program.freeze(y.affine(sign * np.eye(n)[i : i + 1], np.zeros(1)))
            assert sign * optimum(arrays) == pytest.approx(truth[i] - sign * band, abs=1e-6)


@pytest.mark.parametrize("chosen", EXACT)
@pytest.mark.parametrize("seed", range(6))
def test_clipped_forms_relax_to_their_hull(seed: int, chosen: str) -> None:
    rng = np.random.default_rng(seed)
    n = 6
    lower = rng.uniform(-4.0, 3.0, size=n)
    upper = lower + rng.uniform(0.1, 6.0, size=n)
    program = Program()
    a = AffineForm.of_columns(program.add_columns(lower, upper))
    options = {"low": -1.0, "high": 2.0, "chosen": formulation(chosen)}
    y = clip_rows(program, a, lower, upper, **options)
    slopes, signs = rng.normal(size=n), rng.choice([-1.0, 1.0], size=n)
    arrays = program.freeze((y.scale(signs) + a.scale(slopes)).sum())
    points = np.clip(np.stack([lower, upper, -np.ones(n), 2.0 * np.ones(n)]), lower, upper)
    wanted = (signs * np.clip(points, -1.0, 2.0) + slopes * points).min(axis=0).sum()
    assert optimum(arrays, integer=False) == pytest.approx(wanted, abs=1e-6)
    if chosen == "big_m":
        assert optimum(arrays) == pytest.approx(wanted, abs=1e-6)
    else:
        assert arrays.n_binaries == 0


@pytest.mark.parametrize("seed", range(6))
def test_hinges_of_wide_forms_keep_the_rows_behind_them_sparse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = 8, 5
    program = Program()
    x = AffineForm.of_columns(program.add_columns(-np.ones(n), np.ones(n)))
    weight = rng.normal(size=(m, n))
    a, reach = x.affine(weight, np.zeros(m)), np.abs(weight).sum(axis=1)
    lower, upper = -reach, reach.copy()
    lower[0], upper[1] = 0.0, 0.0
    left, right = rng.normal(size=m), rng.normal(size=m)
    y = hinge_rows(program, a, lower, upper, left=left, right=right, chosen=formulation("big_m"))
    assert y.terms.max() <= 2
    assert program.n_integers == m - 2
    point = rng.uniform(-1.0, 1.0, size=n)
    full = program.complete(np.arange(n, dtype=np.int32), point)
    value = weight @ point
    wanted = np.where(value > 0.0, right, left) * value
    assert y.evaluate(full)[2:] == pytest.approx(wanted[2:])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize("seed", range(4))
def test_maxima_of_any_size(seed: int, scale: float) -> None:
    """Groups that share forms, of several sizes, written in their own units."""
    rng = np.random.default_rng(seed)
    n = 6
    lower = scale * rng.normal(size=n)
    upper = lower + scale * rng.uniform(0.0, 2.0, size=n)
    members = np.array([[0, 1, 2], [2, 3, -1], [4, -1, -1], [3, 4, 5]])
    program = Program()
    x = AffineForm.of_columns(program.add_columns(lower, upper))
    y = max_rows(program, x, members, lower, upper)
    for point in rng.uniform(lower, upper, size=(10, n)):
        full = program.complete(np.arange(n, dtype=np.int32), point)
        wanted = [point[[i for i in group if i >= 0]].max() for group in members]
        assert program.freeze().violation(full) <= 1e-9
        assert y.evaluate(full) == pytest.approx(wanted, rel=1e-12)
    for k, group in enumerate(members):
        inside = [i for i in group if i >= 0]
        for sign, ends in ((1.0, lower), (-1.0, upper)):
            arrays = program.freeze(y.affine(sign * np.eye(4)[k : k + 1] / scale, np.zeros(1)))
            reach = sign * ends[inside].max() / scale
            assert optimum(arrays) == pytest.approx(reach, abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_the_larger_of_two_relaxes_to_its_hull(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lower = rng.normal(size=2)
    upper = max(lower) + rng.uniform(0.1, 2.0, size=2)
    program = Program()
    x = AffineForm.of_columns(program.add_columns(lower, upper))
    y = max_rows(program, x, np.array([[0, 1]]), lower, upper)
    slopes = rng.uniform(0.0, 1.0, size=2)
    arrays = program.freeze((x.scale(slopes).sum() - y).sum())
    corners = np.stack(np.meshgrid(*zip(lower, upper, strict=True)), axis=-1).reshape(-1, 2)
    # A concave function has its least value in a corner.
    wanted = (corners @ slopes - corners.max(axis=1)).min()
    assert optimum(arrays, integer=False) == pytest.approx(wanted, abs=1e-6)


def test_an_unpassable_piece_is_not_filled() -> None:
    """A later piece only fills when the earlier one is full: no mixture of both."""
    program = Program()
    a = AffineForm.of_columns(program.add_columns([1.0], [1.0]))
    tent = np.array([[0.0, 1.0], [1.0, 0.0]])
    pieces = Pieces(np.zeros(2, int), np.array([0.0, 1.0]), np.array([1.0, 2.0]), tent, tent)
    y = piecewise_rows(program, a, pieces)
    for sign in (1.0, -1.0):
        assert optimum(program.freeze(y.scale(np.array([sign])))) == pytest.approx(sign)
    loose = Program()
    a = AffineForm.of_columns(loose.add_columns([1.0], [1.0]))
    y = piecewise_rows(loose, a, pieces, integer=False)
    assert optimum(loose.freeze(y)) == pytest.approx(0.0)
