"""The gradient search stays inside the region and never falls below its start."""

from __future__ import annotations

import numpy as np
import pytest

from mipnet.region import ball
from mipnet.search.attack import ascend, start_points
from tests.search.search_cases import random_network


@pytest.mark.parametrize("norm", ["linf", "l1"])
@pytest.mark.parametrize("radius", [0.0, 0.01, 0.7])
def test_ascent(norm: str, radius: float) -> None:
    net = random_network(11, (6, 10, 3))
    region = ball(np.linspace(0.0, 1.0, 6), radius, norm, 0.0, 1.0)
    starts = start_points(region, np.random.default_rng(0), 5)
    assert all(region.contains(p) for p in starts)
    weights = np.tile([1.0, 0.0, -1.0], (5, 1))
    points, values = ascend(net, region, weights[:, None], np.zeros((5, 1)), starts)
    assert all(region.contains(p) for p in points)
    assert values == pytest.approx(net(points) @ weights[0], abs=1e-12)
    assert np.all(values >= net(starts) @ weights[0] - 1e-12)


def test_gradient_matches_differences() -> None:
    net = random_network(5, (4, 7, 7, 2))
    x = np.random.default_rng(1).normal(size=(3, 4))
    weights = np.tile([0.7, -1.3], (3, 1))
    gradient = net.gradient(x, weights)
    for i in range(4):
        step = np.zeros(4)
        step[i] = 1e-6
        numeric = ((net(x + step) - net(x - step)) * weights).sum(axis=1) / 2e-6
        assert gradient[:, i] == pytest.approx(numeric, abs=1e-6)
