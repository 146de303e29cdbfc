"""Maxima, clipped forms and hinges by every formulation: exact, and complete to feasible points."""

from __future__ import annotations

import numpy as np
import pytest

from formulations import AffineForm, Mixed, Program, formulation, formulations
from formulations.clip import clip_rows
from formulations.hinge import hinge_rows
from formulations.max_pool import max_rows
from tests.plain_rows import PlainRows

EXACT = [
    *(name for name in formulations() if formulation(name).exact),
    "partition(0)",
    "partition(3, range)",
]


def clipped(program: Program, form: AffineForm, low, high, chosen) -> AffineForm:
    return clip_rows(program, form, low, high, low=-0.4, high=0.7, chosen=chosen)


def hinged(program: Program, form: AffineForm, low, high, chosen) -> AffineForm:
    left, right = np.array([0.1, -1.0, 0.0, 2.0, 1.0]), np.array([1.0, 1.0, -0.5, 0.5, 1.0])
    return hinge_rows(program, form, low, high, left=left, right=right, chosen=chosen)


GROUPS = np.array([[0, 1, 2], [3, 4, -1], [2, 3, 4], [1, -1, -1]])


def largest(program: Program, form: AffineForm, low, high, chosen) -> AffineForm:
    return max_rows(program, form, GROUPS, low, high, chosen=chosen)


def truth(kind: object, a: np.ndarray) -> np.ndarray:
    if kind is clipped:
        return np.clip(a, -0.4, 0.7)
    if kind is hinged:
        left, right = np.array([0.1, -1.0, 0.0, 2.0, 1.0]), np.array([1.0, 1.0, -0.5, 0.5, 1.0])
        return np.where(a > 0, right * a, left * a)
    return np.array([a[g[g >= 0]].max() for g in GROUPS])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [clipped, hinged, largest])
@pytest.mark.parametrize("name", EXACT)
def test_exact_at_points_and_feasible(name: str, kind, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(5, 3)), 0.3 * rng.normal(size=5)
    # Bounds of every sort: some forms pass no kink, some one, some both.
    half = rng.uniform(0.05, 1.0) * np.ones(3)
    spread = np.abs(weight) @ half
    program = Program()
    columns = program.add_columns(-half, half)
    form = AffineForm.of_columns(columns).affine(weight, bias)
    y = kind(program, form, bias - spread, bias + spread, formulation(name))
    arrays = program.freeze()
    for x in rng.uniform(-half, half, size=(10, 3)):
        full = program.complete(columns, x)
        assert arrays.violation(full) <= 1e-12
        assert y.evaluate(full) == pytest.approx(truth(kind, weight @ x + bias), abs=1e-12)
    x, c = rng.uniform(-half, half), rng.normal(size=y.size)
    plain = PlainRows(arrays)
    plain.lower[:3] = plain.upper[:3] = x.tolist()
    value = y.affine(c[None], np.zeros(1))
    cost, offset = value.matrix(arrays.n_columns).toarray().ravel(), float(value.constant[0])
    wanted = float(c @ truth(kind, weight @ x + bias))
    assert plain.solve(cost) + offset == pytest.approx(wanted, abs=1e-6)
    assert -plain.solve(-cost) + offset == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("kind", [clipped, hinged])
def test_a_formulation_for_each_neuron(kind) -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(5, 3)), 0.1 * rng.normal(size=5)
    names = ["big_m", "sos1", "partition(0)", "indicator", "ideal"]
    program = Program()
    columns = program.add_columns(-np.ones(3), np.ones(3))
    spread = np.abs(weight).sum(axis=1)
    mixed = Mixed([formulation(name) for name in names])
    form = AffineForm.of_columns(columns).affine(weight, bias)
    y = kind(program, form, bias - spread, bias + spread, mixed)
    assert mixed.needs == "SOS1 sets, indicator constraints"
    arrays = program.freeze()
    for x in rng.uniform(-1, 1, size=(10, 3)):
        full = program.complete(columns, x)
        assert arrays.violation(full) <= 1e-12
        assert y.evaluate(full) == pytest.approx(truth(kind, weight @ x + bias), abs=1e-12)


def test_violation_sees_every_construct() -> None:
    """A point that breaks nothing but a construct is not feasible."""
    for name in ("sos1", "indicator", "complementarity", "reduced_space"):
        program = Program()
        columns = program.add_columns([-1.0], [1.0])
        x = AffineForm.of_columns(columns)
        y = formulation(name).unstable_relu(program, x, -np.ones(1), np.ones(1))
        arrays, good = program.freeze(), program.complete(columns, np.array([-0.5]))
        assert arrays.violation(good) == 0.0
        # Both parts grow: y - s = x still holds, and the bounds do.
        wrong = good.copy()
        wrong[y.coefficients.indices] += 0.25
        if name != "reduced_space":
            wrong[2] += 0.25
        assert arrays.violation(wrong) == pytest.approx(0.25)
        assert arrays.constructs.summary()
