"""The model the demo is checked with agrees with enumeration."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import oracle
import pytest
from recheck import least_margin


@pytest.mark.parametrize("norm", ["linf", "l1"])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_enumeration(seed: int, norm: str) -> None:
    rng = np.random.default_rng(seed)
    sizes = [3, 4, 3, 2]
    weights = [rng.normal(size=(m, n)) for n, m in pairwise(sizes)]
    biases = [rng.normal(size=m) for m in sizes[1:]]
    start = rng.uniform(0.2, 0.8, 3)
    box = np.clip(start - 0.5, 0.0, 1.0), np.clip(start + 0.5, 0.0, 1.0)
    ball = (start, 0.5) if norm == "l1" else None
    exact = oracle.minimum(weights, biases, box, np.array([1.0, -1.0]), ball)
    assert least_margin(weights, biases, box, np.array([1.0, -1.0]), ball) == pytest.approx(
        exact.value, rel=1e-3, abs=1e-6
    )
