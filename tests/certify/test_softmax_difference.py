"""Differences of probabilities: held by their bounds, and 0 where scores are the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_cases import mlp

from mipnet.certify import difference_bounds, simplify
from mipnet.certify.softmax_difference import SoftmaxDifference
from mipnet.network import Affine, Interval
from mipnet.network.interval import LinearForm
from mipnet.network.layers import LogSoftmax, Softmax


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([Softmax(), LogSoftmax(), Softmax(0), LogSoftmax(0)]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1e-9, 0.1, 1.0, 6.0]),
)
def test_the_bounds_hold_every_pair(layer, seed, width):
    rng = np.random.default_rng(seed)
    shape = (3, 4)
    low, d_low = rng.normal(size=(2, 1, *shape)) * [[[[2.0]]], [[[width]]]]
    spread, d_spread = rng.random((2, 1, *shape)) * [[[[2.0]]], [[[width]]]]
    before, d = Interval(low, low + spread), Interval(d_low, d_low + d_spread)
    after = Interval(low + d_low, low + spread + d_low + d_spread)
    y = low + spread * rng.random((400, *shape))
    delta = d_low + d_spread * rng.integers(0, 2, (400, *shape))
    pair = SoftmaxDifference(layer)
    values = pair.forward(delta, y, y + delta)
    found, slack = pair.interval(d, before, after), 1e-13
    assert (values >= found.lower - slack).all()
    assert (values <= found.upper + slack).all()
    targets = np.concatenate([np.eye(12), -np.eye(12), rng.normal(size=(5, 12))])
    zero = np.zeros((1, len(targets)))
    form = LinearForm(targets.reshape(1, -1, *shape), zero, zero)
    one = pair.carry(form, pair.carried(d, before, after))
    assert not one.coefficients.any()
    wanted = values.reshape(400, -1) @ targets.T
    assert (wanted >= one.constant - one.error - slack).all()


@pytest.mark.parametrize("layer", [Softmax(), LogSoftmax()])
def test_networks_that_end_in_probabilities(layer):
    net = mlp(3, 12, 8, 4, seed=2).then(layer, "end")
    box = (-0.3, 0.3)
    last = net.by_name["affine2"].layer
    moved = net.with_layers(
        {"affine2": Affine(last.weight, last.bias + np.array([1e-3, 0, 0, -1e-3]))}
    )
    found = difference_bounds(net, moved, box)
    apart = net(x := np.random.default_rng(0).uniform(*box, (500, 3))) - moved(x)
    assert (apart >= found.lower - 1e-14).all()
    assert (apart <= found.upper + 1e-14).all()
    assert found.largest <= 2.1e-3
    assert simplify(net, (0.0, 0.1)).certificate.difference <= 1e-12


def test_what_bounds_prove_before_counts_in_the_certificate():
    for seed in range(8):
        net = mlp(3, 30, 20, 2, seed=seed)
        for bounds in ("crown", "alpha"):
            found = simplify(net, (0.0, 0.4), bounds=bounds)
            assert found.certificate.inactive
            assert found.certificate.difference <= 1e-9
