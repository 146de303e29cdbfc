"""Formulations beyond rows and integers as components of a Pyomo model."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.core.expr.visitor import identify_variables

import mipnet
from mipnet.embedding import NetworkBlock, solve
from mipnet.errors import EmbeddingError, QueryError
from mipnet.network import Affine, Network, ReLU
from mipnet.network.layers import (
    GELU,
    Clip,
    HardSwish,
    LeakyReLU,
    LogSoftmax,
    MaxPool,
    Reshape,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from tests.core_cases import Case, dense
from tests.oracle import minimum

BEYOND = ["sos1", "complementarity", "indicator", "reduced_space"]
MIX = {"relu0": "reduced_space", "*": "indicator"}
#: Solvers that are looked for, and what they can be asked.
OTHERS = [
    ("gurobi_direct", "sos1"),
    ("scip_direct", "sos1"),
    ("gurobi_direct_minlp", "reduced_space"),
]


def case_of(seed: int) -> Case:
    return dense(np.random.default_rng(seed), (3, 4, 3, 2))


def model_of(case: Case, formulation: Any) -> Any:
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3))
    for k, var in m.x.items():
        var.setlb(case.lower[k])
        var.setub(case.upper[k])
    m.nn = NetworkBlock(case.network, m.x, formulation=formulation)
    m.obj = pyo.Objective(
        expr=sum(float(c) * m.nn.outputs[k] for k, c in enumerate(case.objective))
    )
    return m


def truth(case: Case) -> float:
    return minimum(case.weights, case.biases, case.box, case.objective).value


@pytest.mark.parametrize("formulation", [*BEYOND, MIX])
def test_forward_passes_satisfy_every_component(formulation: Any) -> None:
    """Starts carried through, copies and pickles included."""
    case = case_of(0)
    m = pickle.loads(pickle.dumps(model_of(case, formulation).clone()))  # noqa: S301
    inside = np.random.default_rng(0).uniform(case.lower, case.upper)
    m.nn.initialize(inside)
    assert m.nn.error(1e-9) <= 1e-9
    assert pyo.value(m.obj) == pytest.approx(case.objective @ case.network(inside), abs=1e-9)
    for constraint in m.component_data_objects(pyo.Constraint, active=True):
        if "phase" not in constraint.name:
            assert min(constraint.lslack(), constraint.uslack()) >= -1e-9, constraint.name
    for sos in m.component_data_objects(pyo.SOSConstraint, active=True):
        assert min(abs(v.value) for v in sos.variables) <= 1e-9


@pytest.mark.parametrize("formulation", [*BEYOND, MIX])
def test_highs_refuses_what_it_does_not_know(formulation: Any) -> None:
    m = model_of(case_of(0), formulation)
    with pytest.raises(EmbeddingError, match=r"nn .*which HiGHS does not know; build it with"):
        solve(m)
    m.nn.deactivate()
    m.obj.deactivate()
    m.other = pyo.Objective(expr=m.x[0])
    assert solve(m).objective == pytest.approx(case_of(0).lower[0])


def test_reduced_space_without_unstable_neurons_is_refused_too() -> None:
    net = Network.sequential([Affine(np.ones((1, 2)), np.full(1, 5.0)), ReLU()])
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(0, 1))
    m.nn = NetworkBlock(net, m.x, formulation="reduced_space")
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    with pytest.raises(EmbeddingError, match="expression"):
        solve(m)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("formulation", "transformations"),
    [
        ("indicator", ["gdp.bigm"]),
        ("indicator", ["gdp.hull"]),
        ("complementarity", ["mpec.simple_disjunction", "gdp.bigm"]),
    ],
)
def test_transformed_models_agree_with_enumeration(
    formulation: str, transformations: list[str], seed: int
) -> None:
    """Pyomo's own transformations read the components as they are meant; HiGHS solves the rest."""
    case = case_of(seed)
    m = model_of(case, formulation)
    for name in transformations:
        options = {"bigM": 100.0} if name == "gdp.bigm" else {}
        pyo.TransformationFactory(name).apply_to(m, **options)
    result = solve(m)
    assert result.objective == pytest.approx(truth(case), abs=1e-6)
    assert m.nn.error() <= 1e-6


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("name", "formulation"), OTHERS)
def test_solvers_that_know_them_agree_with_enumeration(
    name: str, formulation: str, seed: int
) -> None:
    solver = pyo.SolverFactory(name)
    if not solver.available(exception_flag=False):
        pytest.skip(f"{name} is not installed")
    case = case_of(seed)
    m = model_of(case, formulation)
    solver.solve(m)
    assert pyo.value(m.obj) == pytest.approx(truth(case), abs=1e-5)
    assert m.nn.error() <= 1e-5


def test_reduced_space_adds_no_variable_and_no_row() -> None:
    m = model_of(case_of(1), "reduced_space")
    assert list(m.nn.component_data_objects(pyo.Var)) == []
    assert len(m.nn.rows) == 0
    assert {v.name for v in identify_variables(m.obj.expr)} == {"x[0]", "x[1]", "x[2]"}
    assert m.nn.report().binaries == 0


SMOOTH = [
    Sigmoid(), Tanh(), Softplus(beta=2.0), SiLU(), HardSwish(), GELU(approximate="tanh"),
    LeakyReLU(0.1), Clip(-0.5, 0.5), LogSoftmax(), Softmax(),
]  # fmt: skip


@pytest.mark.parametrize("formulation", ["reduced_space", "complementarity"])
@pytest.mark.parametrize("layer", SMOOTH, ids=lambda layer: layer.kind)
def test_smooth_layers_are_exact_expressions(layer: Any, formulation: str) -> None:
    """No band: the expressions are the network, for Pyomo and for the replay."""
    rng = np.random.default_rng(0)
    first, last = rng.normal(size=(4, 3)), rng.normal(size=(2, 4))
    net = Network.sequential([Affine(first, np.zeros(4)), layer, Affine(last, np.ones(2)), ReLU()])
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(-1, 1))
    m.nn = NetworkBlock(net, m.x, formulation=formulation)
    assert m.nn.report().bands == {}
    for x in rng.uniform(-1, 1, size=(5, 3)):
        m.nn.initialize(x)
        assert m.nn.error() <= 1e-9
        assert pyo.value(m.nn.outputs[1]) == pytest.approx(net(x)[1], abs=1e-9)


@pytest.mark.parametrize("formulation", ["reduced_space", "sos1", "complementarity", "indicator"])
def test_windows_are_chains_of_kinks(formulation: str) -> None:
    pool = MaxPool((2, 2), stride=(1, 1))
    net = Network.sequential([Reshape((1, 3, 3)), pool, Reshape((4,))], (9,))
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(9), bounds=(-1, 1))
    m.nn = NetworkBlock(net, m.x, formulation=formulation)
    for x in np.random.default_rng(1).uniform(-1, 1, size=(5, 9)):
        m.nn.initialize(x)
        assert m.nn.error() <= 1e-9


def test_deep_networks_are_replayed_without_following_every_mention() -> None:
    """Eight layers of ten: 20**8 mentions of the first layer in an output."""
    rng = np.random.default_rng(0)
    layers: list[Any] = [Affine(rng.normal(size=(10, 3)), np.zeros(10))]
    for _ in range(8):
        layers += [ReLU(), Affine(rng.normal(size=(10, 10)) / 3.0, rng.normal(size=10))]
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(-1, 1))
    m.nn = NetworkBlock(Network.sequential(layers), m.x, formulation="reduced_space")
    m.nn.initialize([0.1, 0.2, 0.3])
    assert m.nn.error() <= 1e-9
    m.x[0].set_value(None)
    with pytest.raises(EmbeddingError, match=r"inputs\[0\] \(x\[0\]\) has no value"):
        m.nn.error()


def test_choices_for_layers_and_neurons_reach_the_block() -> None:
    case = case_of(2)
    m = model_of(case, {"relu0": ["big_m", "ideal", "partition(0)", "big_m"], "relu1": "ideal"})
    result = solve(m)
    assert result.objective == pytest.approx(truth(case), abs=1e-6)
    expected = "relu0: big_m | ideal | partition(0); relu1: ideal"
    assert m.nn.report().formulation == expected
    with pytest.raises(QueryError, match="no activation layer 'relu9'"):
        model_of(case, {"relu9": "ideal"})


def test_separated_rows_reach_models() -> None:
    """Also next to constraints of the user; not where rows of the block were given up."""
    from mipnet.embedding.compile import compile_model

    case = case_of(3)
    m = model_of(case, "ideal")
    m.more = pyo.Constraint(expr=m.x[0] + m.nn.outputs[0] <= 10.0)
    arrays = compile_model(m).arrays
    assert arrays.separators
    found = mipnet.solver.separate(arrays, stall=0.0)
    assert found.after <= truth(case) + 1e-6
    assert solve(m).objective == pytest.approx(truth(case), abs=1e-6)
    m.nn.rows[0].deactivate()
    assert not compile_model(m).arrays.separators


def test_rebuilding_changes_the_formulation() -> None:
    case = case_of(1)
    m = model_of(case, "sos1")
    m.nn.rebuild(formulation="indicator")
    assert m.nn.component("sos1") is None
    assert len(m.nn.either) > 0
    m.nn.rebuild(formulation="partition")
    assert m.nn.component("either") is None
    assert solve(m).objective == pytest.approx(truth(case), abs=1e-6)
    with pytest.raises(EmbeddingError, match="outputs are expressions in reduced space"):
        m.nn.rebuild(formulation="reduced_space")
    assert solve(m).objective == pytest.approx(truth(case), abs=1e-6)


def test_a_relaxation_says_so() -> None:
    """Convex use: welcome when asked for, and its bound holds."""
    case = case_of(1)
    with pytest.raises(QueryError, match="relaxation"):
        model_of(case, "triangle")
    m = model_of(case, "big_m")
    m.nn.rebuild(formulation={"relu0": "triangle"}, relaxed=True)
    assert not m.nn.report().exact
