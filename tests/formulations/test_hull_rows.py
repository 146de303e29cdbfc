"""Partition and ideal rows: how tight they are, and that no rounding makes them wrong."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from formulations import AffineForm, Ideal, Partition, Program, formulation, relu_rows
from formulations.definition import Tied
from formulations.program import ProgramArrays
from formulations.scaling import units
from mipnet.solver import separate
from tests.core_cases import wild
from tests.plain_rows import PlainRows

NAMED = {
    "identity": lambda v: v,
    "positive_part": lambda v: max(v, Fraction(0)),
    "negative_part": lambda v: max(-v, Fraction(0)),
    "step": lambda v: Fraction(v > 0),
}


def layer(
    name: str, weight: np.ndarray, bias: np.ndarray, box: tuple[np.ndarray, np.ndarray]
) -> tuple[Program, AffineForm, AffineForm]:
    """Inputs in a box and a ReLU layer with interval bounds: inputs, activations."""
    program, (lower, upper) = Program(), box
    x = AffineForm.of_columns(program.add_columns(lower, upper))
    middle = weight @ (0.5 * (lower + upper)) + bias
    spread = np.abs(weight) @ (0.5 * (upper - lower))
    y = relu_rows(program, x.affine(weight, bias), middle - spread, middle + spread,
                  formulation(name))  # fmt: skip
    return program, x, y


def root(arrays: ProgramArrays) -> float:
    """Bound of the linear relaxation, with every violated row of the families added."""
    arrays = separate(arrays, rounds=500, stall=0.0).arrays
    return PlainRows(arrays).solve(arrays.cost, integer=False) + arrays.offset


def bound(name: str, weight: np.ndarray, bias: np.ndarray, box, cost: np.ndarray) -> float:
    """Least ``cost`` over inputs and activations of the relaxation."""
    program, x, y = layer(name, weight, bias, box)
    both = x.stack(y)
    return root(program.freeze(both.affine(cost[None], np.zeros(1))))


@pytest.mark.parametrize("seed", range(12))
def test_tighter_from_triangle_to_hull(seed: int) -> None:
    """Finer partitions are tighter, and the finest is the hull that ideal rows describe."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(5, 8)), 0.3 * rng.normal(size=5)
    box = -rng.uniform(0.2, 1, size=8), rng.uniform(0.2, 1, size=8)
    cost = np.concatenate([rng.normal(size=8), rng.normal(size=5) - 1.0])
    names = ("triangle", "partition(1)", "partition(2)", "partition(4)", "partition(0)", "ideal")
    bounds = [bound(name, weight, bias, box, cost) for name in names]
    assert bounds[0] == pytest.approx(bounds[1], abs=1e-7)
    assert np.diff(bounds).min() >= -1e-6
    assert bounds[-2] == pytest.approx(bounds[-1], abs=1e-5)
    assert bounds[-1] > bounds[0] + 1e-3
    for other in ("partition(3)", "partition(5, range)"):
        assert bounds[0] - 1e-7 <= bound(other, weight, bias, box, cost) <= bounds[-1] + 1e-6


@pytest.mark.parametrize("name", ["partition(0)", "ideal"])
@pytest.mark.parametrize("seed", range(10))
def test_one_neuron_relaxes_to_its_hull(seed: int, name: str) -> None:
    """A linear function has its least value over the hull on the graph: two small programs."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(1, 5)), 0.2 * rng.normal(size=1)
    box = -rng.uniform(0.2, 1, size=5), rng.uniform(0.2, 1, size=5)
    cost = rng.normal(size=6) - np.eye(6)[5]
    sides = [
        linprog(cost[:5], A_ub=weight, b_ub=-bias, bounds=np.column_stack(box)),
        linprog(
            cost[:5] + cost[5] * weight[0], A_ub=-weight, b_ub=bias, bounds=np.column_stack(box)
        ),
    ]
    truth = min(sides[0].fun, sides[1].fun + cost[5] * bias[0])
    assert bound(name, weight, bias, box, cost) == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["partition", "partition(0)", "ideal"])
def test_better_bounds_than_those_of_the_parts_count(name: str, seed: int) -> None:
    """Bounds of a neuron that its columns do not show keep the relaxation within the triangle."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(3, 4)), np.zeros(3)
    values = []
    for how in ("triangle", name):
        program = Program()
        x = AffineForm.of_columns(program.add_columns(-np.ones(4), np.ones(4)))
        small = 0.3 * np.abs(weight).sum(axis=1)
        y = formulation(how).unstable_relu(program, x.affine(weight, bias), -small, small)
        values.append(root(program.freeze(-y.sum())))
    assert values[1] >= values[0] - 1e-7


def powerset(n: int):
    return chain.from_iterable(combinations(range(n), k) for k in range(n + 1))


@pytest.mark.parametrize("seed", range(20))
def test_separation_finds_the_most_violated_of_all_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    w, b = rng.normal(size=4), float(rng.normal())
    low, high = -rng.uniform(0.1, 1, size=4), rng.uniform(0.1, 1, size=4)
    program = Program()
    x = AffineForm.of_columns(program.add_columns(low, high))
    spread = np.abs(w).sum() + abs(b)
    Ideal().unstable_relu(program, x.affine(w[None], np.array([b])), -np.ones(1) * spread,
                          np.ones(1) * spread)  # fmt: skip
    point, z = rng.uniform(low, high), rng.uniform()
    near, far = np.where(w >= 0, low, high), np.where(w >= 0, high, low)
    limits = [
        sum(w[i] * (point[i] - near[i] * (1 - z)) for i in chosen)
        + (b + sum(w[i] * far[i] for i in range(4) if i not in chosen)) * z
        for chosen in powerset(4)
    ]
    arrays = program.freeze()
    unit = arrays.upper[4] / spread
    for y in (min(limits) + 0.05, min(limits) - 0.05):
        values = np.array([*point, y * unit, 0.0, z])
        form, side = arrays.separators[0].separate(values)
        if y < min(limits):
            assert form.size == 0
        else:
            excess = (form.evaluate(values) - side) / unit
            assert excess == pytest.approx([0.05], abs=1e-9)


def exactly(form: AffineForm, values: list[Fraction]) -> list[Fraction]:
    """Values of forms in rational arithmetic."""
    matrix = form.coefficients
    return [
        Fraction(float(form.constant[k]))
        + sum(
            Fraction(float(matrix.data[e])) * values[int(matrix.indices[e])]
            for e in range(matrix.indptr[k], matrix.indptr[k + 1])
        )
        for k in range(form.size)
    ]


@given(st.integers(0, 10**6))
@settings(max_examples=60)
def test_separated_rows_hold_in_rational_arithmetic(seed: int) -> None:
    """Every point of the graph satisfies them exactly, whatever the size of the weights."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    w, b = wild(rng, n, spread=(-8.0, 4.0)), float(wild(rng, 1, spread=(-6.0, 4.0))[0])
    low, high = -np.abs(wild(rng, n, spread=(-3.0, 3.0))), np.abs(wild(rng, n, spread=(-3.0, 3.0)))
    reach = float(np.maximum(np.abs(w * low), np.abs(w * high)).sum() + abs(b)) * (1 + 1e-12)
    if reach == 0.0:
        return
    program = Program()
    x = AffineForm.of_columns(program.add_columns(low, high))
    form = x.affine(w[None], np.array([b]))
    Ideal().unstable_relu(program, form, np.array([-reach]), np.array([reach]))
    if not program.freeze().separators:
        assert form.terms[0] < 2
        return
    (family,) = program.freeze().separators
    own = 1.0 / units(np.array([-reach]), np.array([reach]))[0]
    for _ in range(4):
        inside = rng.uniform(low, high)
        z = rng.uniform()
        far = np.concatenate([inside, [2.0 * reach * own], [0.0], [z]])
        rows, side = family.separate(far)
        assert rows.size == 1
        for point in rng.choice(np.stack([low, high, inside]), size=(8, n), axis=0)[:, 0]:
            exact = [Fraction(float(v)) for v in point]
            a = sum((Fraction(float(c)) * v for c, v in zip(w, exact, strict=True)), Fraction(b))
            for on in {a >= 0, a > 0}:
                full = [*exact, max(a, Fraction(0)) * Fraction(own), Fraction(0), Fraction(on)]
                assert exactly(rows, full)[0] <= Fraction(float(side[0]))


@given(st.integers(0, 10**6))
@settings(max_examples=40)
def test_partition_rows_hold_in_rational_arithmetic(seed: int) -> None:
    """Rows with an infinite side are the ones that bounds of the parts entered."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    w, b = rng.normal(size=n), float(rng.normal())
    low, high = -np.abs(wild(rng, n, spread=(-3.0, 3.0))), np.abs(wild(rng, n, spread=(-3.0, 3.0)))
    reach = float(np.maximum(np.abs(w * low), np.abs(w * high)).sum() + abs(b)) + 1e-9
    program = Program()
    x = AffineForm.of_columns(program.add_columns(low, high))
    Partition(int(rng.integers(0, 4))).unstable_relu(
        program, x.affine(w[None], np.array([b])), np.array([-reach]), np.array([reach])
    )
    arrays = program.freeze()
    matrix = AffineForm(arrays.matrix, np.zeros(arrays.n_rows))
    one_sided = np.isinf(arrays.row_lower) | np.isinf(arrays.row_upper)
    for corner in (low, high, np.where(w > 0, high, low), np.where(w > 0, low, high)):
        full = [Fraction(float(v)) for v in corner] + [Fraction(0)] * (arrays.n_columns - n)
        for definition in program.definitions:
            a = exactly(definition.form, full)
            rule = definition.rule
            if callable(rule) and not isinstance(rule, Tied):
                on = a[0] > 0
                found = [v if on == rule.active else Fraction(0) for v in a[1:]]
            else:
                tied = isinstance(rule, Tied)
                values = [-v for v in a] if tied else a
                found = [NAMED[r](v) for r in (rule.rules if tied else [rule]) for v in values]
            for column, value in zip(definition.columns.tolist(), found, strict=True):
                full[column] = value
        for value, lo, up, checked in zip(
            exactly(matrix, full), arrays.row_lower, arrays.row_upper, one_sided, strict=True
        ):
            if checked:
                assert np.isinf(lo) or value >= Fraction(float(lo))
                assert np.isinf(up) or value <= Fraction(float(up))


@pytest.mark.parametrize("name", ["partition", "ideal"])
def test_columns_without_bounds_are_refused(name: str) -> None:
    program = Program()
    x = AffineForm.of_columns(program.add_columns([-1.0, -np.inf], [1.0, 1.0]))
    form = x.affine(np.ones((1, 2)), np.zeros(1))
    with pytest.raises(ValueError, match=r"no (usable|finite) bounds"):
        formulation(name).unstable_relu(program, form, -np.ones(1), np.ones(1))


@pytest.mark.parametrize(
    "name", ["big_m", "triangle", "partition", "ideal", "sos1", "indicator", "complementarity",
             "reduced_space"]
)  # fmt: skip
@pytest.mark.parametrize("lower", [-np.inf, np.nan])
def test_neurons_without_bounds_are_refused(name: str, lower: float) -> None:
    program = Program()
    x = AffineForm.of_columns(program.add_columns([-1.0], [1.0]))
    with pytest.raises(ValueError, match="pre-activation 0 has no usable bounds"):
        formulation(name).unstable_relu(program, x, np.array([lower]), np.ones(1))


@pytest.mark.parametrize("options", ["(-1)", "(2, weight)", "(1, 2, 3)", "(2.5)", "(x)"])
def test_options_of_partition_are_checked(options: str) -> None:
    with pytest.raises(ValueError, match="partition"):
        formulation(f"partition{options}")


def test_labels_name_formulations() -> None:
    for name in ("big_m", "partition(3)", "partition(3, range)", "partition(0)", "ideal"):
        assert formulation(name).label == name
    assert formulation("partition").label == "partition(2)"


def test_parts_are_cut_by_weight() -> None:
    """Equal size: as many columns each. Equal range: as wide each, outliers apart."""
    weight = np.array([[9.0, 0.1, 0.2, 0.3, 5.0, 5.1, 5.2, -8.0]])
    program = Program()
    x = AffineForm.of_columns(program.add_columns(-np.ones(8), np.ones(8)))
    form = x.affine(weight, np.zeros(1))
    for name, groups in (
        ("partition(2)", {(7, 1, 2, 3), (4, 5, 6, 0)}),
        ("partition(4)", {(7, 1), (2, 3), (4, 5), (6, 0)}),
        ("partition(4, range)", {(7,), (1, 2, 3), (4, 5, 6), (0,)}),
    ):
        grown = program.copy()
        formulation(name).unstable_relu(grown, form, -40.0 * np.ones(1), 40.0 * np.ones(1))
        rows = grown.freeze().matrix.toarray()[:, :8]
        found = {tuple(np.flatnonzero(row)) for row in rows if row.any()}
        assert found == {tuple(sorted(g)) for g in groups}


def test_separators_survive_copies_and_are_renamed() -> None:
    rng = np.random.default_rng(0)
    program, _, y = layer("ideal", rng.normal(size=(3, 4)), np.zeros(3), (-np.ones(4), np.ones(4)))
    arrays = program.copy().freeze(-y.sum())
    order = np.random.default_rng(1).permutation(arrays.n_columns).astype(np.int32)
    back = np.argsort(order)
    moved = replace(
        arrays,
        lower=arrays.lower[back],
        upper=arrays.upper[back],
        cost=arrays.cost[back],
        integer=arrays.integer[back],
        matrix=arrays.matrix[:, back],
        separators=tuple(s.renamed(order) for s in arrays.separators),
    )
    assert root(moved) == pytest.approx(root(arrays), abs=1e-7)
    assert root(arrays) > root(replace(arrays, separators=())) + 1e-3
