"""Units of a compacted network are found from its weights, and bounded as with the mask."""

import itertools

import numpy as np
import pytest
from graph_cases import masked_graphs
from hypothesis import given, settings
from pruning_cases import masked_networks, mlp

import mipnet
from mipnet.certify import difference_bounds
from mipnet.certify.correspond import corresponding
from mipnet.certify.expand import embedded
from mipnet.certify.joint import side_by_side
from mipnet.network import INPUT, Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import Add, BatchNorm, Concat, Conv, MaxPool, Scale, Softmax
from mipnet.pruning import Mask, apply, compact, prune, units_of
from mipnet.pruning.agreement import sample_inputs
from mipnet.pruning.compact import shrink

RNG = np.random.default_rng(0)


def holds(found, dense, other, lower=-1.0, upper=1.0, points=300):
    """``dense - other`` at random points lies within bounds, up to the rounding of passes."""
    x = np.random.default_rng(1).uniform(lower, upper, (points, *dense.input_shape))
    apart = (dense(x) - other(x)).reshape(points, -1)
    slack = 1e-11 * (1.0 + np.abs(dense(x)).max() + np.abs(other(x)).max())
    assert (apart >= found.lower - slack).all()
    assert (apart <= found.upper + slack).all()
    assert (found.lower >= found.separate_lower).all()
    assert (found.upper <= found.separate_upper).all()


def conv(rng, n_out, n_in, **options):
    size = (n_out, n_in // options.get("groups", 1), 3, 3)
    return Conv(0.3 * rng.normal(size=size), rng.normal(size=n_out), padding=1, **options)


def image(seed=0):
    """Residual and joined branches, a depthwise layer, normalisation and pooling."""
    rng = np.random.default_rng(seed)
    norm = BatchNorm(*(0.5 + rng.random((4, 6))))
    nodes = [
        Node("stem", conv(rng, 6, 2), (INPUT,)),
        Node("norm", norm, ("stem",)),
        Node("relu", ReLU(), ("norm",)),
        Node("one", conv(rng, 8, 6), ("relu",)),
        Node("inner", ReLU(), ("one",)),
        Node("two", conv(rng, 6, 8), ("inner",)),
        Node("sum", Add(), ("relu", "two")),
        Node("last", ReLU(), ("sum",)),
        Node("side", conv(rng, 4, 6), ("last",)),
        Node("joined", Concat(2, 0), ("last", "side")),
        Node("deep", conv(rng, 10, 10, groups=10), ("joined",)),
        Node("pool", MaxPool((2, 2)), ("deep",)),
        Node("flat", Flatten(), ("pool",)),
        Node("hidden", Affine(0.1 * rng.normal(size=(7, 40)), rng.normal(size=7)), ("flat",)),
        Node("top_relu", ReLU(), ("hidden",)),
        Node("top", Affine(rng.normal(size=(2, 7)), np.zeros(2)), ("top_relu",)),
    ]
    return Network(tuple(nodes), (2, 4, 4))


NETS = [mlp(4, 20, 15, 3, seed=5), image()]


@pytest.mark.parametrize("net", NETS, ids=["mlp", "image"])
@pytest.mark.parametrize("compensate", ["none", "mean"])
@pytest.mark.parametrize("keep", [0.9, 0.5])
def test_the_small_network_alone_gives_the_bounds_of_the_mask(net, compensate, keep):
    data = RNG.random((30, *net.input_shape))
    result = prune(net, "magnitude", keep, compensate=compensate, data=data)
    box = (0.3, 0.32)
    wanted, found = (difference_bounds(net, p, box) for p in (result, result.network))
    assert (wanted.units, found.units) == ("mask", "weights")
    assert (found.method, found.to_dict()["units"]) == ("propagation", "weights")
    np.testing.assert_array_equal(found.lower, wanted.lower)
    np.testing.assert_array_equal(found.upper, wanted.upper)
    apart = (found.separate_upper - found.separate_lower).sum()
    assert keep < 0.9 or (found.upper - found.lower).sum() < 0.8 * apart
    holds(found, net, result.network, *box)


@pytest.mark.parametrize(
    ("name", "left"), [("one", "sum"), ("side", None), ("hidden", None), ("stem", None)]
)
def test_emptied_layers_are_embedded(name, left):
    """A branch that vanishes with its sum, one that leaves a shift, a head that is constant."""
    net = image(1)
    mask = Mask.from_kept(net, {name: []})
    small = compact(net, mask)
    assert left is None or isinstance(small.by_name[left].layer, Scale)
    found, same = (
        difference_bounds(net, small, (0.3, 0.4)),
        difference_bounds(net, mask, (0.3, 0.4)),
    )
    assert (found.method, found.units) == ("propagation", "weights")
    holds(found, net, small, 0.3, 0.4)
    # Folded biases are rounded, where the masked network has the constants themselves.
    np.testing.assert_allclose(found.lower, same.lower, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.upper, same.upper, rtol=1e-6, atol=1e-9)


def test_a_branch_that_adds_nothing_is_embedded_without_its_sum():
    net = image(2)
    quiet = net.with_layers({"two": Conv(net.by_name["two"].layer.weight, np.zeros(6), padding=1)})
    mask = Mask.from_kept(quiet, {"one": []})
    small = compact(quiet, mask)
    assert "sum" not in small.by_name
    found, same = (difference_bounds(quiet, p, (0.3, 0.4)) for p in (small, mask))
    assert found.units == "weights"
    np.testing.assert_allclose(found.lower, same.lower, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.upper, same.upper, rtol=1e-6, atol=1e-9)
    holds(found, quiet, small, 0.3, 0.4)


@settings(deadline=None, max_examples=60)
@given(masked_networks())
def test_bounds_hold_for_compacted_chains(case):
    network, mask = case
    small = compact(network, mask)
    holds(difference_bounds(network, small, (-1.0, 1.0)), network, small)


@settings(deadline=None, max_examples=60)
@given(masked_graphs())
def test_bounds_hold_for_compacted_graphs(case):
    network, mask = case
    small = compact(network, mask)
    holds(difference_bounds(network, small, (-1.0, 1.0)), network, small)


@settings(deadline=None, max_examples=60)
@given(masked_graphs())
def test_what_was_shrunk_is_embedded_without_a_change(case):
    network, mask = case
    masked = apply(network, mask)
    found = shrink(masked)
    whole = embedded(masked, found.network, found.kept)
    assert whole is not None
    x = np.rint(3.0 * sample_inputs(network, 20))
    np.testing.assert_array_equal(whole(x), found.network(x))


def test_fine_tuned_parts_are_paired_with_the_nearest():
    result = prune(NETS[0], "magnitude", 0.6)
    layers = {}
    for node in result.network.nodes:
        if isinstance(node.layer, Affine):
            weight = node.layer.weight + 1e-3 * RNG.normal(size=node.layer.weight.shape)
            layers[node.name] = Affine(weight, node.layer.bias)
    tuned = result.network.with_layers(layers)
    box = (-0.05, 0.05)
    found, exact = (difference_bounds(NETS[0], n, box) for n in (tuned, result.network))
    assert (found.units, found.method) == ("nearest", "propagation")
    np.testing.assert_allclose(found.upper, exact.upper, atol=0.1)
    holds(found, NETS[0], tuned, *box)


def test_networks_that_came_back_from_a_file_are_paired(tmp_path):
    pytest.importorskip("onnx")
    result = prune(NETS[0], "magnitude", 0.6)
    again = mipnet.load(
        mipnet.save(result.network, tmp_path / "small.onnx") or tmp_path / "small.onnx"
    )
    names = [f"other{k}" for k in range(len(again.nodes))]
    renamed = Network.sequential([n.layer for n in again.nodes], 4, names=names)
    for small in (again, renamed):
        found = difference_bounds(NETS[0], small, (-0.1, 0.1))
        assert found.units == "weights"
        holds(found, NETS[0], small, -0.1, 0.1)


def test_strangers_are_bounded_each_by_itself_and_it_is_said():
    net = NETS[0]
    deeper = mlp(4, 9, 8, 7, 3)
    found = difference_bounds(net, deeper, (-1.0, 1.0))
    assert (found.method, found.units) == ("separate", "none")
    holds(found, net, deeper)
    for other in (mlp(4, 30, 15, 3), mlp(4, 20, 16, 3)):  # wider than the dense one
        found = difference_bounds(net, other, (-1.0, 1.0))
        assert found.units == "none"
        holds(found, net, other)
    # Of another origin, of smaller layers: nearest weights are no proof, and none is needed.
    other = mlp(4, 12, 7, 3, seed=9)
    found = difference_bounds(net, other, (-1.0, 1.0))
    assert found.units == "nearest"
    holds(found, net, other)


def test_parts_of_another_make_are_refused():
    """Kernels, strides, paddings, slopes and functions that are not those of the large network."""
    net = image(3)
    small = prune(net, "magnitude", 0.8).network
    stem, side = small.by_name["stem"].layer, small.by_name["side"].layer
    changes = [
        {"stem": Conv(stem.weight[..., 1:2, 1:2], stem.bias)},
        {"side": Conv(side.weight, side.bias, padding=2, dilation=2)},
        {"pool": MaxPool((2, 2), stride=2, padding=0, dilation=1, ceil=True)},
        {"last": mipnet.network.layers.Tanh()},
        {"relu": mipnet.network.layers.Clip(0.0, 1.0)},
    ]
    for change in changes:
        other = small.with_layers(change)
        found = difference_bounds(net, other, (0.0, 1.0))
        assert found.units == "none", change
        holds(found, net, other, 0.0, 1.0)
    norm = small.by_name["norm"].layer
    moved = BatchNorm(norm.weight, norm.bias, norm.mean + 0.5, norm.variance, norm.epsilon)
    other = small.with_layers({"norm": moved})
    found = difference_bounds(net, other, (0.0, 1.0))
    assert found.method == "propagation"
    holds(found, net, other, 0.0, 1.0)


def test_wrong_elements_are_never_embedded():
    """Whatever elements are claimed, what comes back is the small network's function."""
    for net in NETS:
        small = prune(net, "magnitude", 0.6).network
        units = units_of(net)
        found = corresponding(net, small)
        assert found is not None
        assert found.exact
        x = RNG.uniform(size=(20, *net.input_shape))
        np.testing.assert_allclose(found.whole(x), small(x), rtol=1e-10, atol=1e-10)
        right = 0
        for seed in range(40):
            on = np.append(np.random.default_rng(seed).random(units.count) < 0.6, True)
            kept = {n: on[units.elements[n]].reshape(-1) for n in (INPUT, *net.by_name)}
            whole = embedded(net, small, kept)
            if whole is not None:
                right += 1
                np.testing.assert_allclose(whole(x), small(x), rtol=1e-10, atol=1e-10)
        assert right < 40


def test_layers_that_need_all_inputs_are_embedded():
    rng = np.random.default_rng(4)
    layers = [Affine(rng.normal(size=(6, 3)), rng.normal(size=6)), ReLU(),
              Affine(rng.normal(size=(4, 6)), rng.normal(size=4)), Softmax()]  # fmt: skip
    net = Network.sequential(layers)
    small = prune(net, "magnitude", 0.5).network
    found = difference_bounds(net, small, (-0.1, 0.1))
    assert found.units == "weights"
    holds(found, net, small, -0.1, 0.1)


def test_several_terms_and_a_shift_are_embedded():
    rng = np.random.default_rng(6)
    nodes = [
        *(Node("stem", conv(rng, 5, 2), (INPUT,)), Node("relu", ReLU(), ("stem",))),
        *(Node("one", conv(rng, 5, 5), ("relu",)), Node("inner", ReLU(), ("one",))),
        *(Node("two", conv(rng, 5, 5), ("inner",)), Node("side", conv(rng, 5, 5), ("relu",))),
        Node("sum", Add((1.0, -2.0, 0.5)), ("relu", "two", "side")),
        *(Node("last", ReLU(), ("sum",)), Node("flat", Flatten(), ("last",))),
        Node("top", Affine(rng.normal(size=(2, 80)), np.zeros(2)), ("flat",)),
    ]
    net = Network(tuple(nodes), (2, 4, 4))
    mask = Mask.from_kept(net, {"one": [], "stem": [0, 2, 3]})
    small = compact(net, mask)
    assert "sum_terms" in small.by_name
    found, same = (difference_bounds(net, p, (0.3, 0.4)) for p in (small, mask))
    assert found.units == "weights"
    np.testing.assert_allclose(found.lower, same.lower, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.upper, same.upper, rtol=1e-6, atol=1e-9)
    holds(found, net, small, 0.3, 0.4)


@pytest.mark.parametrize("gone", [{"inner": [0, 2]}, {"inner": []}, {"stem": [1], "inner": [1, 2]}])
def test_the_ends_that_programs_find_lie_within_and_are_met(gone):
    """A tiny residual network: branch and bound, with points that are replayed."""
    rng = np.random.default_rng(11)
    nodes = (
        Node("stem", Affine(rng.normal(size=(3, 2)), rng.normal(size=3)), (INPUT,)),
        Node("relu", ReLU(), ("stem",)),
        Node("inner", Affine(rng.normal(size=(4, 3)), rng.normal(size=4)), ("relu",)),
        Node("inner_relu", ReLU(), ("inner",)),
        Node("back", Affine(rng.normal(size=(3, 4)), rng.normal(size=3)), ("inner_relu",)),
        Node("sum", Add(), ("relu", "back")),
        Node("last", ReLU(), ("sum",)),
        Node("top", Affine(rng.normal(size=(2, 3)), rng.normal(size=2)), ("last",)),
    )
    net = Network(nodes, (2,))
    small = compact(net, Mask.from_kept(net, gone))
    box = mipnet.Box(-np.ones(2), np.ones(2))
    found = difference_bounds(net, small, box)
    closed = difference_bounds(net, small, box, refinement="mip", time_limit=60)
    assert (found.units, closed.method, closed.units) == ("weights", "mip", "weights")
    joint = side_by_side(small, net)  # net(x) - small(x)
    for k, sign in itertools.product(range(2), (1.0, -1.0)):
        objective = sign * np.eye(2)[k]
        best = mipnet.minimize(joint, objective, box)
        apart = sign * (net(best.point) - small(best.point))[k]
        ends = [sign * end[k] for end in ((found.lower, closed.lower) if sign > 0.0 else
                                          (found.upper, closed.upper))]  # fmt: skip
        assert ends[0] <= ends[1] <= apart + 1e-9
        assert apart - ends[1] <= 1e-3
