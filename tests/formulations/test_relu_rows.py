"""ReLU blocks: phases, every registered formulation, and the registry itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from formulations import (
    AffineForm,
    BigM,
    Constructs,
    Formulation,
    Program,
    formulation,
    formulations,
    register_formulation,
    relu_rows,
)
from formulations.program import ProgramArrays
from tests.plain_rows import PlainRows

NAMES = formulations()
#: Expressions have no linear relaxation.
RELAXED = [name for name in NAMES if name != "reduced_space"]


def block(
    name: str, weight: np.ndarray, bias: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> tuple[Program, AffineForm, AffineForm]:
    """Inputs in a box, one ReLU layer written by the formulation; pre-activations, activations."""
    program = Program()
    x = AffineForm.of_columns(program.add_columns(lower, upper))
    a = x.affine(weight, bias)
    centre, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    middle, spread = weight @ centre + bias, np.abs(weight) @ half
    y = relu_rows(program, a, middle - spread, middle + spread, formulation(name))
    return program, a, y


def linear(arrays: ProgramArrays, cost: np.ndarray, *, integer: bool) -> float:
    """Optimum by scipy, with every construct written out, or of the LP relaxation without any."""
    if not integer:
        arrays = replace(arrays, constructs=Constructs())
    return PlainRows(arrays).solve(cost, integer=integer)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", NAMES)
def test_points_complete_to_feasible_points(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(5, 3)), rng.normal(size=5)
    lower, upper = -rng.uniform(0.1, 1, size=3), rng.uniform(0.1, 1, size=3)
    program, a, y = block(name, weight, bias, lower, upper)
    arrays = program.freeze()
    for x in rng.uniform(lower, upper, size=(20, 3)):
        full = program.complete(np.arange(3, dtype=np.int32), x)
        assert arrays.violation(full) <= 1e-12
        assert y.evaluate(full) == pytest.approx(np.maximum(a.evaluate(full), 0.0), abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", NAMES)
def test_exact_formulations_describe_the_graph(name: str, seed: int) -> None:
    """Largest and smallest ``c y`` with the inputs fixed are both ``c relu(a)``."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(3, 2)), 0.3 * rng.normal(size=3)
    program, _, y = block(name, weight, bias, -np.ones(2), np.ones(2))
    arrays = program.freeze()
    x, c = rng.uniform(-1, 1, size=2), rng.normal(size=(1, 3))
    truth = float((c @ np.maximum(weight @ x + bias, 0.0))[0])
    lower, upper = arrays.lower.copy(), arrays.upper.copy()
    lower[:2] = upper[:2] = x
    fixed = replace(arrays, lower=lower, upper=upper)
    form = y.affine(c, np.zeros(1))
    cost, offset = form.matrix(arrays.n_columns).toarray().ravel(), float(form.constant[0])
    least = linear(fixed, cost, integer=True) + offset
    most = -linear(fixed, -cost, integer=True) + offset
    if formulation(name).exact:
        assert [least, most] == pytest.approx([truth, truth], abs=1e-6)
    assert least - 1e-6 <= truth <= most + 1e-6


def triangle_optimum(
    weight: np.ndarray, bias: np.ndarray, lower: np.ndarray, upper: np.ndarray, c: np.ndarray
) -> float:
    """Least ``c y`` over the triangles ``y >= 0, y >= a, y <= U (a - L) / (U - L)``."""
    low = bias + np.minimum(weight * lower, weight * upper).sum(axis=1)
    high = bias + np.maximum(weight * lower, weight * upper).sum(axis=1)
    n, m = weight.shape[1], weight.shape[0]
    slope = high / (high - low)
    eye = np.eye(m)
    a = np.vstack([np.hstack([weight, -eye]), np.hstack([-slope[:, None] * weight, eye])])
    b = np.concatenate([-bias, slope * (bias - low)])
    box = [*zip(lower, upper, strict=True), *[(0.0, None)] * m]
    found = linprog(np.concatenate([np.zeros(n), c]), A_ub=a, b_ub=b, bounds=box)
    assert found.status == 0
    return float(found.fun)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", RELAXED)
def test_relaxation_against_the_triangle(name: str, seed: int) -> None:
    """The relaxation of big-M is the triangle; no formulation is looser than that, even where the
    solver knows its constructs and relaxes them away."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(4, 3)), 0.1 * rng.normal(size=4)
    lower, upper = -rng.uniform(0.5, 1, size=3), rng.uniform(0.5, 1, size=3)
    program, _, y = block(name, weight, bias, lower, upper)
    c = rng.normal(size=4)
    form = y.affine(c[None], np.zeros(1))
    arrays = program.freeze(form)
    relaxed = linear(arrays, arrays.cost, integer=False) + arrays.offset
    triangle = triangle_optimum(weight, bias, lower, upper, c)
    assert relaxed >= triangle - 1e-7
    if name == "big_m":
        assert relaxed == pytest.approx(triangle, abs=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_only_unstable_neurons_reach_the_formulation(name: str) -> None:
    program = Program()
    x = AffineForm.of_columns(program.add_columns(np.full(4, -1.0), np.ones(4)))
    lower = np.array([-1.0, 0.0, -3.0, -1.0])
    upper = np.array([0.0, 1.0, -2.0, 1.0])
    y = relu_rows(program, x, lower, upper, formulation(name))
    arrays = program.freeze()
    made = arrays.constructs
    conditions = len(made.sos1) + len(made.complementary) + made.named.size
    assert max(arrays.n_binaries, conditions) == (1 if formulation(name).exact else 0)
    v = program.complete(np.arange(4, dtype=np.int32), np.array([-0.5, 0.5, -0.5, 0.25]))
    assert y.evaluate(v).tolist() == [0.0, 0.5, 0.0, 0.25]


def test_stable_layers_ask_no_formulation() -> None:
    class Refuses(Formulation):
        def unstable_relu(self, program, form, lower, upper):
            raise AssertionError

    program = Program()
    x = AffineForm.of_columns(program.add_columns(np.zeros(2), np.ones(2)))
    wide = x.affine(np.array([[1.0, 1.0], [-1.0, -1.0]]), np.array([0.5, -0.5]))
    y = relu_rows(program, wide, np.array([0.5, -2.5]), np.array([2.5, -0.5]), Refuses())
    arrays = program.freeze()
    assert (arrays.n_columns, arrays.n_rows, arrays.n_binaries) == (3, 1, 0)
    v = program.complete(np.arange(2, dtype=np.int32), np.array([0.25, 0.5]))
    assert y.evaluate(v).tolist() == [1.25, 0.0]
    assert arrays.violation(v) == 0.0


def test_incomplete_formulation_fails_when_registered() -> None:
    with pytest.raises(TypeError, match=r"'half'.*unstable_relu"):

        @register_formulation("half")
        class Half(Formulation):
            pass

    assert "half" not in formulations()


def test_taken_name_fails_when_registered() -> None:
    with pytest.raises(TypeError, match="taken"):
        register_formulation("big_m")(BigM)


def test_unknown_formulation_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'nope'.*big_m"):
        formulation("nope")
