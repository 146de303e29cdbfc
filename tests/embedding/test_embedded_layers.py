"""Every kind of layer in a Pyomo model, under every solver interface at hand."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.contrib.solver.common.factory import SolverFactory as NewFactory

from mipnet.embedding import NetworkBlock, solve
from tests.network.layers.tame_nets import LAYERS, around, grid

LOWER, UPPER = np.array([-1.0, -0.7]), np.array([0.8, 1.0])
WEIGHTS = np.array([1.0, -0.7])
#: Name and factory; those that are not installed are passed over.
SOLVERS = {
    "appsi_highs": pyo.SolverFactory,
    "highs": NewFactory,
    "scip_direct": NewFactory,
    "gurobi_direct": NewFactory,
}

pytestmark = pytest.mark.filterwarnings("default::mipnet.errors.MipnetWarning")


def model(kind: str, **options: object) -> pyo.ConcreteModel:
    m = pyo.ConcreteModel()
    m.nn = NetworkBlock(around(kind, 3), lower=LOWER, upper=UPPER, **options)
    m.obj = pyo.Objective(expr=sum(w * m.nn.outputs[k] for k, w in enumerate(WEIGHTS)))
    return m


@pytest.mark.parametrize("kind", LAYERS)
def test_optima_hold_the_grid_and_are_the_networks(kind: str) -> None:
    m = model(kind)
    best = float((m.nn.network(grid(LOWER, UPPER)) @ WEIGHTS).min())
    result = solve(m)
    assert result.bound <= best + 1e-7
    assert result.replay_error <= 1e-6
    reach = 0.2 if result.bands else 1e-5
    assert result.objective - result.bound <= reach
    assert result.objective <= best + reach
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.obj) == pytest.approx(result.bound, abs=1e-5)
    assert m.nn.error() <= m.nn.report().band * 20 + 1e-5


@pytest.mark.parametrize("kind", LAYERS)
def test_starts_are_carried_through_every_layer(kind: str) -> None:
    m = model(kind)
    for point in grid(LOWER, UPPER, 4):
        m.nn.initialize(point)
        assert m.nn.error() <= 1e-9
        for row in m.component_data_objects(pyo.Constraint, active=True):
            assert row.slack() >= -1e-8, row.name


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_agree_on_fixed_inputs_and_optima(name: str) -> None:
    solver = SOLVERS[name](name)
    if not solver.available():
        pytest.skip(f"{name} is not installed")
    for kind in ("Conv", "MaxPool", "Clip", "Sigmoid", "LogSoftmax"):
        m = model(kind)
        bound = solve(m).bound
        solver.solve(m)
        assert pyo.value(m.obj) == pytest.approx(bound, abs=1e-4)
        for i, value in enumerate((0.25, -0.5)):
            m.nn.inputs[i].fix(value)
        solver.solve(m)
        assert m.nn.error() <= m.nn.report().band * 20 + 1e-5
