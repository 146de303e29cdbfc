"""Integer inputs with fractional bounds: a solver's presolve is not trusted with them."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import mipnet


def random_model(seed: int) -> tuple[pyo.ConcreteModel, float]:
    """Small network over an integer and other inputs with two random rows, and its sense."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 4))
    sizes = [n] + [int(rng.integers(2, 4)) for _ in range(int(rng.integers(1, 3)))] + [2]
    shapes = list(zip(sizes[1:], sizes, strict=False))
    weights = [rng.normal(size=s) * (rng.random(s) < 0.8) for s in shapes]
    biases = [rng.normal(size=s[0]) for s in shapes]
    lower, upper = -rng.uniform(0.5, 3, n), rng.uniform(0.5, 3, n)
    rng.random(2)
    rows, sides = rng.normal(size=(2, n)), rng.uniform(0, 1, 2)
    sense = -1.0 if rng.random() < 0.5 else 1.0
    outputs, inputs = rng.normal(size=2), rng.normal(size=n)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(n))
    for i, variable in m.x.items():
        variable.setlb(lower[i])
        variable.setub(upper[i])
    m.x[0].domain = pyo.Integers
    m.rows = pyo.ConstraintList()
    for row, side in zip(rows, sides, strict=True):
        m.rows.add(sum(row[i] * m.x[i] for i in range(n)) <= side)
    m.nn = mipnet.NetworkBlock(mipnet.load((weights, biases)), m.x)
    goal = sum(outputs[k] * m.nn.outputs[k] for k in range(2))
    goal += sum(inputs[i] * m.x[i] for i in range(n))
    m.goal = pyo.Objective(expr=goal, sense=pyo.maximize if sense < 0 else pyo.minimize)
    return m, sense


# Of the first, HiGHS 1.15.1 proves a wrong optimum when it sees its bounds.
@pytest.mark.parametrize("seed", [47, *range(14)])
def test_the_best_integer_is_found_between_fractional_bounds(seed: int) -> None:
    m, sense = random_model(seed)
    found = mipnet.solve(m)
    values = []
    first = m.x[0]
    for value in range(int(np.ceil(first.lb)), int(np.floor(first.ub)) + 1):
        first.fix(value)
        each = mipnet.solve(m)
        if each.status.value == "optimal":
            values.append(sense * each.objective)
    assert values, "no integer is feasible"
    assert sense * found.objective == pytest.approx(min(values), rel=1e-6, abs=1e-6)
    first.unfix()


def test_no_integer_between_the_bounds_is_infeasible() -> None:
    m, _ = random_model(3)
    m.x[0].setlb(0.2)
    m.x[0].setub(0.8)
    assert mipnet.solve(m).status.value == "infeasible"
