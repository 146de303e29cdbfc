"""Formulations for a network, a layer, a neuron."""

from __future__ import annotations

import numpy as np
import pytest

from formulations import BigM, Partition
from mipnet.bounds import compute_bounds
from mipnet.choice import choose, label
from mipnet.encode import encode
from mipnet.errors import QueryError
from mipnet.network import Affine, Network, Node, ReLU
from mipnet.network.layers import GELU, MaxPool, Reshape
from mipnet.region import Box
from mipnet.solver import solve
from tests.core_cases import dense
from tests.oracle import minimum

NET = Network.sequential(
    [Affine(np.ones((3, 2)), np.zeros(3)), ReLU(), Affine(np.ones((2, 3)), np.zeros(2)), ReLU()]
)


def labels(choice: object) -> dict[str, str]:
    return {name: how.label for name, how in choose(choice, NET).items()}


def test_one_for_all() -> None:
    assert labels("ideal") == {"relu0": "ideal", "relu1": "ideal"}
    assert labels(Partition(3)) == {"relu0": "partition(3)", "relu1": "partition(3)"}


def test_by_layer() -> None:
    assert labels({"relu1": "ideal"}) == {"relu0": "big_m", "relu1": "ideal"}
    assert labels({"relu1": "ideal", "*": BigM()}) == {"relu0": "big_m", "relu1": "ideal"}
    assert labels({"*": "triangle"}) == {"relu0": "triangle", "relu1": "triangle"}


def test_by_neuron() -> None:
    found = choose({"relu0": ["big_m", "ideal", Partition(0)]}, NET)["relu0"]
    assert found.label == "big_m, ideal, partition(0)"
    assert [how.label for _, how in found.split(np.arange(3))] == ["big_m", "ideal", "partition(0)"]
    assert [rows.tolist() for rows, _ in found.split(np.array([0, 2]))] == [[0], [2]]


@pytest.mark.parametrize("seed", range(12))
def test_mixtures_agree_with_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = dense(rng, (3, 4, 3, 1))
    bounds = compute_bounds(case.network, case.region)
    names = ["big_m", "ideal", "partition(2)", "partition(0)"]
    choice = {"relu0": rng.choice(names, size=4).tolist(), "*": str(rng.choice(names))}
    encoding = encode(case.network, case.region, bounds.intervals, formulation_name=choice)
    answer = solve(encoding.arrays(case.objective))
    truth = minimum(case.weights, case.biases, case.box, case.objective)
    assert answer.objective == pytest.approx(truth.value, abs=1e-6)


@pytest.mark.parametrize(
    ("choice", "match"),
    [
        ("nope", "layer 'relu0': unknown formulation 'nope'; registered: .*big_m"),
        ("partition(-1)", "does not take|number of parts"),
        ({"relu7": "big_m"}, "no activation layer 'relu7'; there are: 'relu0', 'relu1'"),
        ({"affine0": "big_m"}, "no activation layer 'affine0'"),
        ({"relu0": ["big_m"]}, "layer 'relu0': 1 formulations for 3 neurons"),
        ({"relu0": 3}, "layer 'relu0': expected a name"),
        (3, "layer 'relu0': expected a name"),
    ],
)
def test_what_does_not_fit_is_named(choice: object, match: str) -> None:
    with pytest.raises(QueryError, match=match):
        choose(choice, NET)


def test_relaxations_and_constructs_are_welcome_where_said() -> None:
    with pytest.raises(QueryError, match="'triangle' of layer 'relu0' is a relaxation"):
        choose("triangle", NET, relaxed=False)
    with pytest.raises(QueryError, match="'sos1' of layer 'relu1' needs SOS1 sets, which HiGHS"):
        choose({"relu1": "sos1"}, NET, linear=True)
    region = Box(-np.ones(2), np.ones(2))
    intervals = compute_bounds(NET, region).intervals
    for name, match in (("triangle", "relaxation"), ("indicator", "indicator constraints")):
        with pytest.raises(QueryError, match=match):
            encode(NET, region, intervals, formulation_name={"relu1": ["big_m", name]})


def test_layers_without_a_closed_form_are_named() -> None:
    net = Network.sequential([Affine(np.ones((2, 2)), np.zeros(2)), GELU()], names=["a", "g"])
    with pytest.raises(QueryError, match=r"layer 'g' \(GELU\) has no expression.*'g': 'big_m'"):
        choose("reduced_space", net)
    assert choose({"g": "big_m", "*": "reduced_space"}, net)["g"].label == "big_m"
    tanh = Network.sequential([Affine(np.ones((2, 2)), np.zeros(2)), GELU(approximate="tanh")])
    assert set(choose("reduced_space", tanh)) == {"gelu0"}


def test_windows_take_one_formulation() -> None:
    nodes = (Node("r", Reshape((1, 2, 2)), ("input",)), Node("m", MaxPool((2, 2)), ("r",)))
    net = Network(nodes, (4,))
    with pytest.raises(QueryError, match=r"layer 'm' .MaxPool. takes one formulation"):
        choose({"m": ["big_m"]}, net)
    assert choose({"m": "sos1"}, net)["m"].label == "sos1"


def test_labels() -> None:
    assert label("big_m") == "big_m"
    assert label(Partition(0)) == "partition(0)"
    assert label({}) == "big_m"
    assert label({"a": "ideal", "*": ["big_m", Partition(4), "big_m"]}) == (
        "a: ideal; *: big_m | partition(4)"
    )
