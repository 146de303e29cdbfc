"""Chains of networks that branch, convolve and bend with two slopes."""

from __future__ import annotations

import numpy as np
import pytest

from mipnet.bounds import alpha_bounds, compute_bounds, crown_bounds
from mipnet.bounds import chaining as chaining_module
from mipnet.bounds.chain import Chain
from mipnet.bounds.chaining import chain_of
from mipnet.bounds.splitting import Splitting
from mipnet.clocks import Stopwatch
from mipnet.network import INPUT, Network
from mipnet.network.layers import (
    Abs,
    Add,
    Affine,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    GlobalAvgPool,
    LeakyReLU,
    PReLU,
    ReLU,
    Reshape,
    Scale,
    Slice,
    Tanh,
    Transpose,
)
from mipnet.network.layers.base import Layer
from mipnet.network.network import Node
from mipnet.region import Box
from mipnet.search import find_adversarial, minimize
from mipnet.search.attack import descend

Wiring = list[tuple[str, Layer, tuple[str, ...]]]


def dense(rng: np.random.Generator, n: int, m: int) -> Affine:
    return Affine(rng.normal(size=(m, n)), 0.3 * rng.normal(size=m))


def residual(rng: np.random.Generator) -> tuple[Wiring, tuple[int, ...]]:
    return [
        ("a", dense(rng, 3, 5), (INPUT,)),
        ("b", ReLU(), ("a",)),
        ("c", dense(rng, 5, 5), ("b",)),
        ("d", Add((1.0, -0.5)), ("c", "a")),
        ("e", LeakyReLU(0.1), ("d",)),
        ("f", Add((1.0, 1.0)), ("e", "b")),
        ("g", Concat(2), ("f", INPUT)),
        ("h", Abs(), ("g",)),
        ("i", dense(rng, 8, 2), ("h",)),
    ], (3,)


def convolutional(rng: np.random.Generator) -> tuple[Wiring, tuple[int, ...]]:
    kernel, narrow = 0.5 * rng.normal(size=(4, 1, 3, 3)), 0.5 * rng.normal(size=(4, 2, 3, 3))
    return [
        ("a", Conv(kernel, rng.normal(size=4), padding=1), (INPUT,)),
        ("n", BatchNorm(rng.normal(size=4), rng.normal(size=4), rng.normal(size=4),
                        rng.uniform(0.5, 2, size=4)), ("a",)),
        ("b", PReLU(rng.uniform(-0.5, 0.5, size=(4, 1, 1))), ("n",)),
        ("c", Conv(narrow, rng.normal(size=4), stride=2, padding=1, groups=2), ("b",)),
        ("d", ReLU(), ("c",)),
        ("t", Transpose((1, 2, 0)), ("d",)),
        ("u", Transpose((2, 0, 1)), ("t",)),
        ("e", AvgPool((2, 2), stride=1), ("u",)),
        ("f", Flatten(), ("e",)),
        ("r", ReLU(), ("f",)),
        ("s", Slice((0,), (3,)), ("r",)),
        ("g", dense(rng, 3, 2), ("s",)),
    ], (1, 4, 4)  # fmt: skip


def pooled(rng: np.random.Generator) -> tuple[Wiring, tuple[int, ...]]:
    return [
        ("z", Reshape((1, 2, 2)), (INPUT,)),
        ("a", Conv(rng.normal(size=(3, 1, 2, 2)), rng.normal(size=3), padding=1), ("z",)),
        ("b", ReLU(), ("a",)),
        ("c", GlobalAvgPool(), ("b",)),
        ("f", Flatten(), ("c",)),
        ("s", Scale(np.array([2.0, -1.0, 0.5]), np.array([0.1, 0.0, -0.2])), ("f",)),
        ("d", ReLU(), ("s",)),
        ("g", dense(rng, 3, 2), ("d",)),
        ("h", ReLU(), ("g",)),
    ], (4,)


SHAPES = {"residual": residual, "convolutional": convolutional, "pooled": pooled}


def made(kind: str, seed: int) -> tuple[Network, Box]:
    rng = np.random.default_rng(seed)
    wiring, shape = SHAPES[kind](rng)
    net = Network([Node(*part) for part in wiring], shape)
    n = int(np.prod(shape))
    centre = rng.normal(size=n)
    return net, Box(centre - 0.4, centre + 0.4)


def through(chain: Chain, x: np.ndarray) -> np.ndarray:
    """What a chain gives, with ReLUs in place."""
    for stage in chain.stages:
        x = x @ stage.weight.T + stage.bias
        x[:, : stage.unstable] = np.maximum(x[:, : stage.unstable], 0.0)
    return x


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_a_chain_gives_what_the_network_gives(
    monkeypatch: pytest.MonkeyPatch, kind: str, seed: int, sparse: bool
) -> None:
    if sparse:
        monkeypatch.setattr(chaining_module, "_LARGE", 0)
        monkeypatch.setattr(chaining_module, "_FULL", 1.0)
    net, region = made(kind, seed)
    chain = chain_of(net, alpha_bounds(net, region).intervals)
    assert chain is not None
    assert chain.n_unstable > 0
    x = region.sample(np.random.default_rng(seed), 200)
    images = x.reshape(-1, *net.input_shape)
    outputs = net(images).reshape(200, -1)
    assert through(chain, x) == pytest.approx(outputs, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_bounds_hold_and_close(
    monkeypatch: pytest.MonkeyPatch, kind: str, seed: int, sparse: bool
) -> None:
    if sparse:
        monkeypatch.setattr(chaining_module, "_LARGE", 0)
        monkeypatch.setattr(chaining_module, "_FULL", 1.0)
    net, region = made(kind, seed)
    chain = chain_of(net, crown_bounds(net, region).intervals)
    assert chain is not None
    rows = np.concatenate([np.eye(2), -np.eye(2)])
    task = Splitting(chain, region, rows, np.full(4, np.inf), tolerance=0.02)
    task.run(Stopwatch(20.0), subproblems=600)
    x = region.sample(np.random.default_rng(seed), 2000)
    for row, bound in zip(rows, task.bounds, strict=True):
        scalar = net.then(Affine(row[None], np.zeros(1)), "target")
        _, values = descend(scalar, region, x)
        least = float(values.min())
        assert bound <= least + 1e-9
        assert least - bound <= 0.1 * abs(least) + 0.1


@pytest.mark.parametrize("kind", SHAPES)
def test_hidden_neurons_are_tightened(kind: str) -> None:
    net, region = made(kind, 1)
    first, tight = alpha_bounds(net, region), compute_bounds(net, region, "milp")
    x = region.sample(np.random.default_rng(0), 2000).reshape(-1, *net.input_shape)
    trace = net.trace(x)
    for name, box in tight.intervals.items():
        values = trace[name]
        assert (box.lower - 1e-9 <= values).all()
        assert (values <= box.upper + 1e-9).all()
    assert tight.n_unstable <= first.n_unstable
    assert (tight.output.lower >= first.output.lower - 1e-9).all()
    assert (tight.output.upper <= first.output.upper + 1e-9).all()


def test_a_search_over_images_uses_the_chain() -> None:
    net, region = made("convolutional", 2)
    rng = np.random.default_rng(0)
    x = region.sample(rng, 4000).reshape(-1, *net.input_shape)
    answer = minimize(net, np.array([1.0, -1.0]), region, time_limit=20.0)
    assert answer.status == "optimal"
    assert answer.nodes > 0
    seen = (net(x) @ np.array([1.0, -1.0])).min()
    assert answer.bound <= seen + 1e-9
    assert answer.value <= seen + 1e-6
    verdict = find_adversarial(net, region.centre, radius=0.02, time_limit=20.0)
    assert verdict.status in {"robust", "witness"}


def test_smooth_layers_have_no_chain() -> None:
    net = Network.sequential([dense(np.random.default_rng(0), 2, 2), Tanh()])
    region = Box([-1.0, -1.0], [1.0, 1.0])
    assert chain_of(net, crown_bounds(net, region).intervals) is None


def test_too_large_a_matrix_has_no_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    net, region = made("pooled", 0)
    monkeypatch.setattr(chaining_module, "_TOO_LARGE", 20)
    assert chain_of(net, crown_bounds(net, region).intervals) is None
