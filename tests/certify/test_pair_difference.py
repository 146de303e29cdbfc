"""Differences behind pooling and curves: held by lines, and tighter than both values alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_cases import mlp

from mipnet.certify import difference_bounds
from mipnet.certify.max_difference import MaxDifference
from mipnet.certify.slope_difference import SlopeDifference, slopes_of
from mipnet.network import Affine, Flatten, Interval, Network, ReLU
from mipnet.network.interval import LinearForm
from mipnet.network.layers import (
    GELU,
    Abs,
    AvgPool,
    Clip,
    Conv,
    GlobalMaxPool,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    MaxPool,
    PReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from mipnet.network.layers.curve import Curve
from mipnet.pruning import prune

CURVES = [
    *(Tanh(), Sigmoid(), Softplus(), SiLU(), HardSwish(), GELU(), GELU(approximate="tanh")),
    *(LeakyReLU(0.2), LeakyReLU(-0.5), PReLU([1.5]), Abs(), Clip(-0.5, 2.0), HardSigmoid()),
]
ends = st.floats(-6, 6).map(lambda x: round(x, 2))
widths = st.sampled_from([0.0, 0.01, 0.5, 2.0, 7.0])
share = st.floats(0, 1)


def box(low, width):
    return Interval(np.array([[low]]), np.array([[low + width]]))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(CURVES), ends, widths, ends, widths, share, share)
def test_the_lines_of_a_curve_hold_every_pair(layer, d, dw, y, yw, at, where):
    apart, before = box(d, dw), box(y, yw)
    after = Interval(apart.lower + before.lower, apart.upper + before.upper)
    delta, first = (np.array([[low + s * w]]) for low, w, s in ((d, dw, at), (y, yw, where)))
    value = (layer.forward(first + delta) - layer.forward(first))[0, 0]
    pair = SlopeDifference(layer)
    found = pair.interval(apart, before, after)
    slack = 1e-11
    assert found.lower[0, 0] - slack <= value <= found.upper[0, 0] + slack
    rise, above, _, fall, below, *_ = (a[0, 0] for a in pair.carried(apart, before, after))
    assert fall * delta[0, 0] + below - slack <= value <= rise * delta[0, 0] + above + slack
    np.testing.assert_allclose(pair.forward(delta, first, first + delta), value, atol=1e-12)
    if pair.idle(before, after).all():
        assert value == 0.0


@pytest.mark.parametrize("layer", CURVES, ids=lambda layer: layer.kind)
def test_slopes_are_those_of_secants(layer):
    rng = np.random.default_rng(0)
    low = rng.uniform(-5, 5, (200, 1))
    high = low + rng.choice([0.0, 0.1, 1.0, 6.0], (200, 1))
    least, most = slopes_of(layer, low, high)
    x = np.linspace(low, high, 400)[..., 0].T
    f = layer.forward(x[..., None])[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        secants = np.diff(f, axis=1) / np.diff(x, axis=1)
    wide = (high > low)[:, 0]
    assert (secants[wide] >= least[wide] - 1e-9).all()
    assert (secants[wide] <= most[wide] + 1e-9).all()
    if not isinstance(layer, Curve):
        return
    # And no wider than the steepest of these, as far as a grid can tell.
    np.testing.assert_allclose(secants[wide].min(axis=1), least[wide, 0], atol=0.02)
    np.testing.assert_allclose(secants[wide].max(axis=1), most[wide, 0], atol=0.02)


POOLS = [
    *(MaxPool((2, 2)), MaxPool((2, 2), stride=1), MaxPool((3, 3), stride=2, padding=1)),
    *(MaxPool((2, 2), dilation=2, stride=1), GlobalMaxPool()),
]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(POOLS), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.05, 0.5, 2.0]))
def test_the_lines_of_a_largest_element_hold_every_pair(layer, seed, width):
    rng = np.random.default_rng(seed)
    shape = (1, 2, 4, 4)
    low, d_low = rng.integers(-3, 4, (2, *shape)).astype(float)
    spread, d_spread = rng.random((2, *shape)) * width
    before, d = Interval(low, low + spread), Interval(d_low, d_low + d_spread)
    after = Interval(low + d_low, low + spread + d_low + d_spread)
    pair = MaxDifference(layer)
    y = low + spread * rng.random((300, *shape[1:]))
    delta = d_low + d_spread * rng.random((300, *shape[1:]))
    values = pair.forward(delta, y, y + delta)
    found, slack = pair.interval(d, before, after), 1e-10
    assert (values >= found.lower - slack).all()
    assert (values <= found.upper + slack).all()
    # Through the rules that bounds use: the lines alone, from a box of differences.
    inputs = [d, before, after]
    relaxation = pair.relax(*inputs)
    outputs = found.lower[0].size
    targets = np.concatenate([np.eye(outputs), -np.eye(outputs), rng.normal(size=(5, outputs))])
    zero = np.zeros((1, len(targets)))
    form = LinearForm(targets.reshape(1, len(targets), *found.lower.shape[1:]), zero, zero)
    wanted = values.reshape(len(values), -1) @ targets.T
    for parts in (pair.backward(form, relaxation), [pair.carry(form, pair.carried(*inputs))]):
        lines = sum(
            part.constant - part.error + x.reshape(len(x), -1) @ _flat(part, len(targets))
            for part, x in zip(parts, (delta, y, y + delta), strict=False)
        )
        assert (wanted >= lines - slack).all()


def _flat(form, targets):
    return form.coefficients[0].reshape(targets, -1).T


def image(pool, curve, seed=0):
    rng = np.random.default_rng(seed)
    layers = [
        *(Conv(0.3 * rng.normal(size=(8, 1, 3, 3)), rng.normal(size=8), padding=1), curve, pool),
        *(Conv(0.3 * rng.normal(size=(6, 8, 2, 2)), rng.normal(size=6)), curve, Flatten()),
    ]
    width = int(np.prod(Network.sequential(layers, (1, 6, 6)).shapes["flatten0"]))
    layers.append(Affine(0.3 * rng.normal(size=(3, width)), rng.normal(size=3)))
    return Network.sequential(layers, (1, 6, 6))


@pytest.mark.parametrize("pool", [MaxPool((2, 2)), AvgPool((2, 2)), MaxPool((3, 3), stride=1)])
@pytest.mark.parametrize("curve", [ReLU(), Tanh(), SiLU(), LeakyReLU(0.1)], ids=lambda c: c.kind)
def test_networks_with_pooling_and_curves(pool, curve):
    net = image(pool, curve)
    tuned = net.with_layers(
        {
            n.name: replace(n.layer, weight=n.layer.weight + 1e-3)
            for n in net.nodes
            if isinstance(n.layer, Affine | Conv)
        }
    )
    pruned = prune(net, "magnitude", 0.8)
    for found, other, gain in ((pruned, pruned.network, 1.05), (tuned, tuned, 5.0)):
        for radius in (0.05, 0.5):
            bounds = difference_bounds(net, found, (0.5 - radius, 0.5 + radius))
            x = np.random.default_rng(1).uniform(0.5 - radius, 0.5 + radius, (400, 1, 6, 6))
            apart = net(x) - other(x)
            assert (apart >= bounds.lower - 1e-10).all()
            assert (apart <= bounds.upper + 1e-10).all()
            assert bounds.method == "propagation"
            alone = (bounds.separate_upper - bounds.separate_lower).mean()
            assert gain * (bounds.upper - bounds.lower).mean() < alone


def test_what_is_the_same_before_and_behind_cancels():
    """A shift of all elements of a window shifts the largest; of a saturated curve, nothing."""
    net = image(MaxPool((2, 2)), ReLU())
    first = net.by_name["conv0"].layer
    moved = net.with_layers({"conv0": Conv(first.weight, first.bias + 1e-3, padding=1)})
    bounds = difference_bounds(net, moved, (0.0, 1.0))
    x = np.random.default_rng(0).random((500, 1, 6, 6))
    apart = np.abs(moved(x) - net(x)).max()
    assert apart <= bounds.largest < 30 * apart
    flat = mlp(3, 5, 2).with_layers({})
    layers = [n.layer if isinstance(n.layer, Affine) else Clip(-1.0, 0.5) for n in flat.nodes]
    layers[0] = Affine(0.01 * layers[0].weight, np.full(5, 3.0))
    other = [Affine(layers[0].weight, np.full(5, 4.0)), *layers[1:]]
    box = (np.zeros(3), np.ones(3))
    still = difference_bounds(Network.sequential(layers), Network.sequential(other), box)
    assert still.largest < 1e-12
