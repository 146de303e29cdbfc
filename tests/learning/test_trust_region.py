import io
import pickle

import numpy as np
import pandas as pd
import pyomo.environ as pyo
import pytest
from sklearn.ensemble import IsolationForest

import mipnet
from mipnet import add_network, add_trust_region, solve
from mipnet.errors import EmbeddingError, MipnetWarning, SolverError
from mipnet.learning import ConvexHull, DensityRegion, IsolationRegion
from mipnet.solver import Status

RNG = np.random.default_rng(0)
DATA = RNG.uniform(-1, 1, size=(40, 2))
KINDS = {
    "hull": ConvexHull(DATA),
    "clusters": ConvexHull(DATA, 3, slack=0.01),
    "forest": IsolationRegion(
        IsolationForest(n_estimators=5, max_samples=16, random_state=0, contamination=0.2).fit(DATA)
    ),
    "density": DensityRegion(DATA, 0.1, 2),
}


@pytest.fixture
def net():
    rng = np.random.default_rng(1)
    return mipnet.load(
        ([rng.normal(size=(6, 2)), rng.normal(size=(1, 6))], [rng.normal(size=6), np.zeros(1)])
    )


@pytest.fixture(params=list(KINDS))
def region(request):
    return KINDS[request.param]


def model(net=None):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    if net is None:
        m.obj = pyo.Objective(expr=m.x[0] + 0.3 * m.x[1], sense=pyo.maximize)
    else:
        add_network(m, net, m.x, name="nn")
        m.obj = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    return m


def names(m):
    kinds = (pyo.Var, pyo.Constraint, pyo.Block, pyo.Objective)
    return sorted(c.name for kind in kinds for c in m.component_objects(kind))


def test_a_network_is_used_where_it_is_trusted(net, region):
    m = model(net)
    free = solve(m).objective
    trust = add_trust_region(m, region, m.x)
    result = solve(m)
    assert result.status is Status.OPTIMAL
    assert set(result.replay_errors) == {"nn", "trust_region"}
    assert result.replay_error < 1e-6
    assert result.objective <= free + 1e-7
    assert region.contains(trust.point()).all()
    points = RNG.uniform(-1, 1, size=(80, 2))
    inside = region.contains(points)
    assert 0 < inside.sum() < 80
    assert result.objective >= net(points[inside]).max() - 1e-6
    again = pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.check_optimal_termination(again)
    assert pyo.value(m.obj) == pytest.approx(result.objective, abs=1e-4)


def test_removal_leaves_the_model_as_it_was(net, region):
    m = model(net)
    before, value = names(m), solve(m).objective
    trust = add_trust_region(m, region, [m.x[0], 0.5 * m.x[1] + 0.1])
    assert names(m) != before
    assert solve(m).objective <= value
    trust.remove()
    assert names(m) == before
    assert solve(m).objective == pytest.approx(value)
    with pytest.raises(EmbeddingError, match="in no model"):
        trust.remove()


def test_what_uses_a_region_stops_its_removal(region):
    m = model()
    trust = add_trust_region(m, region, name="near", lower=-1.0, upper=1.0)
    m.tie = pyo.Constraint(expr=trust.inputs[0] == m.x[0])
    with pytest.raises(EmbeddingError, match=r"near cannot be removed: tie uses near.own_inputs"):
        trust.remove()
    m.tie.deactivate()
    trust.remove()
    m.tie.activate()
    with pytest.raises(EmbeddingError, match="tie uses own_inputs"):
        solve(m)


def test_clones_and_pickles_are_models_of_their_own(region):
    m = model()
    add_trust_region(m, region, m.x)
    value = solve(m).objective
    copies = [m.clone(), pickle.loads(pickle.dumps(m))]  # noqa: S301
    for copy in copies:
        assert copy.trust_region.inputs[0] is copy.x[0]
        assert solve(copy).objective == pytest.approx(value)
        copy.trust_region.remove()
        assert solve(copy).objective == pytest.approx(1.3)
    assert solve(m).objective == pytest.approx(value)
    m.trust_region.deactivate()
    assert solve(m).objective == pytest.approx(1.3)


def test_stats_are_printed_and_shown(region):
    m = model()
    trust = add_trust_region(m, region, m.x)
    trust.print_stats(file := io.StringIO())
    report = trust.report()
    assert file.getvalue() == f"trust_region: {report}\n"
    assert region.describe() in file.getvalue()
    assert trust._repr_html_().startswith("<b>trust_region</b>")
    assert ">=" not in trust._repr_html_()
    constraints = m.component_data_objects(pyo.Constraint)
    rows = [c for c in constraints if c.parent_component().local_name == "rows"]
    assert report.rows == len(rows)
    variables = list(trust.component_data_objects(pyo.Var))
    assert report.columns == len(variables) + 2
    assert report.binaries == sum(v.is_binary() for v in variables)


def test_inputs_are_variables_expressions_and_numbers():
    m = model()
    add_trust_region(m, KINDS["hull"], [m.x[0] - m.x[1], 0.1])
    second = add_trust_region(m, KINDS["density"], [m.x[0], m.x[0]])
    assert second.name != "trust_region"
    assert solve(m).replay_error <= 1e-7
    x = [v.value for v in m.x.values()]
    assert KINDS["hull"].contains([x[0] - x[1], 0.1]).all()
    assert KINDS["density"].contains([x[0], x[0]]).all()


def test_rows_of_inputs_and_frames(region):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(["mon", "tue"], range(2), bounds=(-1, 1))
    week = add_trust_region(m, region, m.x)
    m.obj = pyo.Objective(expr=sum(m.x["mon", j] - m.x["tue", j] for j in range(2)))
    result = solve(m)
    assert sorted(result.replay_errors) == ["trust_region[mon]", "trust_region[tue]"]
    assert week.error() <= 1e-7
    assert week.report().copies == 2
    assert week.report().rows == 2 * week["mon"].report().rows
    assert "2 blocks" in str(week.report())
    before = names(m)
    frame = pd.DataFrame({"b": [m.x["mon", 1], 0.1], "a": [m.x["mon", 0], m.x["tue", 0]]})
    other = add_trust_region(m, region, frame, columns=["a", "b"], name="frame")
    assert [v.name for v in other[0].inputs.values()] == ["x[mon,0]", "x[mon,1]"]
    assert solve(m).status is Status.OPTIMAL
    other.remove()
    assert names(m) == before


def test_bounds_given_with_the_call_hold():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2))
    trust = add_trust_region(m, KINDS["hull"], m.x, upper=[0.1, 1.0])
    m.obj = pyo.Objective(expr=m.x[0], sense=pyo.maximize)
    assert solve(m).objective == pytest.approx(0.1)
    trust.remove()
    assert solve(m).status is not Status.OPTIMAL


def test_bounds_of_the_region_serve_a_network(net):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2))
    hull = KINDS["hull"]
    with pytest.raises(EmbeddingError, match="no finite bounds"):
        add_network(m, net, m.x)
    add_network(m, net, m.x, name="nn", lower=hull.lower, upper=hull.upper)
    add_trust_region(m, hull, m.x)
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    assert solve(m).status is Status.OPTIMAL


def test_what_does_not_fit_is_told_and_leaves_the_model_alone(region):
    m = model()
    before = names(m)
    with pytest.raises(EmbeddingError, match="the trust region takes 2 inputs"):
        add_trust_region(m, region, [m.x[0]])
    with pytest.raises(EmbeddingError, match="row 1"):
        add_trust_region(m, region, [[m.x[0], m.x[1]], [m.x[0], "a"]])
    with pytest.raises(EmbeddingError, match="constructed Pyomo model"):
        add_trust_region(pyo.AbstractModel(), region, m.x)
    with pytest.raises(EmbeddingError, match=r"x is a part of a model, no region"):
        add_trust_region(m, m.x, region)
    m.far = pyo.Var(bounds=(7, 8))
    if region.input_bounds is not None:
        with pytest.raises(EmbeddingError, match=r"input 1 \(far\) lies in .* no point is in both"):
            add_trust_region(m, region, [m.x[0], m.far])
    m.del_component("far")
    assert names(m) == before


def test_another_solution_than_the_rows_allow_is_told(region):
    m = model()
    trust = add_trust_region(m, region, m.x)
    trust.rows.deactivate()
    with pytest.warns(MipnetWarning, match="trust_region: the loaded inputs are outside"):
        assert solve(m).replay_error > 1e-3
    with pytest.raises(SolverError, match="outside"):
        trust.error(tolerance=1e-6)
    empty = add_trust_region(pyo.ConcreteModel(), KINDS["hull"])
    with pytest.raises(EmbeddingError, match="has no value"):
        empty.error()
