import numpy as np
import pyomo.environ as pyo
import pytest

from mipnet.embedding import add_ensemble, solve
from mipnet.errors import EmbeddingError
from mipnet.network import combined


def model():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    return m


def test_the_mean_is_that_of_the_combined_network(make_net):
    nets = [make_net(2, 4, 2, seed=s) for s in range(3)]
    m = model()
    both = add_ensemble(m, nets, m.x)
    m.obj = pyo.Objective(expr=both.mean[1])
    found = solve(m)
    assert len(found.replay_errors) == 3
    x = [v.value for v in m.x.values()]
    assert combined(nets)(x)[1] == pytest.approx(found.objective, abs=1e-6)
    assert [c.name for c in m.component_objects(pyo.Block, descend_into=False)] == ["ensemble"]
    second = add_ensemble(m, nets, m.x)
    assert second.parent_block() is m
    assert second.name != "ensemble"


@pytest.mark.parametrize(("share", "allowed"), [(0.0, 0), (0.25, 1), (0.3, 1), (0.5, 2)])
@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_some_may_predict_otherwise(make_net, share, allowed, sense):
    nets = [make_net(2, 5, 1, seed=s) for s in range(4)]
    points = np.random.default_rng(0).uniform(-1, 1, size=(4000, 2))
    values = np.column_stack([net(points)[:, 0] for net in nets])
    limit = float(np.median(values))
    m = model()
    limits = {"upper": limit} if sense == pyo.maximize else {"lower": limit}
    block = add_ensemble(m, nets, [m.x[0], m.x[1]], violations=share, **limits)
    m.obj = pyo.Objective(expr=m.x[0] - m.x[1], sense=sense)
    result = solve(m)
    over = values > limit if sense == pyo.maximize else values < limit
    kept = points[over.sum(axis=1) <= allowed] @ [1.0, -1.0]
    best = kept.max() if sense == pyo.maximize else kept.min()
    sign = 1.0 if sense == pyo.maximize else -1.0
    assert sign * result.objective >= sign * best - 1e-6
    outputs = [member.outputs[0].value for member in block.members.values()]
    beyond = [o > limit + 1e-6 if sense == pyo.maximize else o < limit - 1e-6 for o in outputs]
    assert sum(beyond) <= allowed
    assert result.replay_error <= 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"networks": []}, r"found: \[\]"),
        ({"violations": 1.0}, "given: 1.0"),
        ({"violations": float("nan")}, "given: nan"),
        ({"output": 1}, "given: 1"),
    ],
)
def test_bad_ensembles(make_net, change, message):
    m = model()
    given = {"networks": [make_net(2, 3, 1)], "inputs": m.x, "lower": 0.0} | change
    with pytest.raises(EmbeddingError, match=message):
        add_ensemble(m, given.pop("networks"), given.pop("inputs"), **given)
    assert not list(m.component_objects(pyo.Block))
    with pytest.raises(EmbeddingError, match=r"found: \[1, 2\]"):
        add_ensemble(m, [make_net(2, 3, 1), make_net(2, 3, 2)], m.x)
