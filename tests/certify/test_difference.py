from fractions import Fraction

import numpy as np
import pytest
from graph_cases import masked_graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_cases import masked_networks, mlp

from mipnet.certify import difference_bounds
from mipnet.certify.joint import node_by_node, side_by_side
from mipnet.certify.relu_difference import ReluDifference
from mipnet.errors import QueryError, RegionError
from mipnet.network import INPUT, Affine, Flatten, Interval, Network, Node, ReLU
from mipnet.network.layers import Add, BatchNorm, Conv, Scale
from mipnet.pruning import Mask, apply, finetune, prune
from mipnet.region import LinfBall

RNG = np.random.default_rng(0)


def scaled(net, factor=1.0):
    layers = {
        n.name: Affine(n.layer.weight / np.sqrt(n.layer.weight.shape[1]), factor * n.layer.bias)
        for n in net.nodes
        if n.layer.parameters
    }
    return net.with_layers(layers).with_input_bounds(np.zeros(net.n_inputs), np.ones(net.n_inputs))


NET = scaled(mlp(6, 20, 20, 3), 0.1)


def inside(found, dense, pruned, lower, upper):
    """Differences at random points, less than the rounding of forward passes outside."""
    shape = (300, *dense.input_shape)
    x = np.random.default_rng(1).uniform(lower, upper, shape)
    x[0], x[1] = lower, upper
    apart = (dense(x) - pruned(x)).reshape(len(x), -1)
    slack = 1e-11 * (1.0 + np.abs(dense(x)).max())
    assert (apart >= found.lower - slack).all()
    assert (apart <= found.upper + slack).all()


@settings(deadline=None, max_examples=40)
@given(masked_networks())
def test_bounds_hold_for_chains(case):
    network, mask = case
    box = (-1.0, 2.0)
    found = difference_bounds(network, mask, box)
    inside(found, network, apply(network, mask), *box)
    assert (found.lower >= found.separate_lower).all()
    assert (found.upper <= found.separate_upper).all()


@settings(deadline=None, max_examples=40)
@given(masked_graphs())
def test_bounds_hold_for_graphs_of_every_layer(case):
    network, mask = case
    found = difference_bounds(network, mask, (-1.0, 1.0))
    inside(found, network, apply(network, mask), -1.0, 1.0)


@pytest.mark.parametrize("keep", [0.95, 0.8, 0.5])
def test_propagation_is_tighter_than_bounding_each_network(keep):
    result = prune(NET, "magnitude", keep)
    found = difference_bounds(NET, result, LinfBall(np.full(6, 0.2), 0.1, np.zeros(6), np.ones(6)))
    assert found.method == "propagation"
    inside(found, NET, result.network, 0.1, 0.3)
    width = (found.upper - found.lower).sum()
    separate = (found.separate_upper - found.separate_lower).sum()
    assert width < 0.7 * separate


def test_a_compacted_network_is_compared_by_its_own_weights():
    result = prune(NET, "random", 0.5, compensate="mean", data=RNG.random((20, 6)))
    found = difference_bounds(NET, result)
    assert found.method == "propagation"
    inside(found, NET, result.network, 0.0, 1.0)
    assert found.units == "mask"
    gone = prune(NET, "magnitude", 0.0)
    inside(difference_bounds(NET, gone), NET, gone.network, 0.0, 1.0)


def test_equal_networks_do_not_differ():
    found = difference_bounds(NET, NET)
    assert (found.method, found.largest) == ("equal", 0.0)


def test_programs_close_what_propagation_leaves():
    net = scaled(mlp(2, 5, 4, 1, seed=3))
    result = prune(net, "magnitude", 0.6)
    first = difference_bounds(net, result)
    exact = difference_bounds(net, result, refinement="mip", time_limit=60)
    assert exact.method == "mip"
    assert (exact.lower >= first.lower).all()
    assert (exact.upper <= first.upper).all()
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 201)] * 2), axis=-1).reshape(-1, 2)
    apart = net(grid) - result.network(grid)
    assert exact.lower[0] <= apart.min() + 1e-12
    assert exact.upper[0] >= apart.max() - 1e-12
    np.testing.assert_allclose(
        [exact.lower[0], exact.upper[0]], [apart.min(), apart.max()], atol=1e-2
    )


def test_fine_tuned_networks_are_compared_too():
    pytest.importorskip("torch")
    result = prune(NET, "magnitude", 0.7)
    x = RNG.random((60, 6))
    tuned = finetune(result.masked, x, NET(x), epochs=1, mask=result.mask, lr=1e-4)
    found = difference_bounds(NET, tuned)
    inside(found, NET, tuned, 0.0, 1.0)


spans = st.tuples(st.integers(-4, 4), st.integers(0, 4))


@settings(deadline=None, max_examples=200)
@given(spans, spans, st.floats(0, 1), st.floats(0, 1))
def test_the_lines_of_a_rectifier_hold_every_pair(d, y, at, where):
    layer = ReluDifference()
    (dl, dw), (yl, yw) = d, y
    box = [Interval(np.array([[float(a)]]), np.array([[float(a + w)]])) for a, w in (d, y)]
    after = Interval(box[0].lower + box[1].lower, box[0].upper + box[1].upper)
    delta, before = dl + at * dw, yl + where * yw
    value = max(before + delta, 0.0) - max(before, 0.0)
    found = layer.interval(*box, after)
    assert found.lower[0, 0] - 1e-12 <= value <= found.upper[0, 0] + 1e-12
    rise, above, _, fall, below, *_ = (a[0, 0] for a in layer.relax(*box, after))
    assert fall * delta + below <= value + 1e-12
    assert rise * delta + above >= value - 1e-12


def test_the_joint_graph_computes_the_difference():
    result = prune(NET, "random", 0.5)
    x = RNG.random((10, 6))
    wanted = result.masked(x) - NET(x)
    for joint in (node_by_node(NET, result.masked), side_by_side(NET, result.masked)):
        np.testing.assert_allclose(joint(x), wanted, rtol=1e-12, atol=1e-12)


def test_questions_that_do_not_fit_are_refused():
    with pytest.raises(QueryError, match="there is no difference"):
        difference_bounds(NET, mlp(6, 4, 2))
    with pytest.raises(QueryError, match="unknown refinement 'lp'"):
        difference_bounds(NET, NET, refinement="lp")
    with pytest.raises(RegionError, match="5 and 5 values for 6 inputs"):
        difference_bounds(NET, NET, (np.zeros(5), np.ones(5)))
    bare = Network.sequential([Affine(np.eye(2), [0, 0]), ReLU()])
    with pytest.raises(ValueError, match="no input bounds"):
        difference_bounds(bare, Mask.from_kept(bare, {}))


def test_normalisation_and_convolution_are_compared_by_their_own_weights():
    rng = np.random.default_rng(5)
    net = Network.sequential(
        [
            Conv(rng.normal(size=(6, 2, 3, 3)), rng.normal(size=6), padding=1),
            BatchNorm(rng.normal(size=6), rng.normal(size=6), rng.normal(size=6), np.ones(6)),
            Scale(rng.normal(size=(6, 1, 1)), rng.normal(size=(6, 1, 1))),
            ReLU(),
            Conv(rng.normal(size=(4, 6, 3, 3)), rng.normal(size=4)),
            Flatten(),
            Affine(rng.normal(size=(2, 16)), np.zeros(2)),
        ],
        (2, 4, 4),
    )
    result = prune(net, "magnitude", 0.7, compensate="mean", data=rng.random((9, 2, 4, 4)))
    found = difference_bounds(net, result, (0.4, 0.6))
    assert found.method == "propagation"
    inside(found, net, result.network, 0.4, 0.6)
    assert found.largest < max(np.abs(found.separate_lower).max(), found.separate_upper.max())


def test_bounds_are_of_the_dense_network_minus_the_pruned_one():
    dense, pruned = (Network.sequential([Affine([[1.0]], [b])]) for b in (3.0, 1.0))
    for refinement in ("none", "mip"):
        found = difference_bounds(dense, pruned, (0.0, 1.0), refinement=refinement)
        np.testing.assert_allclose([found.lower[0], found.upper[0]], 2.0, atol=1e-6)
        assert found.separate_lower[0] == pytest.approx(1.0)
        assert found.separate_upper[0] == pytest.approx(3.0)


@settings(deadline=None, max_examples=100)
@given(*[st.floats(-10, 10) for _ in range(2)], st.integers(-60, 0), st.sampled_from([0, 1, 2]))
def test_differences_of_biases_that_round_are_not_lost(one, two, scale, kind):
    two = two * 2.0**scale
    layers = {
        0: lambda b: [Affine([[1.0]], [b])],
        1: lambda b: [Scale(1.0, [b]), ReLU(), Affine([[1.0]], [0.0])],
        2: lambda b: [Affine([[0.0]], [b]), ReLU()],
    }[kind]
    found = difference_bounds(*(Network.sequential(layers(b), 1) for b in (one, two)), (30.0, 31.0))
    exact = Fraction(one) - Fraction(two)
    if kind == 2:
        exact = max(Fraction(one), Fraction(0)) - max(Fraction(two), Fraction(0))
    assert Fraction(float(found.lower[0])) <= exact <= Fraction(float(found.upper[0]))
    assert found.upper[0] - found.lower[0] <= 1e-13


def test_sums_with_other_factors_share_their_terms():
    rng = np.random.default_rng(8)
    nodes = [Node(n, Affine(rng.normal(size=(4, 3)), rng.normal(size=4)), (INPUT,)) for n in "ab"]
    nodes += [Node(f"relu_{n}", ReLU(), (n,)) for n in "ab"]
    ends = [Node("out", Affine(rng.normal(size=(2, 4)), np.zeros(2)), ("sum",))]
    dense, other = (
        Network((*nodes, Node("sum", Add(s), ("relu_a", "relu_b")), *ends), (3,))
        for s in ((1.0, 1.0), (1.0, 0.99))
    )
    found = difference_bounds(dense, other, (-1.0, 1.0))
    inside(found, dense, other, -1.0, 1.0)
    assert found.largest < 0.02 * max(
        np.abs(found.separate_lower).max(), found.separate_upper.max()
    )
