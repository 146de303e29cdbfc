import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.bounds import compute_bounds
from mipnet.errors import NetworkError
from mipnet.network import Affine, Flatten, Network, Node, ReLU
from mipnet.network.combine import combined, scaled, split
from mipnet.network.layers import Add, Sigmoid
from mipnet.network.rewrite import fold
from mipnet.region import Box

SEEDS = st.integers(0, 2**32 - 1)


def dense(seed, *widths, **options):
    rng = np.random.default_rng(seed)
    layers = []
    for k in range(1, len(widths)):
        layers += [Affine(rng.normal(size=(widths[k], widths[k - 1])), rng.normal(size=widths[k]))]
        layers += [ReLU()]
    return Network.sequential(layers[:-1], **options)


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_scaled_networks_take_and_give_original_units(seed):
    rng = np.random.default_rng(seed)
    net = dense(seed, 3, 5, 2, input_bounds=(-1.0, [1.0, 2.0, 3.0]))
    mean, std = rng.normal(size=3), rng.uniform(0.1, 3.0, size=3) * rng.choice([-1, 1], size=3)
    whole = scaled(net, (mean, std), (4.0, [0.5, -2.0]))
    x = rng.normal(size=(6, 3))
    expected = 4.0 + np.array([0.5, -2.0]) * net((x - mean) / std)
    assert whole(x) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert fold(whole)(x) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    low, high = (np.array(end) for end in whole.input_bounds)
    corners = np.sort((np.array([low, high]) - mean) / std, axis=0)
    assert corners == pytest.approx(np.array([[-1, -1, -1], [1, 2, 3]]), abs=1e-9)
    assert scaled(whole, (0.0, 2.0)).nodes[0].name == "scaled_inputs_"
    assert scaled(net) is net


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((0.0, 0.0), "no factor of zero"),
        ((np.nan, 1.0), "finite"),
        ((np.zeros(2), 1.0), r"fit the shape \(3,\)"),
        ((0.0,), "an offset and a factor"),
        (("a", 1.0), "an offset and a factor"),
    ],
)
def test_bad_scalings(inputs, message):
    with pytest.raises(NetworkError, match=message):
        scaled(dense(0, 3, 4, 2), inputs)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 4))
def test_combined_networks_are_weighted_sums(seed, count):
    rng = np.random.default_rng(seed)
    nets = [dense(seed + k, 3, 4, 2) for k in range(count)]
    weights = rng.normal(size=count)
    x = rng.normal(size=(5, 3))
    expected = sum(w * n(x) for w, n in zip(weights, nets, strict=True))
    assert combined(nets, weights)(x) == pytest.approx(expected, abs=1e-9)
    assert combined(nets)(x) == pytest.approx(np.mean([n(x) for n in nets], axis=0), abs=1e-9)


def test_the_difference_of_equal_networks_is_nearly_nothing():
    """Bounds of the whole see what the parts have in common."""
    net = dense(1, 3, 6, 2)
    twin = net.with_layers({"affine1": Affine(net.nodes[2].layer.weight * 1.01, np.zeros(2))})
    region = Box(-np.ones(3), np.ones(3))
    alone = [compute_bounds(n, region).output for n in (net, twin)]
    apart = (alone[0].upper - alone[1].lower).max()
    whole = compute_bounds(combined((net, twin), (1, -1)), region).output.upper.max()
    assert whole < apart


def test_input_bounds_of_the_parts_are_met():
    nets = [dense(0, 2, 3, 1, input_bounds=(0.0, 2.0)), dense(1, 2, 3, 1), dense(2, 2, 3, 1)]
    nets[2] = nets[2].with_input_bounds(-1.0, 1.0)
    low, high = combined(nets).input_bounds
    assert (low.tolist(), high.tolist()) == ([0, 0], [1, 1])
    nets[2] = nets[2].with_input_bounds(3.0, 4.0)
    with pytest.raises(NetworkError, match="empty"):
        combined(nets)


@pytest.mark.parametrize(
    ("nets", "weights", "message"),
    [
        ([], None, "0 networks"),
        ([dense(0, 2, 1)], (1, 2), "1 networks and 2 weights"),
        ([dense(0, 2, 1), dense(0, 3, 1)], None, "network 1 has input and output shapes"),
        ([dense(0, 2, 1)], (np.inf,), "finite"),
    ],
)
def test_what_cannot_be_combined(nets, weights, message):
    with pytest.raises(NetworkError, match=message):
        combined(nets, weights)


@pytest.mark.parametrize("layer", ["affine0", "affine1", "affine2"])
def test_pieces_make_the_whole(layer):
    net = dense(3, 3, 5, 4, 2)
    before, free, behind = split(net, layer)
    x = np.random.default_rng(0).normal(size=(6, 3))
    h = x if before is None else before(x)
    z = h @ free.weight.T + free.bias
    assert (z if behind is None else behind(z)) == pytest.approx(net(x), abs=1e-12)


def test_layers_that_something_goes_around_are_no_cut():
    rng = np.random.default_rng(0)
    square = Affine(rng.normal(size=(2, 2)), np.zeros(2))
    nodes = (
        Node("first", square, ("input",)),
        Node("sig", Sigmoid(), ("first",)),
        Node("second", square, ("sig",)),
        Node("sum", Add(), ("first", "second")),
        Node("flat", Flatten(), ("sum",)),
        Node("last", square, ("flat",)),
    )
    net = Network(nodes, (2,))
    assert split(net, "last")[2] is None
    assert split(net, "first")[0] is None
    with pytest.raises(NetworkError, match="'sum' goes around 'second'"):
        split(net, "second")
    for name in ("sig", "none"):
        with pytest.raises(NetworkError, match="these are: first, second, last"):
            split(net, name)
