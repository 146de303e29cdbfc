import numpy as np
import pytest
from pruning_cases import mlp

from mipnet.bounds import compute_bounds
from mipnet.certify import Binaries, Cycles, ProgramSize, Unstable
from mipnet.encode import encode
from mipnet.errors import MaskError
from mipnet.hardware import cost
from mipnet.pruning import Mask, prune
from mipnet.region import Box

NET = mlp(5, 24, 16, 3, seed=2)
REGION = Box(np.zeros(5), np.ones(5))


def unstable(network):
    return compute_bounds(network, REGION, "crown").n_unstable


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize(
    ("budget", "share"),
    [
        (Cycles(0, array=8), 0.5),
        (Unstable(0, REGION), 0.5),
        (Binaries(0, REGION), 0.4),
        (ProgramSize(0, REGION), 0.3),
        (ProgramSize(0, REGION, count="rows"), 0.5),
    ],
)
def test_budgets_of_machines_and_programs_are_kept(budget, share, scope, tmp_path):
    whole = budget.measure(NET)
    wanted = type(budget)(**{**vars(budget), "amount": int(share * whole)})
    result = prune(NET, "magnitude", budget=wanted, scope=scope)
    assert result.report.reached == wanted.measure(result.network) <= wanted.amount
    assert result.report.before == whole
    assert wanted.currency in str(result.report)
    result.mask.save(tmp_path / "m")
    found = Mask.load(tmp_path / "m").provenance.options["budget"]
    assert (found["currency"], found["amount"]) == (wanted.currency, wanted.amount)


def test_sizes_are_those_of_the_rooms_that_know_them():
    assert Cycles(0, array=8).measure(NET) == cost(NET, array=8).cycles
    assert Unstable(0, REGION).measure(NET) == unstable(NET)
    bounds = compute_bounds(NET, REGION, "crown")
    assert Binaries(0, REGION).measure(NET) == encode(NET, REGION, bounds.intervals).n_binaries
    with pytest.raises(MaskError, match="rows, columns, nonzeros"):
        ProgramSize(9, REGION, count="bytes").measure(NET)


def test_zero_tiles_are_not_computed():
    mask = Mask.from_kept(NET, {"affine1": np.arange(6) < 2}, tile=8)
    from mipnet.pruning import apply

    assert Cycles(0, array=8).measure(apply(NET, mask)) < Cycles(0, array=8).measure(NET)
