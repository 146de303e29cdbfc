"""Layers that are only held within a band, and relaxations: honest values, valid bounds."""

import numpy as np
import pyomo.environ as pyo
import pytest

from mipnet.embedding import NetworkBlock, solve
from mipnet.errors import MipnetWarning, QueryError
from mipnet.network import Network
from mipnet.network.layers import GELU, Affine, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from mipnet.solver import Status

SMOOTH = [Sigmoid(0.02), Tanh(0.02), Softplus(0.02), GELU(0.02), SiLU(0.02)]


def net_with(layer, seed=0, tail=()):
    rng = np.random.default_rng(seed)
    first, last = rng.normal(size=(4, 2)), rng.normal(size=(2, 4))
    return Network.sequential(
        [Affine(first, 0.3 * rng.normal(size=4)), layer, Affine(last, np.zeros(2)), *tail]
    )


def model_with(net, sense=pyo.maximize, **options):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.nn = NetworkBlock(net, m.x, **options)
    m.obj = pyo.Objective(expr=m.nn.outputs[0], sense=sense)
    return m


@pytest.mark.filterwarnings("default::mipnet.errors.MipnetWarning")
@pytest.mark.parametrize("layer", SMOOTH, ids=lambda layer: layer.kind)
def test_value_is_the_networks_and_the_bound_holds(layer):
    net = net_with(layer)
    m = model_with(net)
    with pytest.warns(MipnetWarning, match="apart: held within a band wider than the gap"):
        result = solve(m)
    assert result.status is Status.OPTIMAL
    assert result.bands == {f"nn.{layer.kind.lower()}0": 0.02}
    assert (result.band, m.nn.report().band) == (0.02, 0.02)
    assert result.replay_error <= 1e-9
    assert pyo.value(m.obj) == pytest.approx(result.objective, abs=1e-12)
    samples = net(np.random.default_rng(1).uniform(-1, 1, size=(4000, 2)))[:, 0]
    assert samples.max() <= result.bound + 1e-9
    assert result.bound - result.objective <= 0.02 * np.abs(net.nodes[2].layer.weight[0]).sum()
    assert result.objective >= samples.max() - 0.02 * np.abs(net.nodes[2].layer.weight[0]).sum()
    assert str(result.band) in m.nn.report()._repr_html_()


@pytest.mark.filterwarnings("default::mipnet.errors.MipnetWarning")
def test_a_band_is_said_only_where_it_matters():
    m = model_with(net_with(Sigmoid(0.02)))
    assert solve(m, gap=0.5).warnings == ()
    (said,) = solve(m, gap=1e-6).warnings
    assert "nn.sigmoid0 (0.02)" in said
    exact = model_with(net_with(ReLU()))
    assert solve(exact).warnings == ()
    assert solve(exact).bands == {}
    m.obj.deactivate()
    assert solve(m).warnings == ()


@pytest.mark.filterwarnings("default::mipnet.errors.MipnetWarning")
def test_the_users_own_variables_follow_the_honest_point():
    m = model_with(net_with(Tanh(0.05)))
    m.y, m.t = pyo.Var(), pyo.Var()
    m.tie = pyo.Constraint(expr=m.y == m.nn.outputs[0] + m.x[0])
    m.cap = pyo.Constraint(expr=m.t <= m.y)
    m.obj.set_value(m.t)
    result = solve(m)
    assert result.replay_error <= 1e-9
    assert result.violation <= 1e-6
    x = [v.value for v in m.x.values()]
    assert result.objective == pytest.approx(m.nn.network(x)[0] + x[0], abs=1e-6)
    assert result.bound >= result.objective


@pytest.mark.filterwarnings("default::mipnet.errors.MipnetWarning")
def test_constraints_that_only_the_band_meets_are_said():
    """At the optimum of an output that is held at its largest value there is no honest point."""
    net = net_with(Sigmoid(0.1))
    m = model_with(net)
    highest = solve(m)
    m.least = pyo.Constraint(expr=m.nn.outputs[0] >= 0.5 * (highest.objective + highest.bound))
    with pytest.warns(MipnetWarning, match=r"away from what the network gives \(held within bands"):
        result = solve(m)
    assert result.replay_error > 1e-4
    assert result.bound >= highest.objective


def test_softmax_heads_need_no_band(recwarn):
    net = net_with(ReLU(), tail=(Softmax(error=0.05),))
    m = model_with(net, top_k=1)
    assert solve(m).bands == {}
    assert not recwarn
    plain = model_with(net)
    with pytest.warns(MipnetWarning, match="softmax0"):
        result = solve(plain)
    best = net(np.random.default_rng(1).uniform(-1, 1, size=(4000, 2)))[:, 0].max()
    assert best <= result.bound + 1e-9
    assert result.replay_error <= 1e-9


@pytest.mark.filterwarnings("default::mipnet.errors.MipnetWarning")
def test_relaxations_give_bounds():
    rng = np.random.default_rng(3)
    net = net_with(ReLU(), seed=3).then(ReLU(), "relu1")
    net = net.then(Affine(rng.normal(size=(1, 2)), np.zeros(1)), "affine2")
    with pytest.raises(QueryError, match="relaxation"):
        model_with(net, formulation="triangle")
    m = model_with(net, formulation="triangle", relaxed=True)
    assert "a relaxation" in str(m.nn.report())
    with pytest.warns(MipnetWarning, match="nn is only relaxed, so that this is a bound"):
        result = solve(m)
    assert result.binaries == 0
    exact = solve(model_with(net)).objective
    assert result.objective - 1e-9 <= exact <= result.bound + 1e-9
    assert result.replay_error <= 1e-9


def test_convex_use_of_a_relaxation_is_exact():
    """Minimising a sum of ReLUs: the relaxation is the network, and the answer says so."""
    net = Network.sequential(
        [Affine(np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([-0.5, 0.25])), ReLU()]
    )
    m = model_with(net, formulation="triangle", relaxed=True)
    m.obj.set_value(m.nn.outputs[0] + 2 * m.nn.outputs[1] - m.x[0])
    m.obj.sense = pyo.minimize
    with pytest.warns(MipnetWarning, match="0 apart"):
        result = solve(m)
    assert result.gap <= 1e-9
    assert m.nn.error() <= 1e-9
