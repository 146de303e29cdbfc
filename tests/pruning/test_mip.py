"""The parts of ``mip``: what the outputs lose with a unit, and what the program does."""

import numpy as np
import pytest
from graph_cases import graphs
from hypothesis import given, settings
from pruning_cases import mlp

from mipnet.bounds import compute_bounds
from mipnet.errors import MaskError
from mipnet.network import Affine, Flatten, Interval, Network, ReLU
from mipnet.network.layers import Conv, MaxPool
from mipnet.pruning import Parameters, prunable_layers, prune, pruner
from mipnet.pruning.effect import effects
from mipnet.pruning.layout import activations, layout
from mipnet.pruning.methods.mip_gain import gain
from mipnet.region import Box, ball

NET = mlp(4, 10, 7, 3)
DATA = np.random.default_rng(0).normal(size=(40, 4))


def two_layers(weight, bias, out):
    return Network.sequential([Affine(weight, bias), ReLU(), Affine(out, np.zeros(len(out)))])


@pytest.mark.parametrize("centred", [True, False])
def test_effect_in_front_of_the_output_is_exact(centred):
    net = mlp(4, 6, 3)
    found = effects(net, DATA, layout(net), centred=centred)
    (values,) = activations(net, DATA).values()
    out = net.by_name["affine1"].layer.weight
    for unit in range(6):
        constant = values[unit].mean() if centred else 0.0
        change = np.outer(values[unit] - constant, out[:, unit])
        wanted = np.sqrt(np.square(change).sum(axis=1).mean())
        assert found[unit] == pytest.approx(wanted)


def test_effect_is_the_first_order_change_deeper_in():
    found = effects(NET, DATA, layout(NET), centred=False)
    x = DATA[:1]
    single = effects(NET, x, layout(NET), centred=False)
    step = 1e-6
    for unit in range(10):
        out = NET.by_name["affine1"].layer.weight.copy()
        out[:, unit] *= 1.0 - step
        moved = NET.with_layers({"affine1": Affine(out, NET.by_name["affine1"].layer.bias)})
        slope = np.linalg.norm(moved(x) - NET(x)) / step
        assert single[unit] == pytest.approx(slope, rel=1e-4, abs=1e-6)
    assert found.shape == (17,)


def test_the_effect_of_a_channel_adds_up_its_elements():
    rng = np.random.default_rng(0)
    layers = [Conv(rng.normal(size=(3, 1, 2, 2)), rng.normal(size=3)), ReLU(), Flatten()]
    net = Network.sequential([*layers, Affine(rng.normal(size=(2, 12)), [0.0, 0.0])], (1, 3, 3))
    x = rng.normal(size=(5, 1, 3, 3))
    values = np.maximum(net.trace(x)["conv0"], 0.0)[:, 1].reshape(5, 4)
    change = values @ net.by_name["affine0"].layer.weight[:, 4:8].T
    wanted = np.sqrt(np.square(change).sum(axis=1).mean())
    assert effects(net, x, layout(net), centred=False)[1] == pytest.approx(wanted)


def test_gain_by_hand():
    # Over [-1, 1]^2: unit 0 is unstable in [-2, 2], unit 1 always active in [1, 3], unit 2 dead.
    net = Network.sequential(
        [
            Affine([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]], [0.0, 2.0, -5.0]),
            ReLU(),
            Affine([[1.0, 2.0, 7.0], [1.0, 1.0, 1.0]], [-4.0, 0.0]),
            ReLU(),
            Affine([[1.0, 0.0]], [0.0]),
        ]
    )
    region = Box(-np.ones(2), np.ones(2))
    found = gain(net, region, layout(net), "interval")
    bounds = compute_bounds(net, region, "interval")
    assert bounds["affine1"].lower[0, 0] == pytest.approx(-2.0)
    assert bounds["affine1"].upper[0, 0] == pytest.approx(4.0)
    np.testing.assert_allclose(found.binaries, [1, 0, 0, 1, 0])
    # Of the width 6 of the one unstable neuron behind, 2 come from unit 0 and 4 from unit 1.
    np.testing.assert_allclose(found.looseness[:3], [2 / 6, 4 / 6, 0.0])
    # Only -f reads h3 by its upper line, of triangle 2 * 4 / 6 and slope 4 / 6; through it unit
    # 0, of triangle 1.
    assert found.sensitivity[3] == pytest.approx(8 / 6)
    assert found.sensitivity[1] == found.sensitivity[2] == found.sensitivity[4] == 0.0
    assert found.sensitivity[0] == pytest.approx(4 / 6)


def test_binaries_agree_with_the_bounds():
    region = ball(np.zeros(4), 0.3, "linf")
    found = gain(NET, region, layout(NET))
    assert found.binaries.sum() == compute_bounds(NET, region).n_unstable


def test_what_costs_binaries_goes_first_among_equals():
    # Twelve units alike for the outputs; the first six are unstable over the region.
    weight = np.zeros((12, 2))
    weight[:, 0] = 1.0
    bias = np.r_[np.zeros(6), np.full(6, 3.0)]
    net = two_layers(weight, bias, np.ones((1, 12))).with_input_bounds(-5.0, 5.0)
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=(50, 2)))
    kept = prune(net, "mip", 0.5, x, radius=0.5, trade=1.0).mask.layers["affine0"].kept
    assert kept.tolist() == list(range(6, 12))


def test_trade_zero_is_the_loss_alone():
    scores = pruner("mip", trade=0.0).scores(NET, DATA, np.random.default_rng(0))
    wanted = effects(NET, DATA, layout(NET))
    np.testing.assert_allclose(np.r_[scores["affine0"], scores["affine1"]], wanted)


def test_means_are_folded_and_budgets_of_any_kind_are_met():
    folded, bare = (prune(NET, "mip", 0.6, DATA, compensate=c).network for c in ("mean", "none"))
    errors = [np.square(n(DATA) - NET(DATA)).mean() for n in (folded, bare)]
    assert errors[0] < errors[1]
    small = prune(NET, "mip", budget=Parameters(60), data=DATA, radius=0.1)
    assert small.network.n_parameters <= 60


def test_regions_come_from_radius_bounds_or_data():
    method = pruner("mip", radius=0.25, regions=3)
    rng = np.random.default_rng(0)
    bounded = NET.with_input_bounds(-1.0, 1.0)
    regions = method._regions(bounded, DATA, rng)
    assert len(regions) == 3
    assert all((r.lower >= -1.0).all() and (r.upper <= 1.0).all() for r in regions)
    (whole,) = pruner("mip")._regions(bounded, DATA, rng)
    assert (whole.lower == -1.0).all()
    (span,) = pruner("mip")._regions(NET, DATA, rng)
    np.testing.assert_array_equal(span.upper, DATA.max(axis=0))
    half = NET.with_input_bounds(-np.inf, 9.0)
    (mixed,) = pruner("mip")._regions(half, DATA, rng)
    np.testing.assert_array_equal(mixed.lower, DATA.min(axis=0))
    assert (mixed.upper == 9.0).all()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"trade": -1.0}, "trade"),
        ({"binaries": 0.0, "looseness": 0.0, "sensitivity": 0.0}, "one weight above 0"),
        ({"radius": -1.0}, "mip: "),
        ({"radius": 1.0, "norm": "l7"}, "l7"),
        ({"regions": 0, "radius": 1.0}, "whole number"),
    ],
)
def test_bad_options_are_refused(wrong, match):
    with pytest.raises(MaskError, match=match):
        prune(NET, "mip", 0.5, DATA, **wrong)


def test_gain_of_maxima_by_hand():
    # x in [0, 1]: max(x, 0.5) in one window, max(x, x + 2) in the other, which is known.
    ends = [[[0.0, 0.5]], [[0.0, 2.0]]], [[[1.0, 0.5]], [[1.0, 3.0]]]
    box = Interval(*(np.array([end]) for end in ends))
    # From (0, 0.5) to (1, 1) the chord lies 0.25 above the kink at 0.5.
    found = MaxPool((1, 2)).height(box)
    np.testing.assert_allclose(found, [[[[0.25]], [[0.0]]]])


@settings(deadline=None, max_examples=25)
@given(graphs())
def test_every_net_has_scores(net):
    if not any((group.ids >= 0).any() for group in prunable_layers(net).values()):
        return
    x = np.random.default_rng(0).normal(size=(6, *net.input_shape))
    for radius in (None, 0.1):
        scores = pruner("mip", radius=radius, regions=2).scores(net, x, np.random.default_rng(0))
        for name, group in prunable_layers(net).items():
            assert scores[name].shape == (group.width,)
            assert np.isfinite(scores[name]).all()


@pytest.mark.parametrize("order", [(ReLU(), MaxPool((2, 2))), (MaxPool((2, 2)), ReLU())])
def test_channels_behind_maxima_are_weighed(order):
    # Two channels alike but for a shift: the second is positive and constant in order.
    rng = np.random.default_rng(0)
    weight = np.repeat(rng.normal(size=(1, 1, 3, 3)), 2, axis=0)
    layers = [Conv(weight, [0.0, 20.0], padding=1), *order, Flatten()]
    net = Network.sequential([*layers, Affine(np.ones((1, 32)), [0.0])], (1, 8, 8))
    found = gain(net, Box(np.zeros((1, 8, 8)), np.ones((1, 8, 8))), layout(net))
    assert found.binaries[0] > found.binaries[1] > 0
    assert found.sensitivity[0] > found.sensitivity[1] > 0.0
    x = rng.random((10, 1, 8, 8))
    assert prune(net, "mip", 0.5, x).report.units_after == 1
