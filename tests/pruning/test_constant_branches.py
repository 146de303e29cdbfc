"""Sums one of whose terms never changes: the term goes, what it adds joins a neighbour."""

import numpy as np
import pytest
from graph_cases import batch_norm, conv, graphs, integers
from hypothesis import given, settings

from mipnet.network import INPUT, Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import Add, Scale
from mipnet.pruning import Mask, apply, compact, prunable_layers

RNG = np.random.default_rng(0)


def residual(scales=(1.0, 1.0), shift=(1.0, -2.0, 3.0), front="relu", behind="flat"):
    """``front`` plus a branch of two convolutions, read by ``behind``."""
    rng = np.random.default_rng(1)
    last = conv(rng, 3, 3)
    nodes = [
        Node("stem", conv(rng, 3, 1), (INPUT,)),
        Node("relu", ReLU(), ("stem",)),
        Node("one", conv(rng, 3, 3), ("relu",)),
        Node("inner", ReLU(), ("one",)),
        Node("two", type(last)(last.weight, np.array(shift), padding=1), ("inner",)),
    ]
    before = "relu"
    if front != "relu":
        layer = conv(rng, 3, 3) if front == "conv" else batch_norm(rng, 3)
        nodes.append(Node("side", layer, ("relu",)))
        before = "side"
    nodes.append(Node("sum", Add(scales), (before, "two")))
    at = "sum"
    if behind == "relu":
        nodes.append(Node("last", ReLU(), ("sum",)))
        at = "last"
    nodes += [
        Node("flat", Flatten(), (at,)),
        Node("top", Affine(integers(rng, 2, 48), integers(rng, 2)), ("flat",)),
    ]
    return Network(tuple(nodes), (1, 4, 4))


def shrunk(network, kept):
    """Compacted network, which is equal to the masked one on integers."""
    mask = Mask.from_kept(network, kept)
    small = compact(network, mask)
    x = RNG.integers(-3, 4, (40, *network.input_shape)).astype(float)
    np.testing.assert_array_equal(small(x), apply(network, mask)(x))
    return small


@pytest.mark.parametrize("behind", ["flat", "relu"])
@pytest.mark.parametrize("front", ["relu", "conv", "norm"])
def test_an_emptied_branch_that_adds_nothing_leaves_no_sum(front, behind):
    network = residual(shift=(0.0, 0.0, 0.0), front=front, behind=behind)
    small = shrunk(network, {"one": []})
    gone = {"one", "inner", "two", "sum"}
    assert [n.name for n in small.nodes] == [n.name for n in network.nodes if n.name not in gone]


@pytest.mark.parametrize("scales", [(1.0, 1.0), (1.0, -1.0), (2.0, 0.5)])
@pytest.mark.parametrize(
    ("front", "behind", "left"),
    [
        ("relu", "flat", []),  # the shift joins the bias of the last layer
        ("conv", "relu", []),  # that of the convolution in front
        ("norm", "relu", []),  # that of the normalisation in front
        ("relu", "relu", ["sum"]),  # nobody can take it
    ],
)
def test_what_an_emptied_branch_adds_joins_a_neighbour(scales, front, behind, left):
    network = residual(scales, front=front, behind=behind)
    small = shrunk(network, {"one": []})
    kinds = {n.layer.kind for n in small.nodes}
    assert kinds <= {"Conv", "ReLU", "BatchNorm", "Scale", "Flatten", "Affine"}
    kept = [n.name for n in network.nodes if n.name not in {"one", "inner", "two", "sum"}]
    assert [n.name for n in small.nodes if n.name != "sum"] == kept
    if front != "norm" or scales[0] == 1.0:
        assert [n.name for n in small.nodes if isinstance(n.layer, Scale)] == left
    if left:
        assert small.by_name["sum"].layer.parameters[1].shape == (3, 1, 1)


def test_a_shift_differs_from_place_to_place_behind_a_rim():
    network = residual()
    weight, _ = network.by_name["one"].layer.parameters
    first = type(network.by_name["one"].layer)(0.0 * weight, np.ones(3), padding=1)
    network = network.with_layers({"one": first})
    small = compact(network)
    assert [n.name for n in small.nodes] == ["stem", "relu", "flat", "top"]
    x = RNG.integers(-3, 4, (40, 1, 4, 4)).astype(float)
    np.testing.assert_array_equal(small(x), network(x))


def test_sums_of_several_terms_and_sums_at_the_output():
    rng = np.random.default_rng(3)

    def affine(n_out, n_in):
        return Affine(integers(rng, n_out, n_in), rng.integers(1, 4, n_out))

    nodes = [Node(name, affine(4, 3), (INPUT,)) for name in ("a", "b", "c")]
    nodes += [Node(f"relu_{n}", ReLU(), (n,)) for n in ("a", "b")]
    nodes.append(Node("flat", Affine(np.zeros((4, 4)), np.ones(4)), ("relu_a",)))
    nodes.append(Node("sum", Add((1.0, 2.0, 3.0)), ("relu_b", "flat", "c")))
    nodes.append(Node("relu", ReLU(), ("sum",)))
    nodes.append(Node("out", affine(2, 4), ("relu",)))
    nodes.append(Node("other", affine(2, 4), ("relu_a",)))
    nodes.append(Node("end", Add((1.0, -1.0)), ("out", "other")))
    network = Network(tuple(nodes), (3,))
    small = shrunk(network, {})
    assert [n.name for n in small.nodes if isinstance(n.layer, Add | Scale)] == [
        *("sum_terms", "sum", "end")
    ]
    small = shrunk(network, {"a": []})
    assert small.output == "end"
    assert isinstance(small.by_name["end"].layer, Scale)
    assert "other" not in small.by_name


@settings(deadline=None, max_examples=80)
@given(graphs())
def test_emptied_graphs_are_the_masked_ones(network):
    for name in prunable_layers(network):
        small = shrunk(network, {name: []})
        assert small.output == network.output
        again = compact(small)
        assert again.n_parameters <= small.n_parameters
