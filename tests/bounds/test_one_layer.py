"""Children of networks with one hidden layer, bounded without passes of their own."""

from __future__ import annotations

import numpy as np
import pytest

from mipnet.bounds import alpha_bounds, one_layer
from mipnet.bounds.beta import BetaBounder, Lean
from mipnet.bounds.chaining import chain_of
from mipnet.bounds.hull import hull_of
from mipnet.bounds.splitting import Splitting
from mipnet.bounds.subproblems import root, split
from mipnet.clocks import Stopwatch
from mipnet.region import Box, ball
from tests.search.search_cases import random_network


@pytest.mark.parametrize("hull", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_a_pass_over_every_child(seed: int, hull: bool) -> None:
    rng = np.random.default_rng(seed)
    net = random_network(seed, (5, 12, 2), 2.0)
    region = Box(rng.uniform(-2, 0, 5), rng.uniform(0, 2, 5))
    chain = chain_of(net, alpha_bounds(net, region).intervals)
    assert chain is not None
    if hull:
        weights = np.array([1.0, -1.0]) @ chain.stages[1].weight
        task = Splitting(chain, region, np.array([[1.0, -1.0]]), np.zeros(1))
        chain = task.chain
        assert chain.hull is not None
        assert hull_of(chain, region, weights, Stopwatch()) is not None
    bounder = BetaBounder(chain, region)
    batch = root(chain, np.array([[1.0, -1.0], [-0.5, 2.0]]))
    for column in range(2):
        batch = split(batch, np.full(len(batch), column), np.arange(len(batch)))
    bounder.improve(batch, 3, np.full(len(batch), np.inf))
    items = np.flatnonzero(batch.open.any(axis=1))
    columns = np.tile(np.arange(2, chain.n_unstable), (len(items), 1))
    assert one_layer.applies(bounder, batch)
    found = one_layer.child_bounds(bounder, batch, Lean.of(batch), items, columns)
    children = split(batch, columns.reshape(-1), np.repeat(items, columns.shape[1]))
    passes = bounder.glance(children.weights, Lean.of(children), children.chosen)
    assert found == pytest.approx(passes.reshape(found.shape), rel=1e-4, abs=1e-4)
    assert np.ptp(found) > 1e-2


def test_asks_for_passes_elsewhere() -> None:
    deep = random_network(0, (4, 6, 6, 2), 2.0)
    flat = random_network(0, (4, 6, 2), 2.0)
    box = Box(np.full(4, -1.0), np.full(4, 1.0))
    for net, region in ((deep, box), (flat, ball(np.zeros(4), 1.0, "l1"))):
        chain = chain_of(net, alpha_bounds(net, region).intervals)
        assert chain is not None
        batch = root(chain, np.array([[1.0, -1.0]]))
        assert not one_layer.applies(BetaBounder(chain, region), batch)
