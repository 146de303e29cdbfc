"""Units of columns: exact, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from formulations.scaling import units
from mipnet.network import Affine, Network, ReLU
from mipnet.search import minimize
from tests.search.search_cases import random_network


def test_units_are_powers_of_two_and_leave_moderate_columns() -> None:
    rng = np.random.default_rng(0)
    size = 10.0 ** rng.uniform(-250, 250, 500)
    unit = units(-size, 0.5 * size)
    mantissa, _ = np.frexp(unit)
    assert np.all(mantissa == 0.5)
    assert np.all(unit[(size >= 0.0625) & (size <= 128.0)] == 1.0)
    middle = (size > 1e-59) & (size < 1e59)
    assert np.all((size / unit)[middle] <= 128.0)
    assert np.all((size / unit)[middle] >= 0.0625)


def test_columns_of_zero_width_have_unit_one() -> None:
    assert units(np.zeros(2), np.zeros(2)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("seed", range(12))
def test_rescaled_neurons_have_the_same_optimum(seed: int) -> None:
    """Positive homogeneity: neuron times t, outgoing weights by t, is the same function."""
    net = random_network(seed, (4, 8, 8, 2), 1.5)
    rng = np.random.default_rng(seed)
    affines = [n.layer for n in net.nodes if isinstance(n.layer, Affine)]
    weights, biases = [a.weight.copy() for a in affines], [a.bias.copy() for a in affines]
    for k in range(2):
        scale = 2.0 ** rng.integers(-30, 15, size=8)
        weights[k] *= scale[:, None]
        biases[k] *= scale
        weights[k + 1] /= scale
    layers = [Affine(w, b) for w, b in zip(weights, biases, strict=True)]
    twin = Network.sequential([layers[0], ReLU(), layers[1], ReLU(), layers[2]])
    plain, rescaled = (minimize(n, [1.0, -0.5], (-1.0, 1.0)) for n in (net, twin))
    assert plain.status == rescaled.status == "optimal"
    assert rescaled.value == pytest.approx(plain.value, abs=3e-6)
