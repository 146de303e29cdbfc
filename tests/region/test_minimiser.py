"""Minimisers of linear forms: as low as the proven minimum, in either precision."""

from __future__ import annotations

import numpy as np
import pytest

from mipnet.region import Box, Region, ball


def regions(rng: np.random.Generator) -> dict[str, Region]:
    n = 40
    lower, upper = rng.uniform(-2.0, -0.5, n), rng.uniform(0.5, 2.0, n)
    # Many coordinates have room on one side only, as pixels have.
    centre = np.where(rng.random(n) < 0.5, lower, np.where(rng.random(n) < 0.3, upper, 0.0))
    made: dict[str, Region] = {"box": Box(lower, upper)}
    for norm, radius in (("l1", 4.0), ("l2", 1.5), ("l0", 5)):
        made[norm] = ball(centre, radius, norm, lower, upper)
    return made


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["box", "l1", "l2", "l0"])
@pytest.mark.parametrize("seed", range(3))
def test_reaches_the_minimum(seed: int, kind: str, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    region = regions(rng)[kind]
    forms = rng.normal(size=(30, 40)).astype(dtype)
    points = np.asarray(region.minimiser(forms), dtype=np.float64)
    values = (points * forms).sum(axis=1)
    least = region.minimise(forms.astype(np.float64)[:, None])[:, 0]
    assert (values >= least - 1e-4).all()
    # One step along the gradient is exact but for balls of the second norm cut off by a box.
    slack = 0.3 * np.abs(least) if kind == "l2" else 1e-4
    assert (values <= least + slack).all()
    inside = region.project(points)
    assert np.abs(inside - points).max() < 1e-4
