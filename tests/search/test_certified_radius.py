"""certified_radius against enumeration, and at the ends of its range."""

from __future__ import annotations

import numpy as np
import pytest

from mipnet.network import Affine, Network
from mipnet.search import find_adversarial
from mipnet.search.distortion import certified_radius
from tests.search.distance_cases import NORMS, case, least_distance


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", [1, 4, 7])
def test_certified_radius_is_robust(seed: int, norm: str) -> None:
    net, x = case(seed)
    truth = least_distance(net, x, norm, int(np.argmax(net(x))), None, -1.0, 1.0)
    quick = certified_radius(net, x, norm=norm, lower=-1, upper=1, bounds="crown")
    full = certified_radius(net, x, norm=norm, lower=-1, upper=1, method="exact")
    assert quick.status == full.status == "complete"
    if norm == "l0":
        assert 0.0 <= float(quick) <= float(full) == truth - 1.0
    else:
        assert 0.0 < float(quick) <= float(full) * (1 + 1e-3)
        assert truth * (1.0 - 1e-3) <= float(full) <= truth
        # What it says is what find_adversarial says of the same ball.
        verdict = find_adversarial(net, x, norm=norm, radius=float(full), lower=-1, upper=1)
        assert verdict.status == "robust" or norm == "l2"


def test_certified_radius_at_the_ends() -> None:
    net, x = case(1)
    wrong = int(np.argmin(net(x)))
    assert float(certified_radius(net, x, wrong, lower=-1, upper=1)) == -np.inf
    assert float(certified_radius(net, x, wrong, method="exact")) == -np.inf
    assert float(certified_radius(net, x, lower=x - 1e-4, upper=x + 1e-4)) == np.inf
    capped = certified_radius(net, x, max_radius=1e-4)
    assert (float(capped), capped.status) == (1e-4, "complete")
    constant = Network.sequential([Affine(np.zeros((2, 3)), [1.0, 0.0])])
    endless = certified_radius(constant, np.zeros(3))
    assert (float(endless), endless.status) == (2.0**20, "incomplete")
    assert "open" in endless.reason
    hurried = certified_radius(net, x, time_limit=0.0)
    assert (float(hurried), hurried.status) == (-np.inf, "incomplete")
    assert "time limit" in hurried.reason


def test_certified_radius_over_an_open_domain() -> None:
    net, x = case(1)
    bounded = certified_radius(net, x, lower=-50.0, upper=50.0)
    assert float(certified_radius(net, x)) == pytest.approx(float(bounded), rel=2e-3)
