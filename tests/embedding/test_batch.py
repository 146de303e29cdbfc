import pickle
import sys

import numpy as np
import pyomo.environ as pyo
import pytest

from mipnet import add_network
from mipnet.bounds import compute_bounds
from mipnet.embedding import NetworkBatch, NetworkBlock, embedded, solve
from mipnet.errors import BoundsError, EmbeddingError, MissingPackageError
from mipnet.network import Network
from mipnet.network.layers import Affine, Flatten, ReLU

pd = pytest.importorskip("pandas")


def model(rows=3, inputs=2):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(rows), range(inputs), bounds=(-1, 1))
    return m


def test_a_variable_by_row_and_input(make_net):
    net = make_net(2, 5, 1)
    m = model()
    nn = add_network(m, net, m.x, name="nn")
    assert isinstance(nn, NetworkBatch)
    assert m.nn is nn
    assert list(nn) == [0, 1, 2]
    assert nn[1].inputs[0] is m.x[1, 0]
    m.total = pyo.Constraint(expr=sum(m.x[k, 0] for k in range(3)) == 0.3)
    m.obj = pyo.Objective(expr=sum(nn.outputs[k][0] for k in nn), sense=pyo.maximize)
    result = solve(m)
    found = np.array([[m.x[k, i].value for i in range(2)] for k in range(3)])
    assert result.objective == pytest.approx(net(found).sum(), abs=1e-6)
    assert set(result.replay_errors) == {"nn[0]", "nn[1]", "nn[2]"}
    assert nn.error(1e-6) == result.replay_error
    assert nn.frame().to_numpy() == pytest.approx(net(found), abs=1e-6)
    pyo.SolverFactory("appsi_highs").solve(m)
    assert pyo.value(m.obj) == pytest.approx(result.objective, abs=1e-5)


def test_rows_over_one_box_are_bounded_once(make_net, monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return compute_bounds(*arguments)

    monkeypatch.setattr(embedded, "compute_bounds", counted)
    m = model(rows=5)
    m.x[4, 1].setub(0.5)
    nn = add_network(m, make_net(2, 5, 1), m.x)
    assert len(calls) == 2
    assert nn[0].embedded.arrays is nn[3].embedded.arrays
    assert nn[4].embedded.arrays is not nn[3].embedded.arrays
    report = nn.report()
    assert (report.copies, report.rows) == (5, sum(len(b.rows) for b in nn.values()))
    assert report.bound_s == nn[0].report().bound_s + nn[4].report().bound_s
    assert report.unstable + report.active + report.inactive == 25


def frame(m):
    return pd.DataFrame(
        {"age": [m.x[0, 0], 0.5], "dose": [m.x[0, 1], m.x[1, 1] + m.x[0, 1]], "sex": [1, 0]},
        index=["a", "b"],
    )


@pytest.mark.parametrize("order", [("age", "dose", "sex"), ("sex", "age", "dose")])
def test_columns_by_name(make_net, order):
    net = make_net(3, 5, 2)
    m = model()
    nn = add_network(m, net, frame(m), columns=order)
    assert list(nn) == ["a", "b"]
    assert nn["a"].inputs[order.index("age")] is m.x[0, 0]
    for k, var in enumerate(m.x.values()):
        var.fix(0.1 * k)
    assert solve(m).replay_error <= 1e-6
    values = {"age": [0.0, 0.5], "dose": [0.1, 0.4], "sex": [1, 0]}
    expected = net(np.column_stack([values[name] for name in order]))
    assert nn.frame().loc["b"].to_numpy() == pytest.approx(expected[1], abs=1e-6)
    assert nn.frame().loc["a"].to_numpy() == pytest.approx(expected[0], abs=1e-6)


def test_scikit_learn_remembers_names():
    sklearn = pytest.importorskip("sklearn.neural_network")
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.uniform(size=(60, 3)), columns=["c", "a", "b"])
    regressor = sklearn.MLPRegressor(hidden_layer_sizes=(6,), max_iter=30, random_state=0)
    with pytest.warns(UserWarning, match="converge"):
        regressor.fit(data, data["a"] - data["b"])
    m = pyo.ConcreteModel()
    m.x = pyo.Var(["a", "b", "c"], bounds=(0, 1))
    one = add_network(m, regressor, m.x, name="one")
    assert [one.inputs[k] for k in range(3)] == [m.x["c"], m.x["a"], m.x["b"]]
    many = add_network(m, regressor, data[["b", "c", "a"]].iloc[:4], name="many")
    m.obj = pyo.Objective(expr=one.outputs[0])
    solve(m)
    assert many.frame()[0].to_numpy() == pytest.approx(regressor.predict(data.iloc[:4]), abs=1e-6)
    series = add_network(m, regressor, data.iloc[5][["b", "a", "c"]])
    assert isinstance(series, NetworkBlock)
    with pytest.raises(EmbeddingError, match="columns missing: 'a'"):
        add_network(m, regressor, data[["b", "c"]])


def shapes(m):
    x = m.x
    rows = [[x[k, i] for i in range(2)] for k in range(3)]
    m.lists = pyo.Var(range(2), bounds=(0, 1))
    return {
        "variable": x,
        "list of lists": rows,
        "list of tuples": [tuple(row) for row in rows],
        "array": np.array(rows, dtype=object),
        "list of mappings": [dict(enumerate(row)) for row in rows],
        "list of variables": [m.lists, rows[1], m.lists],
        "list of slices": [x[k, :] for k in range(3)],
        "frame": pd.DataFrame(rows),
        "mixed": [[0.5, 0.25], rows[1], [x[0, 0] + 1, 2]],
    }


@pytest.mark.parametrize("kind", list(shapes(model())))
def test_rows_come_in_any_container(make_net, kind):
    m = model()
    nn = add_network(m, make_net(2, 3, 1), shapes(m)[kind])
    assert list(nn) == [0, 1, 2]
    assert nn[1].inputs[1] is m.x[1, 1]


@pytest.mark.parametrize("rows", [1, 2])
def test_images(rows):
    net = Network.sequential([Flatten(), Affine(np.ones((1, 6)), np.zeros(1)), ReLU()], (1, 2, 3))
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(rows), range(1), range(2), range(3), bounds=(0, 1))
    nn = add_network(m, net, m.x, name="nn")
    assert nn[rows - 1].inputs[4] is m.x[rows - 1, 0, 1, 1]
    m.y = pyo.Var(range(1), range(2), range(3), bounds=(0, 1))
    assert isinstance(add_network(m, net, m.y), NetworkBlock)
    m.z = pyo.Var(range(rows), range(6), bounds=(0, 1))
    flat = add_network(m, net, m.z)
    assert (flat[0] if rows == 2 else flat).inputs[5] is m.z[0, 5]


def test_outputs_can_be_given(make_net):
    net = make_net(2, 4, 2)
    m = model(rows=2)
    m.y = pyo.Var([0, 1], [0, 1])
    nn = add_network(m, net, m.x, m.y)
    m.obj = pyo.Objective(expr=m.y[0, 1] - m.y[1, 0])
    solve(m)
    assert [v.value for v in m.y.values()] == pytest.approx(nn.frame().to_numpy().ravel().tolist())
    size = len(list(m.component_objects()))
    with pytest.raises(EmbeddingError, match="4 outputs in all, 1 given"):
        add_network(m, net, m.x, [m.y[0, 0]])
    assert len(list(m.component_objects())) == size


def test_batches_are_cloned_pickled_rebuilt_and_removed(make_net):
    m = model()
    nn = add_network(m, make_net(2, 4, 1), m.x, name="nn")
    m.obj = pyo.Objective(expr=sum(v[0] for v in nn.outputs.values()))
    expected = solve(m).objective
    for copy in (m.clone(), pickle.loads(pickle.dumps(m))):  # noqa: S301
        assert isinstance(copy.nn, NetworkBatch)
        assert copy.nn[2].inputs[0] is copy.x[2, 0]
        assert solve(copy).objective == pytest.approx(expected, abs=1e-6)
        assert copy.nn.report() == nn.report()
    for var in m.x.values():
        var.setub(2)
    nn.rebuild()
    assert solve(m).objective <= expected + 1e-9
    assert {b.embedded.region.upper[0] for b in nn.values()} == {2.0}
    with pytest.raises(EmbeddingError, match=r"nn cannot be removed: obj uses nn\[0\].outputs"):
        nn.remove()
    m.obj.deactivate()
    nn[0].remove()
    assert list(nn) == [1, 2]
    nn.initialize()
    assert nn.error() <= 1e-12
    nn.remove()
    assert m.component("nn") is None


def test_stats_of_a_batch(make_net, capsys):
    m = model()
    nn = add_network(m, make_net(2, 4, 1), m.x)
    nn.print_stats()
    printed = capsys.readouterr().out
    assert printed.startswith("network: 3 blocks; 2 inputs, 1 outputs")
    assert "<td>relu0</td>" in nn._repr_html_()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.rename(columns={"sex": "six"}), "columns missing: 'sex'"),
        (lambda f: f.assign(height=1.0), "columns unknown: 'height'"),
        (lambda f: f.set_axis(["a", "a"]), "row label 'a' occurs more than once"),
        (lambda f: f.assign(sex=[1.0, np.nan]), "row 'b', column 'sex' is empty"),
        (lambda f: f.assign(sex=pd.array([1, None], dtype="Int64")), "row 'b', column 'sex' is"),
        (lambda f: f.assign(sex=[1, "male"]), "row 'b': input 2 is a str"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: pd.concat([f, f[["sex"]]], axis=1), "columns given twice: 'sex'"),
    ],
)
def test_bad_frames_are_refused_by_name(make_net, spoil, message):
    m = model()
    before = len(list(m.component_objects()))
    with pytest.raises(EmbeddingError, match=message):
        add_network(m, make_net(3, 4, 1), spoil(frame(m)), columns=["age", "dose", "sex"])
    assert len(list(m.component_objects())) == before


def test_bad_rows_are_named(make_net):
    m = model()
    m.x[1, 1].setub(None)
    with pytest.raises(EmbeddingError, match=r"row 1: input 1 \(x\[1,1\]\) has no finite bounds"):
        add_network(m, make_net(2, 4, 1), m.x)
    m.x[1, 1].setub(1e12)
    with pytest.raises(BoundsError, match=r"row 1: layer 'relu0', neuron 3"):
        add_network(m, make_net(2, 4, 1), m.x)
    with pytest.raises(EmbeddingError, match="takes 2 inputs"):
        add_network(m, make_net(2, 4, 1), [[0, 1], [0, 1, 2]])
    with pytest.raises(EmbeddingError, match="3 names of columns for 2 inputs"):
        add_network(m, make_net(2, 4, 1), m.x, columns="abc")
    with pytest.raises(EmbeddingError, match="not those of one"):
        NetworkBatch(make_net(2, 4, 1), [0, 1])
    with pytest.raises(EmbeddingError, match="expected a constructed"):
        add_network(pyo.AbstractModel(), make_net(2, 4, 1))


def test_tables_need_pandas(make_net, monkeypatch):
    m = model()
    nn = add_network(m, make_net(2, 4, 1), m.x)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="report"):
        nn.frame()
