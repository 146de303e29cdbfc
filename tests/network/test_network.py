"""The immutable network: evaluation, wiring, shapes, bounds, and refusal of malformed input."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mipnet.errors import MipnetError, NetworkError
from mipnet.network import Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import Conv
from tests import oracle
from tests.core_cases import chain, dense

SEEDS = st.integers(0, 2**32 - 1)


def pair() -> Network:
    return Network.sequential(
        [Affine([[1.0, 2.0], [0.0, -1.0]], [0.5, 0.0]), ReLU(), Affine([[1.0, 3.0]], [-1.0])]
    )


@given(SEEDS)
def test_forward_equals_plain_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = dense(rng)
    x = rng.normal(size=(5, case.lower.size))
    expected = np.array([oracle.forward(case.weights, case.biases, p) for p in x])
    assert case.network(x) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert case.network(x[0]) == pytest.approx(expected[0], rel=1e-12, abs=1e-12)


@given(SEEDS)
def test_gradient_matches_differences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = dense(rng)
    network = case.network
    x = rng.normal(size=(1, case.lower.size))
    seeds = rng.normal(size=(1, network.n_outputs))
    gradient = network.gradient(x, seeds)
    step = 1e-6 * np.eye(x.size)
    kinks = [
        np.abs(np.array(t, dtype=float)).min()
        for t in oracle.exact_trace(case.weights, case.biases, x[0])[:-1]
    ]
    if min(kinks) > 1e-4:
        difference = (network(x + step) - network(x - step)) @ seeds[0] / 2e-6
        assert gradient[0] == pytest.approx(difference, rel=1e-5, abs=1e-5)


def test_shapes_names_and_counts() -> None:
    layers = [Flatten(), Affine(np.ones((3, 8)), np.zeros(3)), ReLU(), Affine([[1, 1, 1]], [0])]
    network = Network.sequential(layers, (2, 2, 2))
    assert [n.name for n in network.nodes] == ["flatten0", "affine0", "relu0", "affine1"]
    assert network.shapes == {
        "input": (2, 2, 2), "flatten0": (8,), "affine0": (3,), "relu0": (3,), "affine1": (1,)
    }  # fmt: skip
    assert (network.n_inputs, network.n_outputs, network.n_parameters) == (8, 1, 31)
    x = np.arange(8.0)
    assert network(x) == network(x.reshape(2, 2, 2)) == 84.0
    assert network(np.stack([x, x]).reshape(2, 2, 2, 2)).shape == (2, 1)
    assert network.output == "affine1"


def test_a_node_may_be_read_twice() -> None:
    """A graph is no chain: two branches over one node, the last one is the output."""
    nodes = (
        Node("a", Affine([[1.0]], [0.0]), ("input",)),
        Node("unused", ReLU(), ("a",)),
        Node("b", Affine([[-2.0]], [1.0]), ("a",)),
    )
    network = Network(nodes, (1,))
    assert network([3.0]) == -5.0
    assert network.gradient(np.array([[3.0]]), np.ones((1, 1))) == -2.0


def test_replay_uses_the_dtype_of_the_model() -> None:
    weight = np.array([[0.1, 0.2]])
    network = Network.sequential([Affine(weight, [0.3])], dtype="float32")
    x = np.array([0.7, 0.9])
    single = weight.astype("f4") @ x.astype("f4") + np.float32(0.3)
    assert network.replay(x) == np.float64(single[0])
    assert network.replay(x) != network(x)
    assert network.replay(x, "float64") == network(x)
    assert network.replay(np.stack([x, x])).shape == (2, 1)


def test_nothing_can_be_changed() -> None:
    weight, bias = np.ones((1, 1)), np.zeros(1)
    network = Network.sequential([Affine(weight, bias)], input_bounds=([0.0], [1.0]))
    weight[0, 0] = bias[0] = 7.0
    assert network([1.0]) == 1.0
    layer = network.nodes[0].layer
    assert isinstance(layer, Affine)
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0, 0] = 2.0
    assert network.input_bounds is not None
    with pytest.raises(ValueError, match="read-only"):
        network.input_bounds[0][0] = 2.0
    with pytest.raises(FrozenInstanceError):
        network.dtype = "float32"
    assert copy.deepcopy(network) is network


def test_fingerprint_follows_function_and_wiring() -> None:
    base = pair()
    assert base.fingerprint == pair().fingerprint
    other = base.with_layers({"affine1": Affine([[1.0, 3.0]], [np.nextafter(-1.0, 0.0)])})
    renamed = Network.sequential([n.layer for n in base.nodes], names=["a", "b", "c"])
    assert len({base.fingerprint, other.fingerprint, renamed.fingerprint}) == 3


def test_then_and_with_layers_leave_the_original() -> None:
    base = pair()
    longer = base.then(Affine([[2.0]], [1.0]), "head")
    assert longer([1.0, 1.0]) == 2.0 * base([1.0, 1.0]) + 1.0
    assert base.output == "affine1"
    changed = base.with_layers({"affine1": Affine([[0.0, 0.0]], [4.0])})
    assert changed([1.0, 1.0]) == 4.0
    assert base([1.0, 1.0]) == 2.5


@pytest.mark.parametrize("x", [[1.0], [1.0, 2.0, 3.0], 1.0, [[1.0, 2.0, 3.0]], [[[1.0, 2.0]]]])
def test_inputs_of_the_wrong_shape_are_refused(x: object) -> None:
    with pytest.raises(NetworkError, match=r"input shape \(2,\)"):
        pair()(x)


def test_inputs_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(NetworkError, match="numbers"):
        pair()(["a", "b"])


def test_layers_that_do_not_fit_are_named() -> None:
    with pytest.raises(NetworkError, match=r"layer 'affine1'.*vectors of 3, not shape"):
        Network.sequential(
            [Affine(np.ones((2, 2)), np.zeros(2)), ReLU(), Affine(np.ones((1, 3)), np.zeros(1))]
        )


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((), "at least one layer"),
        ((Node("a", ReLU(), ("b",)),), r"'a' reads unknown nodes \['b'\]"),
        ((Node("a", ReLU(), ("input",)), Node("a", ReLU(), ("a",))), "name already taken"),
        ((Node("input", ReLU(), ("input",)),), "name already taken"),
        ((Node("a", ReLU(), ("input", "input")),), "takes 1 input"),
        ((Node("a", ReLU(), ("c",)), Node("c", ReLU(), ("input",))), "unknown nodes"),
    ],
)
def test_bad_wiring_is_refused(nodes: tuple[Node, ...], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Network(nodes, (1,))


@pytest.mark.parametrize("shape", [(0,), (-1,), (2, 0)])
def test_input_shapes_without_inputs_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(NetworkError, match="input"):
        Network.sequential([ReLU()], shape)


def test_unknown_dtype_is_refused() -> None:
    with pytest.raises(NetworkError, match="float16"):
        Network.sequential([Affine([[1.0]], [0.0])], dtype="float16")


@pytest.mark.parametrize("layers", [[], [ReLU()]])
def test_input_shape_must_be_known(layers: list[ReLU]) -> None:
    with pytest.raises(NetworkError, match="input_shape is needed"):
        Network.sequential(layers)


@pytest.mark.parametrize("names", [["only"], ["a", "b", "c"]])
def test_wrong_number_of_names_is_refused(names: list[str]) -> None:
    with pytest.raises(MipnetError, match="name"):
        Network.sequential([Affine([[1.0]], [0.0]), ReLU()], names=names)


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        ([0, 0, 0], [1, 1, 1], "do not fit the input shape"),
        ([0, np.nan], [1, 1], r"empty or NaN at input \[1\]"),
        ([0, 2], [1, 1], r"empty or NaN at input \[1\]"),
    ],
)
def test_bad_input_bounds_are_refused(lower: list, upper: list, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        pair().with_input_bounds(lower, upper)


def test_missing_input_bounds_are_reported() -> None:
    with pytest.raises(NetworkError, match="no input bounds; give lower and upper"):
        pair().input_box()


def test_input_bounds_broadcast() -> None:
    box = pair().with_input_bounds(-1.0, [1.0, 2.0]).input_box()
    assert box.lower.tolist() == [[-1.0, -1.0]]
    assert box.upper.tolist() == [[1.0, 2.0]]


def test_unknown_layer_to_replace_lists_the_known() -> None:
    with pytest.raises(NetworkError, match=r"\['nope'\].*affine0"):
        pair().with_layers({"nope": ReLU()})


def test_repr_shows_the_widths() -> None:
    weights = [np.ones((4, 3)), np.ones((2, 4))]
    assert "3-4-2" in repr(chain(weights, [np.zeros(4), np.zeros(2)]))


def test_repr_tells_what_kind_of_network_it_is() -> None:
    layers = [
        Conv(np.ones((2, 1, 2, 2)), np.zeros(2)),
        ReLU(),
        Flatten(),
        Affine(np.ones((1, 8)), [0]),
    ]
    network = Network.sequential(layers, (1, 3, 3))
    assert "1x3x3 -> 1, 1 Conv, 1 ReLU, 1 Flatten, 1 Affine, 19 parameters" in repr(network)
