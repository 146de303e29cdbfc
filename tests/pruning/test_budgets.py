from dataclasses import dataclass, replace

import numpy as np
import pytest
from graph_cases import batch_norm, conv
from pruning_cases import mlp

from mipnet.certify import Binaries, Unstable
from mipnet.errors import MaskError, RegionError
from mipnet.network import Affine, Flatten, Network, ReLU
from mipnet.network.layers import MaxPool
from mipnet.pruning import (
    Budget,
    Macs,
    Parameters,
    Pruner,
    Tiles,
    prunable_layers,
    prune,
    register_pruner,
)
from mipnet.pruning.counting import n_macs, n_tiles
from mipnet.pruning.registry import PRUNERS
from mipnet.region import Box

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


@dataclass(frozen=True)
class Alive(Budget):
    """Hidden neurons with a positive bias: a cost of the weights, which training changes."""

    amount: float
    currency = "living neurons"

    def measure(self, network):
        layers = [node.layer for node in network.nodes if isinstance(node.layer, Affine)]
        return sum(int((layer.bias > 0.0).sum()) for layer in layers[:-1])


def valley(weight, bias):
    """Layers of 4 and 2 neurons, in [-1, 1]^2; fewer units leave more of them unstable."""
    first = Affine([[10.0, 0.0], [0.1, 0.0], [0.0, 0.05], [0.0, 0.04]], [0.0, 6.0, 0.0, 0.0])
    layers = [first, ReLU(), Affine(weight, bias), ReLU(), Affine(np.ones((1, 2)), [0.0])]
    return Network.sequential(layers)


def test_where_the_smallest_network_costs_too_much_others_are_tried():
    net = valley([[-1.0, 3.0, 0.1, 0.1], [0.2, 0.1, 0.0, 0.0]], [3.0, 0.1])
    budget = Unstable(1, Box(-np.ones(2), np.ones(2)))
    small = prune(net, "magnitude", budget=budget)
    assert small.report.reached == budget.measure(small.network) == 1
    assert [len(m.kept) for m in small.mask.layers.values()] == [2, 1]
    # One unit in every layer costs more than that.
    assert budget.measure(prune(net, "magnitude", 1e-9).network) == 2


class Steps(Alive):
    """What a network of so many units costs is written down."""

    def __init__(self, amount, costs):
        object.__setattr__(self, "amount", amount)
        object.__setattr__(self, "costs", costs)

    def measure(self, network):
        return self.costs(network.shapes["affine0"][0])


def test_of_costs_that_rise_in_between_the_largest_size_found_counts():
    net = mlp(3, 20, 2)
    # 13 and 12 units keep to it, and so would 1 if it cost less.
    costs = {20: 9, 13: 1, 12: 1}
    small = prune(net, "magnitude", budget=Steps(2, lambda n: costs.get(n, 5)))
    assert small.network.shapes["affine0"] == (13,)
    with pytest.raises(
        MaskError, match=r"cannot be reached.* there are 5; of all 20 sizes .* has 1"
    ):
        prune(net, "magnitude", budget=Steps(0.5, lambda n: costs.get(n, 5)))
    with pytest.raises(MaskError, match=r"no network along the order .* 34 of 200 sizes .* has 5"):
        prune(mlp(3, 200, 2), "magnitude", budget=Steps(0.5, lambda n: 9 if n == 200 else 5))


@pytest.fixture
def trainer():
    """Register a method whose training does to biases what the test says."""

    def file(change):
        @register_pruner("trainer")
        @dataclass(kw_only=True)
        class Trainer(Pruner):
            source = "test"
            needs = frozenset()

            def scores(self, network, data, rng):
                return {
                    n: np.arange(g.width, 0.0, -1.0) for n, g in prunable_layers(network).items()
                }

            def finish(self, job, masked, mask):
                layer = masked.by_name["affine0"].layer
                keep = mask.layers["affine0"].keep
                return masked.with_layers({"affine0": replace(layer, bias=change(keep))})

    yield file
    PRUNERS.pop("trainer", None)


def dead_net(width=12):
    weight = np.random.default_rng(0).normal(size=(width, 3))
    bias = np.where(np.arange(width) % 2, 1.0, -1.0)
    return Network.sequential([Affine(weight, bias), ReLU(), Affine(np.ones((1, width)), [0.0])])


def test_training_that_breaks_a_budget_costs_more_units(trainer):
    trainer(lambda keep: np.where(keep, 1.0, 0.0))  # every bias becomes positive
    found = prune(dead_net(), "trainer", budget=Alive(3))
    # Six units have three living ones; after training all six live, and the best three stay.
    assert found.mask.layers["affine0"].kept.tolist() == [0, 1, 2]
    assert found.report.reached == Alive(0).measure(found.network) == 3
    assert found.report.rounds == 1
    assert "more units went once" in str(found.report)
    kept = prune(dead_net(), "trainer", budget=Parameters(31)).report
    assert (kept.reached, kept.rounds, kept.notes) == (31, 0, ())


def test_rounds_come_to_an_end(trainer, monkeypatch):
    monkeypatch.setattr("mipnet.pruning.job.ROUNDS", 2)
    trainer(
        lambda keep: np.where(keep, -1.0, 0.0) + 2.0 * (np.cumsum(keep) > keep.sum() - 4) * keep
    )
    assert prune(dead_net(40), "trainer", budget=Alive(4)).report.reached == 4
    with pytest.raises(MaskError, match=r"does not last: after 2 rounds .* there are 4"):
        prune(dead_net(40), "trainer", budget=Alive(3))


def test_training_that_leaves_no_way_says_so(trainer):
    trainer(lambda keep: np.where(keep, 1.0, 0.0))
    with pytest.raises(MaskError, match=r"training has made the network cost more again.* reached"):
        prune(dead_net(), "trainer", budget=Alive(0))


def test_bad_requests_fail_before_any_training():
    x, y = np.zeros((4, 6)), np.arange(4) % 3
    options = {"data": x, "y": y, "epochs": 10**9}
    for bad, match in (
        ({"keep": 1.5}, "fraction of units"),
        ({"budget": Parameters(-1)}, "from 0 on"),
        ({"scope": "all"}, "unknown scope"),
    ):
        with pytest.raises(MaskError, match=match):
            prune(NET, "spr", **options, **bad)
    with pytest.raises(RegionError):
        prune(NET, "spr", **options, budget=Unstable(3, Box(np.zeros(9), np.ones(9))))


REGION = Box(-np.ones(3), np.ones(3))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("scratch", {"epochs": 8}),
        ("gohsp", {"epochs": 2, "finetune_epochs": 8}),
        ("spr", {"epochs": 2, "finetune_epochs": 8}),
        ("elastic_net", {"epochs": 2, "finetune_epochs": 8}),
        ("reconvene", {"epochs": 8, "least": 1}),
        ("bmrs", {"epochs": 2, "finetune_epochs": 8}),
        ("bmrs", {"epochs": 2, "when": "after", "levels": 2}),
        ("mip", {}),
        ("wanda_sp", {"propagate": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_budgets_of_weights_hold_at_the_end(method, options, scope):
    if options.get("propagate") and scope == "global":
        pytest.skip("decides layer by layer")
    rng = np.random.default_rng(0)
    net = mlp(3, 14, 8, 3)
    x = rng.normal(size=(40, 3))
    y = net(x).argmax(axis=1)
    options = {"lr": 0.05, **options} if "epochs" in options else options
    budget = (Binaries if scope == "layer" else Unstable)(4, REGION)
    found, again = (
        prune(net, method, data=x, y=y, budget=budget, scope=scope, **options) for _ in range(2)
    )
    assert budget.measure(found.network) == found.report.reached <= budget.amount
    assert np.abs(found.network(x) - found.masked(x)).max() < 1e-9
    assert again.network.fingerprint == found.network.fingerprint
