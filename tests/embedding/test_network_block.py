import io
import pickle

import numpy as np
import pyomo.environ as pyo
import pytest

from mipnet.bounds import compute_bounds
from mipnet.embedding import NetworkBlock
from mipnet.errors import BoundsError, EmbeddingError, SolverError
from mipnet.network import Network
from mipnet.network.layers import Affine, Flatten, ReLU
from mipnet.region import Box


def model_with(net, bounds=(-1, 1)):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(net.n_inputs), bounds=bounds)
    m.nn = NetworkBlock(net, m.x)
    return m


def run_forward(m, point):
    """Set the columns of the block to what the network computes."""
    values = m.nn.embedded.encoding.complete(np.asarray(point, float))
    for var, value in zip(m.nn.rows.columns, values, strict=True):
        var.set_value(float(value))


def test_inputs_are_the_users_variables_and_outputs_are_bounded(make_net):
    net = make_net(3, 5, 2)
    m = model_with(net)
    assert [m.nn.inputs[i] for i in range(3)] == [m.x[i] for i in range(3)]
    assert list(m.nn.outputs) == [0, 1]
    proven = compute_bounds(net, Box(-np.ones(3), np.ones(3))).output
    for i in range(2):
        assert m.nn.outputs[i].bounds == (proven.lower[0, i], proven.upper[0, i])


def test_every_row_holds_on_a_forward_pass(make_net):
    m = model_with(make_net(3, 6, 6, 2))
    rng = np.random.default_rng(1)
    for point in rng.uniform(-1, 1, size=(20, 3)):
        run_forward(m, point)
        assert m.nn.error() <= 1e-12
        for constraint in m.component_data_objects(pyo.Constraint, active=True):
            assert constraint.slack() >= -1e-12, constraint.name


def test_expressions_are_those_of_the_matrix(make_net):
    m = model_with(make_net(2, 4, 1))
    arrays = m.nn.embedded.arrays
    names = [v.name for v in m.nn.rows.columns]
    for row, constraint in m.nn.rows.items():
        terms = {v.name: c for c, v in zip(*coefficients(constraint.body), strict=True)}
        dense = arrays.matrix[[row]].toarray().ravel()
        assert terms == {names[j]: dense[j] for j in np.flatnonzero(dense)}
        low, high = constraint.lb, constraint.ub
        assert (-np.inf if low is None else low) == arrays.row_lower[row]
        assert (np.inf if high is None else high) == arrays.row_upper[row]


def coefficients(body):
    return body.linear_coefs, body.linear_vars


def test_no_solver_is_called_at_construction(make_net, monkeypatch):
    import highspy

    def refuse(*_args, **_kwargs):
        pytest.fail("a solver was created")

    monkeypatch.setattr(highspy, "Highs", refuse)
    model_with(make_net(3, 5, 2))


def test_report_agrees_with_the_model(make_net):
    m = model_with(make_net(3, 7, 5, 2))
    report = m.nn.report()
    binaries = [v for v in m.component_data_objects(pyo.Var) if v.is_binary()]
    assert report.binaries == report.unstable == len(binaries)
    assert report.unstable + report.active + report.inactive == 12
    assert [layer.layer for layer in report.layers] == ["relu0", "relu1"]
    assert 0 < report.min_big_m <= report.max_big_m
    variables = list(m.component_data_objects(pyo.Var))
    assert (report.columns, report.rows) == (len(variables), len(m.nn.rows))
    assert report.bound_s > 0
    assert report.build_s > 0
    text = str(report)
    assert "relu1" in text
    assert f"{report.binaries} binary" in text


def test_stable_network_has_no_binaries():
    net = Network.sequential([Affine(np.eye(2), np.array([5.0, -5.0])), ReLU()])
    m = model_with(net)
    assert m.nn.report().binaries == 0
    assert (m.nn.report().active, m.nn.report().inactive) == (1, 1)
    assert m.nn.report().max_big_m == 0.0


def test_own_variables_take_given_bounds_or_those_of_the_network(make_net):
    m = pyo.ConcreteModel()
    m.a = NetworkBlock(make_net(2, 3, 1), lower=-2, upper=[1, 3])
    assert [v.bounds for v in m.a.inputs.values()] == [(-2, 1), (-2, 3)]
    m.b = NetworkBlock(make_net(2, 3, 1, input_bounds=(0, 1)), upper=0.5)
    assert [v.bounds for v in m.b.inputs.values()] == [(0, 0.5)] * 2


def test_shaped_inputs_are_flattened_row_major():
    weight = np.arange(1.0, 7.0).reshape(1, 6)
    net = Network.sequential([Flatten(), Affine(weight, np.zeros(1))], (1, 2, 3))
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), range(3), bounds=(0, 1))
    m.nn = NetworkBlock(net, m.x)
    for index, var in m.x.items():
        var.set_value(float(index == (1, 0)))
    m.nn.outputs[0].set_value(4.0)
    assert m.nn.error(1e-12) == 0.0


def containers(m):
    return {
        "list": [m.x[0], m.x[1], m.x[2]],
        "tuple": (m.x[0], m.x[1], m.x[2]),
        "array": np.array([m.x[0], m.x[1], m.x[2]], dtype=object),
        "mapping by number": {2: m.x[2], 0: m.x[0], 1: m.x[1]},
        "mapping by name": {"c": m.x[0], "a": m.x[1], "b": m.x[2]},
        "slice": m.x[:],
        "nested": [[m.x[0]], [m.x[1], m.x[2]]],
        "reference": pyo.Reference(m.x),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "list",
        "tuple",
        "array",
        "mapping by number",
        "mapping by name",
        "slice",
        "nested",
        "reference",
    ],
)
def test_inputs_come_in_any_container(make_net, kind):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(-1, 1))
    m.nn = NetworkBlock(make_net(3, 2, 1), containers(m)[kind])
    assert [m.nn.inputs[i].name for i in range(3)] == ["x[0]", "x[1]", "x[2]"]


def test_scalar_variable_for_one_input(make_net):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.nn = NetworkBlock(make_net(1, 2, 1), m.x)
    assert m.nn.inputs[0] is m.x


def test_lower_and_upper_narrow_the_region_by_rows(make_net):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.nn = NetworkBlock(make_net(2, 3, 1), m.x, lower=[0, -5])
    assert [(c.lb, c.ub) for c in m.nn.input_range.values()] == [(0, 1), (-1, 1)]
    assert m.x[0].bounds == (-1, 1)


def test_domain_counts_as_bounds(make_net):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), domain=pyo.Binary)
    m.nn = NetworkBlock(make_net(2, 3, 1), m.x)
    assert m.nn.embedded.region.upper.tolist() == [1, 1]


def test_fixed_variable_counts_with_its_bounds_and_else_its_value(make_net):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2))
    m.x[0].setlb(-1)
    m.x[0].setub(1)
    m.x.fix(0.5)
    m.nn = NetworkBlock(make_net(2, 3, 1), m.x)
    region = m.nn.embedded.region
    assert list(zip(region.lower, region.upper, strict=True)) == [(-1, 1), (0.5, 0.5)]


def test_numbers_expressions_and_repeated_variables_are_tied(make_net):
    net = make_net(4, 5, 1)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.nn = NetworkBlock(net, [m.x[0], 0.25, 2 * m.x[0] + m.x[1], m.x[0]])
    assert sorted(m.nn.input_links) == [1, 2, 3]
    low, high = m.nn.inputs[2].bounds
    assert low == pytest.approx(-3)
    assert high == pytest.approx(3)
    m.x[0].set_value(0.5)
    m.x[1].set_value(-0.5)
    run_forward(m, [0.5, 0.25, 0.5, 0.5])
    assert all(abs(c.body() - c.ub) < 1e-12 for c in m.nn.input_links.values())


@pytest.mark.parametrize("count", [2, 4])
def test_wrong_number_of_inputs_names_both(make_net, count):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(count), bounds=(0, 1))
    with pytest.raises(EmbeddingError, match=f"3 inputs.*{count} given"):
        m.nn = NetworkBlock(make_net(3, 2, 1), m.x)


def test_missing_bounds_name_the_variable(make_net):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(0, 1))
    m.x[1].setub(None)
    with pytest.raises(EmbeddingError, match=r"input 1 \(x\[1\]\) has no finite bounds"):
        m.nn = NetworkBlock(make_net(3, 2, 1), m.x)
    with pytest.raises(EmbeddingError, match="input 0 has no finite bounds"):
        m.nn = NetworkBlock(make_net(3, 2, 1))
    m.p = pyo.Param(initialize=1.0, mutable=True)
    with pytest.raises(EmbeddingError, match=r"input 2 \(p\) has no finite bounds"):
        m.nn = NetworkBlock(make_net(3, 2, 1), [m.x[0], m.x[2], m.p])


def test_contradictory_bounds_name_the_variable(make_net):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(0, 1))
    with pytest.raises(EmbeddingError, match=r"x\[1\].*contradictory"):
        m.nn = NetworkBlock(make_net(2, 2, 1), m.x, lower=[0, 2])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["a", 0.0], "input 0 is a str"),
        ([0.0, float("nan")], "input 1 has no finite bounds"),
        ([0.0, float("inf")], "input 1 has no finite bounds"),
    ],
)
def test_inputs_that_are_none(make_net, inputs, message):
    with pytest.raises(EmbeddingError, match=message):
        NetworkBlock(make_net(2, 2, 1), inputs)


def test_bounds_of_the_wrong_shape(make_net):
    with pytest.raises(EmbeddingError, match="do not fit"):
        NetworkBlock(make_net(2, 2, 1), lower=[0, 0, 0], upper=1)


def test_unconstructed_variables_are_refused(make_net):
    m = pyo.AbstractModel()
    m.x = pyo.Var(range(2), bounds=(0, 1))
    with pytest.raises(EmbeddingError, match="ConcreteModel"):
        NetworkBlock(make_net(2, 2, 1), m.x)


def test_large_big_m_names_layer_and_neuron():
    net = Network.sequential([Affine(np.array([[1e9]]), np.zeros(1)), ReLU()])
    with pytest.raises(BoundsError, match=r"relu0.*neuron 0"):
        model_with(net)
    m = pyo.ConcreteModel()
    m.nn = NetworkBlock(net, lower=-1, upper=1, max_big_m=1e12)
    assert m.nn.report().max_big_m == pytest.approx(1e9)


def test_bounds_proven_before_are_checked(make_net):
    net = make_net(2, 4, 1)
    wide = compute_bounds(net, Box(-2 * np.ones(2), 2 * np.ones(2)), "interval")
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.nn = NetworkBlock(net, m.x, bounds=wide)
    assert m.nn.report().bounds == "interval"
    with pytest.raises(EmbeddingError, match="another network"):
        NetworkBlock(make_net(2, 4, 1, seed=1), m.x, bounds=wide)
    with pytest.raises(EmbeddingError, match="smaller region: input 0"):
        NetworkBlock(net, lower=-3, upper=1, bounds=wide)


def test_error_needs_values_and_names_what_is_wrong(make_net):
    m = model_with(make_net(2, 3, 2))
    with pytest.raises(EmbeddingError, match=r"nn.outputs\[0\].*has no value"):
        m.nn.error()
    run_forward(m, [0.1, 0.2])
    assert m.nn.error(1e-12) <= 1e-12
    m.nn.outputs[1].set_value(m.nn.outputs[1].value + 0.5)
    assert m.nn.error() == pytest.approx(0.5)
    with pytest.raises(SolverError, match=r"nn.outputs\[1\]"):
        m.nn.error(0.1)
    m.nn.outputs[1].set_value(float("nan"), skip_validation=True)
    with pytest.raises(SolverError):
        m.nn.error(0.1)


@pytest.mark.parametrize("written_out", [False, True])
def test_clone_and_pickle_are_independent(make_net, written_out):
    m = model_with(make_net(3, 5, 2))
    if written_out:
        m.nn.rows[0].body.to_string()
    copies = [m.clone(), pickle.loads(pickle.dumps(m))]  # noqa: S301
    for copy in copies:
        assert isinstance(copy.nn, NetworkBlock)
        assert copy.nn.inputs[1] is copy.x[1]
        assert copy.nn.rows.columns[0] is copy.x[0]
        assert str(copy.nn.rows[0].expr) == str(m.nn.rows[0].expr)
        run_forward(copy, [0.1, 0.2, 0.3])
        assert copy.nn.error() <= 1e-12
        assert copy.nn.report() == m.nn.report()
    assert m.x[0].value is None
    assert copies[0].nn.network is m.nn.network


def test_clone_of_the_block_keeps_the_users_variables(make_net):
    m = model_with(make_net(3, 5, 2))
    m.other = m.nn.clone()
    assert m.other.inputs[0] is m.x[0]
    assert m.other.outputs[0] is not m.nn.outputs[0]
    assert {v.name for v in m.other.rows.columns} == {
        *(v.name for v in m.x.values()),
        *(v.name for v in m.other.component_data_objects(pyo.Var)),
    }


def test_block_lives_in_sub_blocks_and_before_attachment(make_net):
    net = make_net(2, 3, 1)
    block = NetworkBlock(net, lower=0, upper=1)
    assert len(block.rows) == block.report().rows
    m = pyo.ConcreteModel()
    m.sub = pyo.Block([1, 2])
    m.sub[1].nn = block
    m.sub[2].nn = NetworkBlock(net, m.sub[1].nn.inputs)
    assert m.sub[1].nn.outputs[0].name == "sub[1].nn.outputs[0]"
    assert m.sub[2].nn.inputs[0] is m.sub[1].nn.inputs[0]


def test_prints(make_net):
    m = model_with(make_net(2, 3, 1))
    text = io.StringIO()
    m.pprint(ostream=text)
    assert "nn.hidden[0]" in text.getvalue()


def test_loads_what_is_no_network_yet(monkeypatch, make_net):
    readers = pytest.importorskip("mipnet.network.readers")
    net = make_net(2, 3, 1)
    monkeypatch.setattr(readers, "load", {"a file": net}.__getitem__)
    assert NetworkBlock("a file", lower=0, upper=1).network is net
