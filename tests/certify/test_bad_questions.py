import numpy as np
import pytest
from pruning_cases import mlp

from mipnet.certify import Unstable, difference_bounds, drop_near_zeros, near_zeros, simplify
from mipnet.errors import MipnetError, QueryError, RegionError
from mipnet.pruning import Mask, prune
from mipnet.region import Box

NET = mlp(3, 6, 2)
MASK = Mask.from_kept(NET, {"affine0": [0, 1]})
BOX = Box(-np.ones(3), np.ones(3))


@pytest.mark.parametrize("bad", ["x", 3, None, [1, 2]], ids=repr)
def test_what_is_no_network_is_named(bad):
    for ask, match in (
        (lambda: difference_bounds(bad, NET, BOX), "dense must be a Network"),
        (lambda: difference_bounds(NET, bad, BOX), "pruned must be a Network"),
        (lambda: simplify(bad, BOX), "network must be a Network"),
        (lambda: near_zeros(bad), "network must be a Network"),
        (lambda: drop_near_zeros(bad, BOX), "network must be a Network"),
    ):
        with pytest.raises(QueryError, match=match):
            ask()


@pytest.mark.parametrize(
    "options",
    [
        {"time_limit": -1},
        {"time_limit": np.nan},
        {"time_limit": "x"},
        {"threads": 0},
        {"threads": "x"},
        {"refinement": "milp"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("refinement", ["none", "mip"])
def test_limits_make_sense(options, refinement):
    with pytest.raises(QueryError, match=next(iter(options))):
        difference_bounds(NET, MASK, BOX, **{"refinement": refinement} | options)


@pytest.mark.parametrize("bad", ["x", None, -1, np.nan, np.inf, True], ids=repr)
def test_thresholds_are_numbers(bad):
    for ask in (lambda: near_zeros(NET, bad), lambda: drop_near_zeros(NET, BOX, bad)):
        with pytest.raises(QueryError, match="threshold must be a finite number from 0 on"):
            ask()
    if bad != np.inf:
        with pytest.raises(QueryError, match="tolerance must be a number from 0 on"):
            simplify(NET, BOX, tolerance=bad)


@pytest.mark.parametrize("bad", ["x", 3, (1, 2, 3), (["a"], 1), ([1, 2], 3)], ids=repr)
def test_regions_are_named(bad):
    for ask in (
        lambda: difference_bounds(NET, MASK, bad),
        lambda: simplify(NET, bad),
        lambda: prune(NET, "magnitude", budget=Unstable(2, bad)),
    ):
        with pytest.raises(RegionError):
            ask()


def test_budgets_take_bounds_for_a_region():
    wide = Unstable(3, (-np.ones(3), 1.0))
    found = prune(NET, "magnitude", budget=wide)
    assert (
        found.network.fingerprint
        == prune(NET, "magnitude", budget=Unstable(3, BOX)).network.fingerprint
    )
    assert found.report.reached <= 3
    with pytest.raises(MipnetError):
        prune(NET, "magnitude", budget=Unstable(3, BOX, method="x"))
