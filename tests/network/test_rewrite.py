"""Folding keeps the function, the names of what stays, and whatever something else reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mipnet.network import Affine, Flatten, Layer, Network, Node, ReLU
from mipnet.network.layers import Add, BatchNorm, Conv, Identity, Reshape, Scale
from mipnet.network.rewrite import absorb, fold


def norm(rng: np.random.Generator, n: int) -> BatchNorm:
    return BatchNorm(*rng.normal(size=(3, n)), rng.uniform(0.1, 4.0, size=n))


def conv(rng: np.random.Generator, n_out: int, n_in: int, **options) -> Conv:
    groups = options.get("groups", 1)
    return Conv(rng.normal(size=(n_out, n_in // groups, 2, 2)), rng.normal(size=n_out), **options)


def affine(rng: np.random.Generator, m: int, n: int) -> Affine:
    return Affine(rng.normal(size=(m, n)), rng.normal(size=m))


def kinds(network: Network) -> list[str]:
    return [node.layer.kind for node in network.nodes]


def same(network: Network, rng: np.random.Generator) -> Network:
    small = fold(network)
    x = rng.normal(size=(5, *network.input_shape))
    wanted = network(x)
    assert small(x) == pytest.approx(wanted, rel=1e-11, abs=1e-11 * (1.0 + np.abs(wanted).max()))
    assert {n.name for n in small.nodes} <= {n.name for n in network.nodes}
    return small


CHAINS: list[tuple[str, Sequence[str]]] = [
    ("affine norm relu affine", ["Affine", "ReLU", "Affine"]),
    ("norm affine", ["Affine"]),
    ("affine relu norm affine norm", ["Affine", "ReLU", "Affine"]),
    ("scale norm affine", ["Affine"]),
    ("relu norm scale relu", ["ReLU", "Scale", "ReLU"]),
    ("identity affine identity relu identity", ["Affine", "ReLU"]),
    ("norm identity affine", ["Affine"]),
    ("identity", ["Identity"]),
    ("identity identity", ["Identity"]),
    ("norm", ["BatchNorm"]),
]


@pytest.mark.parametrize(("text", "left"), CHAINS)
@pytest.mark.parametrize("seed", range(3))
def test_chains_of_vectors(text: str, left: Sequence[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 3
    make = {
        "affine": lambda: affine(rng, n, n),
        "norm": lambda: norm(rng, n),
        "scale": lambda: Scale(rng.normal(size=n), rng.normal(size=1)),
        "relu": ReLU,
        "identity": Identity,
    }
    network = Network.sequential([make[word]() for word in text.split()], n)
    assert kinds(same(network, rng)) == left


IMAGES: list[tuple[list[Layer | str], list[str]]] = [
    (["conv", "norm"], ["Conv"]),
    (["norm", "conv"], ["Conv"]),
    (["norm", "padded"], ["BatchNorm", "Conv"]),
    (["unshifted", "padded"], ["Conv"]),
    (["grouped", "norm", "relu"], ["Conv", "ReLU"]),
    (["norm", "grouped"], ["Conv"]),
    (["conv", "uneven"], ["Conv", "Scale"]),
    (["conv", "relu", "norm", "flatten", "affine"], ["Conv", "ReLU", "Flatten", "Affine"]),
    (["conv", "norm", "reshape", "norm3"], ["Conv", "Reshape", "BatchNorm"]),
]


@pytest.mark.parametrize(("words", "left"), IMAGES)
@pytest.mark.parametrize("seed", range(3))
def test_chains_of_images(words: list[str], left: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    make = {
        "conv": lambda: conv(rng, 2, 2),
        "padded": lambda: conv(rng, 2, 2, padding=1),
        "grouped": lambda: conv(rng, 4, 2, groups=2, stride=2),
        "norm": lambda: norm(rng, 4 if words[0] == "grouped" else 2),
        "norm3": lambda: norm(rng, 18),
        "unshifted": lambda: Scale(rng.normal(size=(2, 1, 1))),
        "uneven": lambda: Scale(rng.normal(size=(2, 3, 1))),
        "relu": ReLU,
        "flatten": Flatten,
        "reshape": lambda: Reshape((-1,)),
        "affine": lambda: affine(rng, 2, 18),
    }
    network = Network.sequential([make[word]() for word in words], (2, 4, 4))
    assert kinds(same(network, rng)) == left


@pytest.mark.parametrize("seed", range(3))
def test_what_something_else_reads_stays(seed: int) -> None:
    """A residual block reads its input twice, before and after the normalisation."""
    rng = np.random.default_rng(seed)
    network = Network(
        (
            Node("a", affine(rng, 3, 3), ("input",)),
            Node("n", norm(rng, 3), ("a",)),
            Node("r", ReLU(), ("n",)),
            Node("b", affine(rng, 3, 3), ("r",)),
            Node("m", norm(rng, 3), ("b",)),
            Node("skip", Identity(), ("a",)),
            Node("unused", ReLU(), ("n",)),
            Node("sum", Add(), ("m", "skip")),
        ),
        (3,),
    )
    small = same(network, rng)
    assert [n.name for n in small.nodes] == ["a", "n", "r", "b", "sum"]
    assert small.by_name["sum"].inputs == ("b", "a")


def test_attributes_tell_networks_apart() -> None:
    """Stored bounds go by the fingerprint: another stride is another network."""
    kernel = np.ones((1, 1, 2))
    nets = [
        Network.sequential([Conv(kernel, [0.0], **options)], (1, 5))
        for options in ({"dilation": 2, "stride": 2}, {"padding": 0, "stride": 2}, {"stride": 3})
    ]
    assert [n.shapes["conv0"] for n in nets] == [(1, 2)] * 3
    assert len({n.fingerprint for n in nets}) == 3


def test_named_nodes_alone_are_absorbed_and_moved_values_are_told():
    rng = np.random.default_rng(7)
    scale = [Scale(1.0, rng.normal(size=3)) for _ in range(3)]
    layers = [Affine(rng.normal(size=(3, 3)), np.zeros(3)), scale[0], ReLU(), scale[1], ReLU(),
              scale[2], Affine(rng.normal(size=(2, 3)), np.zeros(2)), Scale(1.0, 2.0)]  # fmt: skip
    network = Network.sequential(layers, 3)
    x = rng.normal(size=(20, 3))
    names = ["scale0", "scale1", "scale3"]
    small, moved = absorb(network, names)
    # The first joins the layer in front; nobody takes the second, the third was not asked for, and
    # the output stays.
    assert set(network.by_name) - set(small.by_name) == {"scale0"}
    assert moved == {"affine0"}
    np.testing.assert_allclose(small(x), network(x), rtol=1e-13, atol=1e-13)
    small, moved = absorb(network, ["scale2"])
    assert (set(network.by_name) - set(small.by_name), moved) == ({"scale2"}, set())
    np.testing.assert_allclose(small(x), network(x), rtol=1e-13, atol=1e-13)


def test_a_normalisation_takes_a_shift_and_stays_one():
    ones = np.ones(2)
    norm = BatchNorm(ones, ones, ones, ones)
    network = Network.sequential([ReLU(), norm, Scale(1.0, [[[3.0]], [[4.0]]]), ReLU()], (2, 2, 2))
    small = fold(network)
    assert kinds(small) == ["ReLU", "BatchNorm", "ReLU"]
    assert small.nodes[1].layer.bias.tolist() == [4.0, 5.0]
    np.testing.assert_allclose(small(np.ones((2, 2, 2))), network(np.ones((2, 2, 2))), rtol=1e-15)
