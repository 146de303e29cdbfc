"""Branch and bound over phases and over boxes: sound on anything, exact on small networks."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.bounds import alpha_bounds, compute_bounds, crown_bounds, milp_bounds
from mipnet.bounds import splitting as engine
from mipnet.bounds.beta import BetaBounder, Lean
from mipnet.bounds.chaining import chain_of
from mipnet.bounds.splitting import Splitting
from mipnet.bounds.subproblems import Pool, root, split
from mipnet.clocks import Stopwatch
from mipnet.network import Affine, Network, ReLU
from mipnet.network.layers import Tanh
from mipnet.region import Box, Region, ball
from tests import oracle
from tests.bounds.test_bound_methods import points_of, wild_network, wild_region
from tests.core_cases import chain

SEEDS = st.integers(0, 2**32 - 1)


def task_of(
    net: Network, region: Region, weights: np.ndarray, *, goal: float = np.inf, bisect: bool = False
) -> Splitting:
    bounds = crown_bounds(net, region)
    found = chain_of(net, bounds.intervals)
    assert found is not None
    return Splitting(found, region, weights, np.full(len(weights), goal), bisect=bisect)


def random_net(rng: np.random.Generator, sizes: tuple[int, ...]) -> Network:
    layers: list[Affine | ReLU] = []
    for n, m in pairwise(sizes):
        layers += [Affine(rng.normal(size=(m, n)), 0.3 * rng.normal(size=m)), ReLU()]
    return Network.sequential(layers[:-1])


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.booleans())
def test_no_exact_trace_lies_below_a_proven_bound(seed: int, bisect: bool) -> None:
    rng = np.random.default_rng(seed)
    weights, biases = wild_network(rng)
    region = wild_region(rng, weights[0].shape[1])
    n = len(biases[-1])
    signs = np.concatenate([np.eye(n), -np.eye(n)])
    task = task_of(chain(weights, biases), region, signs, bisect=bisect)
    task.run(Stopwatch(2.0), subproblems=300)
    for x in points_of(region, rng):
        outputs = oracle.exact_trace(weights, biases, x)[-1]
        for bound, row in zip(task.bounds, signs, strict=True):
            value = sum((Fraction(s) * v for s, v in zip(row, outputs, strict=True)), Fraction(0))
            assert Fraction(bound) <= value


@pytest.mark.parametrize("bisect", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_closes_in_on_the_minimum(seed: int, bisect: bool) -> None:
    rng = np.random.default_rng(seed)
    net = random_net(rng, (2, 6, 5, 1))
    region = Box([-1.0, -1.0], [1.0, 1.0])
    grid = np.stack(np.meshgrid(*[np.linspace(-1.0, 1.0, 301)] * 2), axis=-1).reshape(-1, 2)
    least = float(net(grid).min())
    task = task_of(net, region, np.ones((1, 1)), goal=least - 0.02, bisect=bisect)
    task.run(Stopwatch(None), subproblems=20_000)
    assert task.bounds[0] > least - 0.02
    assert task.bounds[0] <= least
    assert task.attained[0] >= least - 0.05


def test_both_ways_and_any_number_of_threads_agree() -> None:
    net = random_net(np.random.default_rng(3), (3, 7, 6, 2))
    region = Box(-np.ones(3), np.ones(3))
    weights, found = np.array([[1.0, 0.0], [0.0, -1.0]]), []
    for bisect in (False, True):
        for threads in (1, 2):
            task = task_of(net, region, weights, bisect=bisect)
            task.tolerance = 0.01
            task.run(Stopwatch(None), subproblems=40_000, threads=threads)
            assert not task.active.any()
            found.append(task.bounds)
    spread = np.ptp(np.array(found), axis=0)
    assert (spread <= 0.05 * np.abs(found[0]) + 0.02).all()


def test_a_blend_of_rows_excludes_what_no_row_excludes_alone() -> None:
    # max(x, -x) + 0.1 > 0 everywhere, although each row alone is negative somewhere.
    net = Network.sequential([Affine([[1.0], [-1.0]], [0.1, 0.1])], 1)
    region = Box([-1.0], [1.0])
    alone = task_of(net, region, np.eye(2), goal=0.0)
    both = task_of(net, region, np.array([[0.5, 0.5]]), goal=0.0)
    assert (alone.bounds < 0.0).all()
    assert both.bounds[0] > 0.0


def test_subproblems_of_a_target_are_shared_out_evenly() -> None:
    net = random_net(np.random.default_rng(0), (2, 4, 3))
    chained = chain_of(net, crown_bounds(net, Box([-1.0] * 2, [1.0] * 2)).intervals)
    assert chained is not None
    batch = root(chained, np.repeat(np.eye(3), 5, axis=0))
    batch.owner = np.repeat(np.arange(3), 5)
    batch.bound = np.arange(15.0)
    pool = Pool(batch, 3)
    pool.put(batch)
    taken = pool.take(4, np.array([True, False, True]))
    assert sorted(taken.bound) == [0.0, 1.0, 10.0, 11.0]
    assert len(pool) == 11
    assert pool.least().tolist() == [2.0, 5.0, 12.0]
    assert pool.drop(np.array([3.0, 100.0, 100.0])).tolist()[0] == 4.0
    assert len(pool) == 10


def test_children_cover_their_parent() -> None:
    net = random_net(np.random.default_rng(1), (2, 4, 3))
    chained = chain_of(net, crown_bounds(net, Box([-1.0] * 2, [1.0] * 2)).intervals)
    assert chained is not None
    batch = root(chained, np.eye(3))
    neuron = int(np.flatnonzero(batch.open[0])[0])
    children = split(batch, np.array([neuron]), np.array([1]))
    assert children.lower[0, neuron] == 0.0
    assert children.upper[0, neuron] == batch.upper[1, neuron]
    assert children.upper[1, neuron] == 0.0
    assert children.lower[1, neuron] == batch.lower[1, neuron]
    assert (children.owner == 1).all()


def test_an_interrupted_batch_stays_in_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_net(np.random.default_rng(5), (3, 10, 10, 1))
    task = task_of(net, Box(-np.ones(3), np.ones(3)), np.ones((1, 1)))
    task.run(Stopwatch(None), subproblems=50)
    before, count = task.bounds[0], task.n_open

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "choose", interrupted)
    with pytest.raises(KeyboardInterrupt):
        task.run(Stopwatch(None))
    assert task.bounds[0] == before
    assert task.n_open == count


def test_gradient_of_slopes_and_multipliers() -> None:
    """What the ascent follows is the derivative of the bound it reports."""
    rng = np.random.default_rng(8)
    net = random_net(rng, (3, 8, 8, 1))
    region = Box(-np.ones(3), np.ones(3))
    chained = chain_of(net, crown_bounds(net, region).intervals)
    assert chained is not None
    bounder, batch = BetaBounder(chained, region), root(chained, np.ones((1, 1)))
    fixed = np.flatnonzero(batch.open[0])[:3]
    batch.lower[0, fixed] = 0.0
    batch.chosen[:] = rng.uniform(0.2, 0.8, batch.chosen.shape)
    lean = Lean.of(batch)
    found = bounder.sweep(batch.weights, lean, batch.chosen)
    free = lean.sign == 0.0
    slope = np.where(free, np.maximum(found.coefficients, 0.0), -lean.sign) * found.values
    assert found.bound[0] == pytest.approx(bounder.glance(batch.weights, lean, batch.chosen)[0])
    for j in range(batch.chosen.shape[1]):
        ends = []
        for step in (-1e-2, 1e-2):
            moved = batch.chosen.copy()
            moved[0, j] += np.float32(step)
            ends.append(float(bounder.glance(batch.weights, lean, moved)[0]))
        assert (ends[1] - ends[0]) / 2e-2 == pytest.approx(slope[0, j], rel=0.1, abs=0.02)


@pytest.mark.parametrize("norm", ["linf", "l1", "l2"])
def test_milp_bounds_are_tighter_and_hold(norm: str) -> None:
    rng = np.random.default_rng(2)
    net = random_net(rng, (6, 12, 12, 8, 3))
    region = ball(np.full(6, 0.5), 0.5, norm, 0.0, 1.0)
    alpha, milp = alpha_bounds(net, region), milp_bounds(net, region)
    points = region.sample(rng, 4000)
    assert milp.violation(points) is None
    assert "milp" in milp.methods.values()
    for name in milp.intervals:
        assert (milp[name].lower >= alpha[name].lower).all()
        assert (milp[name].upper <= alpha[name].upper).all()
    assert milp.n_unstable < alpha.n_unstable


def test_ranges_are_nearly_exact_where_nothing_is_spared() -> None:
    rng = np.random.default_rng(4)
    net = random_net(rng, (2, 8, 8, 2))
    region = Box([-1.0, -1.0], [1.0, 1.0])
    grid = np.stack(np.meshgrid(*[np.linspace(-1.0, 1.0, 401)] * 2), axis=-1).reshape(-1, 2)
    hidden = net.nodes[2].name
    seen = net.trace(grid)[hidden]
    found = compute_bounds(net, region, "milp")[hidden]
    open_ = (found.lower[0] < 0.0) & (found.upper[0] > 0.0)
    assert open_.any()
    reach = np.abs(seen).max(axis=0)
    # Both ends come near what the neuron attains, or prove its sign.
    assert (seen.min(axis=0) - found.lower[0] <= 0.1 * reach)[open_].all()
    assert (found.upper[0] - seen.max(axis=0) <= 0.1 * reach)[open_].all()


def test_a_network_that_is_no_chain_keeps_the_bounds_it_has() -> None:
    net = Network.sequential([Tanh(), Affine([[1.0, -1.0]], [0.0])], 2)
    region = Box([-1.0, -1.0], [1.0, 1.0])
    assert chain_of(net, crown_bounds(net, region).intervals) is None
    found = compute_bounds(net, region, "milp")
    assert found.output.lower[0, 0] <= -np.tanh(1.0) - np.tanh(1.0)
