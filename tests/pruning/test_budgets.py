import numpy as np
import pytest
from graph_cases import batch_norm, conv
from pruning_cases import mlp

from mipnet.errors import MaskError
from mipnet.network import Affine, Flatten, Network, ReLU
from mipnet.network.layers import MaxPool
from mipnet.pruning import Macs, Parameters, Tiles, prune
from mipnet.pruning.counting import n_macs, n_tiles

NET = mlp(6, 20, 12, 3)
RNG = np.random.default_rng(1)
CONV = Network.sequential(
    [
        conv(RNG, 8, 2), batch_norm(RNG, 8), ReLU(), MaxPool((2, 2)), conv(RNG, 6, 8), ReLU(),
        Flatten(), Affine(RNG.normal(size=(3, 24)), np.zeros(3)),
    ],
    (2, 4, 4),
)  # fmt: skip


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("net", [NET, CONV], ids=["mlp", "conv"])
@pytest.mark.parametrize(
    ("budget", "share"), [(Parameters, 0.6), (Macs, 0.4), (Tiles, 0.7), (Parameters, 0.3)]
)
def test_a_budget_is_kept_with_as_few_units_removed_as_it_takes(net, scope, budget, share):
    options = {"tile": 4} if budget is Tiles else {}
    whole = budget(0, **options).measure(net)
    wanted = budget(int(share * whole), **options)
    report = prune(net, "magnitude", budget=wanted, scope=scope).report
    assert report.budget == wanted.currency
    assert (report.requested, report.before) == (wanted.amount, whole)
    assert report.reached <= wanted.amount
    assert f"reached {report.reached:g}" in str(report)
    # One step less would be too much: a looser budget than what was reached keeps more.
    result = prune(net, "magnitude", budget=wanted, scope=scope)
    assert wanted.measure(result.network) == report.reached
    units = sum(layer.units_kept for layer in report.layers)
    more = units + (1 if scope == "global" else len(report.layers))
    total = sum(layer.units_before for layer in report.layers)
    if scope == "global":
        looser = prune(net, "magnitude", more / total, scope=scope)
        assert wanted.measure(looser.network) > wanted.amount


def test_sizes_are_counted_as_by_hand():
    assert n_macs(CONV) == 8 * 2 * 9 * 16 + 6 * 8 * 9 * 4 + 3 * 24
    weight = np.zeros((5, 7))
    weight[0, 0] = weight[4, 6] = weight[3, 1] = 1.0
    net = Network.sequential([Affine(weight, np.zeros(5))])
    assert (n_tiles(net, 1), n_tiles(net, 2), n_tiles(net, (7, 4)), n_tiles(net, 9)) == (3, 3, 2, 1)


def test_budgets_out_of_reach_are_refused():
    with pytest.raises(MaskError, match="431 parameters, less than the budget of 1000"):
        prune(NET, "magnitude", budget=Parameters(1000))
    with pytest.raises(MaskError, match=r"5 parameters cannot be reached: .* there are 15"):
        prune(NET, "magnitude", budget=Parameters(5))
    for amount in (-1, np.nan, np.inf, True, "9"):
        with pytest.raises(MaskError, match="is a number from 0 on"):
            prune(NET, "magnitude", budget=Parameters(amount))
    with pytest.raises(MaskError, match="a fraction of units or a Budget"):
        prune(NET, "magnitude", budget="half")
    with pytest.raises(MaskError, match="fraction of units in"):
        prune(NET, "magnitude", budget=1.5)
    with pytest.raises(MaskError, match="whole numbers from 1 on"):
        prune(NET, "magnitude", budget=Tiles(3, tile=0))


def test_what_costs_as_much_as_the_budget_stays_and_the_report_says_so():
    result = prune(NET, "magnitude", budget=Parameters(NET.n_parameters))
    assert result.network.fingerprint == NET.fingerprint
    assert "nothing was pruned" in str(result.report)
    assert "nothing was pruned" in str(prune(NET, "magnitude", 1.0).report)
    assert "nothing was pruned" not in str(prune(NET, "magnitude", 0.9).report)
    gone = prune(NET, "magnitude", 0.0).report
    assert "no unit is left of affine0, affine1" in str(gone)
