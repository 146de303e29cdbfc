import gc
import io
import pickle

import numpy as np
import pyomo.environ as pyo
import pytest

from mipnet import add_network
from mipnet.embedding import NetworkBlock, solve
from mipnet.embedding.block_data import NetworkBlockData
from mipnet.errors import EmbeddingError, MipnetWarning, SolverError
from mipnet.network import Network
from mipnet.network.layers import Affine, ReLU, Sigmoid, Softmax
from mipnet.solver import Status


def model_with(net, bounds=(-1, 1), **options):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(net.n_inputs), bounds=bounds)
    m.nn = NetworkBlock(net, m.x, **options)
    return m


def names(m):
    kinds = (pyo.Var, pyo.Constraint, pyo.Block, pyo.Expression, pyo.Objective)
    return sorted(c.name for kind in kinds for c in m.component_objects(kind))


def point(m):
    return np.array([v.value for v in m.nn.inputs.values()])


def test_stats_are_printed_and_shown(make_net, capsys):
    net = make_net(3, 6, 2)
    weights = net.nodes[0].layer.weight.copy()
    weights[0, 0], weights[1, 1] = 0.0, 1e-12
    sparse = net.with_layers({"affine0": Affine(weights, net.nodes[0].layer.bias)})
    m = model_with(sparse)
    m.nn.print_stats()
    printed = capsys.readouterr().out
    m.nn.print_stats(file := io.StringIO())
    assert printed == file.getvalue() == f"nn: {m.nn.report()}\n"
    report = m.nn.report()
    assert (report.parameters, report.zeros, report.tiny) == (38, 1, 1)
    assert "38 weights, 1 zero (2.6 %), 1 tiny" in printed
    html = m.nn._repr_html_()
    assert html.startswith("<b>nn</b>")
    assert "<td>relu0</td>" in html
    renamed = Network.sequential([Affine(weights, np.zeros(6)), ReLU()], names=["a", "<img src=x>"])
    assert "<img" not in model_with(renamed).nn._repr_html_()


def test_removal_leaves_the_model_as_it_was(make_net):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.c = pyo.Constraint(expr=m.x[0] + m.x[1] <= 1)
    m.obj = pyo.Objective(expr=m.x[0] - m.x[1])
    before, value = names(m), solve(m).objective
    added = add_network(m, make_net(2, 4, 1), [m.x[0], m.x[0] + m.x[1]])
    added.make_largest_refused = pyo.Constraint(expr=added.outputs[0] <= 0.5 * added.outputs[0].ub)
    assert names(m) != before
    solve(m)
    added.remove()
    assert names(m) == before
    assert solve(m).objective == pytest.approx(value)
    with pytest.raises(EmbeddingError, match="in no model"):
        added.remove()
    again = add_network(m, make_net(2, 4, 1), m.x)
    assert again.name == "network"


def test_what_uses_a_block_stops_its_removal(make_net):
    m = model_with(make_net(2, 4, 2))
    m.sub = pyo.Block()
    m.sub.c = pyo.Constraint([0, 1], rule=lambda b, k: m.nn.outputs[k] >= -1)
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    m.next = NetworkBlock(make_net(2, 3, 1), m.nn.outputs)
    with pytest.raises(EmbeddingError) as refused:
        m.nn.remove()
    for user in ("obj", "next.rows", "sub.c[0]", "sub.c[1]"):
        assert f"{user} uses nn.outputs" in str(refused.value)
    m.obj.deactivate()
    m.sub.deactivate()
    m.next.remove()
    m.nn.remove()
    assert m.component("nn") is None


@pytest.mark.parametrize("kept", [True, False])
def test_variables_of_a_removed_block_are_refused(make_net, kept):
    m = model_with(make_net(2, 4, 1))
    m.obj = pyo.Objective(expr=m.nn.outputs[0] + m.x[0])
    block = m.nn if kept else None
    m.del_component(m.nn)
    gc.collect()
    with pytest.raises(EmbeddingError, match=r"obj uses .*, which was removed from the model"):
        solve(m)
    assert (block is None) != kept


def test_variables_of_a_deactivated_block_are_said_to_be_free(make_net):
    m = model_with(make_net(2, 4, 1))
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    m.nn.deactivate()
    with pytest.warns(MipnetWarning, match=r"nn.outputs\[0\] is used.*deactivated"):
        result = solve(m)
    assert len(result.warnings) == 1
    assert result.objective == m.nn.outputs[0].lb


def test_rebuilding_follows_the_bounds(make_net):
    net = make_net(2, 6, 1)
    m = model_with(net)
    m.obj = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    outputs = m.nn.outputs
    inside = solve(m).objective
    for var in m.x.values():
        var.setlb(-3)
        var.setub(3)
    m.nn.rebuild()
    assert m.nn.outputs is outputs
    assert m.nn.widened_inputs() == []
    outside = solve(m).objective
    fresh = model_with(net, bounds=(-3, 3))
    fresh.obj = pyo.Objective(expr=fresh.nn.outputs[0], sense=pyo.maximize)
    assert outside > inside
    assert outside == pytest.approx(solve(fresh).objective, abs=1e-6)
    assert sorted(names(m)) == sorted(names(fresh))
    m.nn.rebuild(make_net(2, 3, 1, seed=5), bounds="interval")
    assert m.nn.report().bounds == "interval"
    assert solve(m).replay_error <= 1e-6
    copy = pickle.loads(pickle.dumps(m))  # noqa: S301
    assert solve(copy).objective == pytest.approx(pyo.value(m.obj), abs=1e-6)


def test_rebuilding_keeps_ties_and_narrowing(make_net):
    net = make_net(3, 5, 1)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.nn = NetworkBlock(net, [m.x, 2 * m.x, 0.5], upper=[0.5, 2, 1])
    m.x.setub(4)
    m.nn.rebuild()
    assert m.nn.embedded.region.upper.tolist() == [0.5, 2, 0.5]
    m.nn.rebuild(upper=None)
    assert m.nn.embedded.region.upper == pytest.approx([4, 8, 0.5])
    assert m.nn.inputs[1].ub == pytest.approx(8)
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    result = solve(m)
    x = m.x.value
    assert net([x, 2 * x, 0.5])[0] == pytest.approx(result.objective, abs=1e-6)


def test_a_refused_rebuild_changes_nothing(make_net):
    m = model_with(make_net(2, 5, 1))
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    value, known = solve(m).objective, m.nn.embedded
    m.on = pyo.Constraint(expr=m.nn.binaries[0] == 1)
    refusals = {
        r"on uses nn.binaries\[0\]": m.nn.rebuild,
        "3 inputs": lambda: m.nn.rebuild(make_net(3, 2, 1)),
        "has 1 outputs, the network 2": lambda: m.nn.rebuild(make_net(2, 2, 2)),
        "top_k must be": lambda: m.nn.rebuild(top_k=3),
        "not 1.5": lambda: m.nn.rebuild(top_k=1.5),
    }
    for message, act in refusals.items():
        with pytest.raises(EmbeddingError, match=message):
            act()
    with pytest.raises(TypeError):
        m.nn.rebuild(formulations="big_m")
    m.x[0].setub(None)
    with pytest.raises(EmbeddingError, match="no finite bounds"):
        m.nn.rebuild()
    m.x[0].setub(1)
    m.on.deactivate()
    assert m.nn.embedded is known
    assert solve(m).objective == pytest.approx(value, abs=1e-7)


def numbered(block, i):
    block.y = pyo.Var(initialize=i)
    return single(block)


def single(block):
    return NetworkBlock(block.model().net, block.model().x)


def test_blocks_returned_from_rules_keep_their_verbs(make_net):
    m = pyo.ConcreteModel()
    m.net = make_net(2, 4, 1)
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.nn = pyo.Block([1, 2], rule=numbered)
    m.one = pyo.Block(rule=single)
    m.obj = pyo.Objective(expr=m.nn[1].outputs[0] - m.one.outputs[0] + m.nn[2].outputs[0])
    for model in (m, m.clone(), pickle.loads(pickle.dumps(m))):  # noqa: S301
        assert isinstance(model.one, NetworkBlock)
        result = solve(model)
        assert sorted(result.replay_errors) == ["nn[1]", "nn[2]", "one"]
        for block in (*model.nn.values(), model.one):
            assert isinstance(block, NetworkBlockData)
            assert block.error(1e-6) <= 1e-6
            assert block.report().rows == len(block.rows)
            assert "relu0" in block._repr_html_()
    m.obj.deactivate()
    assert m.nn[2].y.value == 2
    m.nn[2].remove()
    assert list(m.nn) == [1]
    m.nn[1].rebuild(make_net(2, 6, 1))
    assert solve(m).status is Status.OPTIMAL


def test_a_block_that_cannot_become_one_of_networks_is_refused(make_net):
    gdp = pytest.importorskip("pyomo.gdp")
    m = pyo.ConcreteModel()
    m.net = make_net(2, 4, 1)
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    with pytest.raises(EmbeddingError, match="assign the NetworkBlock to an attribute"):
        m.d = gdp.Disjunct([1], rule=numbered)


def test_starts_are_carried_through_the_layers(make_net):
    net = make_net(3, 6, 4, 2)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.nn = NetworkBlock(net, [m.x[0], m.x[0] - 2 * m.x[1], 0.25])
    with pytest.raises(EmbeddingError, match=r"inputs\[0\] \(x\[0\]\) has no value"):
        m.nn.initialize()
    m.x[0].value, m.x[1].value = 0.5, -0.25
    m.nn.initialize()
    assert [v.value for v in m.nn.inputs.values()] == [0.5, 1.0, 0.25]
    assert m.nn.error() <= 1e-12
    for row in m.component_data_objects(pyo.Constraint, active=True):
        assert row.slack() >= -1e-12
    m.nn.hidden[0].fix(7.0)
    m.nn.initialize([0.1, 0.2, 0.3])
    assert (m.x[0].value, m.nn.hidden[0].value) == (0.1, 7.0)
    with pytest.raises(EmbeddingError, match="takes 3 inputs, not 2"):
        m.nn.initialize([0.1, 0.2])


def test_starts_reach_the_users_own_variables(make_net):
    """A start needs the inputs' constraints, tied inputs, and the user's own variables."""
    net = make_net(3, 6, 1)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(0, 1))
    m.share = pyo.Constraint(expr=m.x[0] + m.x[1] + m.x[2] == 1)
    m.nn = NetworkBlock(net, [m.x[0], m.x[1] + m.x[2], m.x[2]])
    m.y, m.t, m.k = pyo.Var(), pyo.Var(), pyo.Var(domain=pyo.Integers, bounds=(0, 9))
    m.tie = pyo.Constraint(expr=m.y == m.nn.outputs[0])
    m.up = pyo.Constraint(expr=m.t >= m.y - 3)
    m.down = pyo.Constraint(expr=m.t >= 3 - m.y)
    m.step = pyo.Constraint(expr=m.k >= m.t + 0.5)
    m.obj = pyo.Objective(expr=m.t + 0.01 * m.k)
    result = solve(m)
    assert result.started
    assert result.status is Status.OPTIMAL
    assert m.t.value == pytest.approx(abs(m.y.value - 3), abs=1e-6)


def classifier(make_net, *tail, outputs=4):
    net = make_net(3, 8, outputs, seed=2)
    for k, layer in enumerate(tail):
        net = net.then(layer, f"tail{k}")
    return net


@pytest.mark.parametrize("tail", [(), (Softmax(),)])
def test_one_hot_and_labels(make_net, tail):
    net = classifier(make_net, *tail)
    m = model_with(net, top_k=1)
    assert m.nn.network.n_outputs == 4
    assert m.nn.report().bands == {}
    m.obj = pyo.Objective(expr=m.x[0])
    for label in np.unique(net(np.random.default_rng(0).uniform(-1, 1, (500, 3))).argmax(1)):
        m.want = pyo.Constraint(expr=m.nn.label == int(label))
        result = solve(m)
        assert result.status is Status.OPTIMAL
        assert result.replay_error <= 1e-6
        assert [round(v.value) for v in m.nn.marks.values()] == np.eye(4)[label].tolist()
        logits = m.nn.network(point(m))
        assert logits[label] >= logits.max() - 1e-6
        m.del_component("want")


def test_marks_of_the_largest_few(make_net):
    net = classifier(make_net)
    m = model_with(net, top_k=2)
    assert not hasattr(m.nn, "label")
    m.obj = pyo.Objective(expr=m.nn.marks[0] + m.nn.marks[1], sense=pyo.maximize)
    result = solve(m)
    assert result.objective == pytest.approx(2)
    assert result.replay_error <= 1e-6
    found = net(point(m))
    assert found[:2].min() >= found[2:].max() - 1e-6
    m.nn.initialize([0.3, -0.2, 0.9])
    assert m.nn.error() <= 1e-12
    chosen = {k for k, v in m.nn.marks.items() if v.value > 0.5}
    assert chosen == set(np.argsort(-net([0.3, -0.2, 0.9]))[:2].tolist())
    for var in m.nn.marks.values():
        var.set_value(1 - var.value)
    with pytest.raises(SolverError, match="marks: an output without a mark exceeds one with"):
        m.nn.error(1e-3)


def test_binary_classifiers_have_two_classes(make_net):
    net = classifier(make_net, Sigmoid(), outputs=1)
    m = model_with(net, top_k=1)
    m.obj = pyo.Objective(expr=m.x[0])
    for label in (0, 1):
        m.want = pyo.Constraint(expr=m.nn.marks[label] == 1)
        solve(m)
        probability = net(point(m))[0]
        assert (probability - 0.5) * (2 * label - 1) >= -1e-6
        m.del_component("want")


def test_an_output_can_be_made_the_largest(make_net):
    net = classifier(make_net, Softmax())
    m = model_with(net, order_only=True)
    m.obj = pyo.Objective(expr=m.x[0])
    rows = m.nn.make_largest(2, margin=0.25)
    assert sorted(rows) == [0, 1, 3]
    assert solve(m).status is Status.OPTIMAL
    logits = m.nn.network(point(m))
    assert logits[2] >= np.delete(logits, 2).max() + 0.25 - 1e-6
    m.nn.make_largest(0)
    solve(m)
    assert net(point(m)).argmax() == 0 or np.ptp(np.sort(net(point(m)))[-2:]) <= 1e-6
    for output, margin in ((4, 0.0), (-1, 0.0), (0, np.nan)):
        with pytest.raises(EmbeddingError, match="outputs 0 to 3"):
            m.nn.make_largest(output, margin)


@pytest.mark.parametrize("count", [0, 4, 9])
def test_marks_out_of_range(make_net, count):
    with pytest.raises(EmbeddingError, match="between 1 and 3 of 4"):
        model_with(classifier(make_net), top_k=count)


@pytest.mark.filterwarnings("default::mipnet.errors.MipnetWarning")
@pytest.mark.parametrize("change", ["bound", "parameter", "fixed"])
def test_expressions_that_reach_further_than_before_are_said(change):
    net = Network.sequential([Affine(np.ones((1, 2)), np.zeros(1))])
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(0, 1))
    m.p = pyo.Param(initialize=2.0, mutable=True)
    m.nn = NetworkBlock(net, [m.x[0], m.p * m.x[1]])
    m.goal = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    assert m.nn.widened_inputs() == []
    assert solve(m).warnings == ()
    if change == "bound":
        m.x[1].setub(3)
    elif change == "parameter":
        m.p.set_value(6)
    else:
        m.x[1].fix(2.5)
    assert m.nn.widened_inputs() == [1]
    with pytest.warns(MipnetWarning, match=r"first p\*x\[1\] .*built for"):
        found = solve(m)
    assert change == "fixed" or found.objective == pytest.approx(3.0)
    m.x[1].unfix()
    m.nn.rebuild()
    assert m.nn.widened_inputs() == []
    most = {"bound": 7.0, "parameter": 7.0, "fixed": 3.0}[change]
    assert solve(m).objective == pytest.approx(most)


def test_an_expression_fixed_within_its_range_is_no_surprise():
    net = Network.sequential([Affine(np.ones((1, 2)), np.zeros(1))])
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(0, 1))
    m.nn = NetworkBlock(net, [m.x[0], 2.0 * m.x[1] - m.x[0]])
    m.x[1].fix(0.25)
    assert m.nn.widened_inputs() == []
    m.x[0].fix(1.0)
    assert m.nn.widened_inputs() == []
