"""Random networks and masks with exact arithmetic, shared by the pruning tests."""

import itertools

import numpy as np
from hypothesis import strategies as st

from mipnet.network import Affine, Flatten, Network, ReLU
from mipnet.pruning import Mask, prunable_layers


@st.composite
def networks(draw):
    """Chains whose small integer weights, many of them 0, make every float result exact."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    widths = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    layers = []
    image = draw(st.booleans())
    if image:
        layers.append(Flatten())
    if draw(st.booleans()):
        layers.append(ReLU())
    for n_in, n_out in itertools.pairwise(widths):
        density = draw(st.sampled_from([0.2, 0.5, 1.0]))
        weight = rng.integers(-3, 4, (n_out, n_in)) * (rng.random((n_out, n_in)) < density)
        layers.append(Affine(weight, rng.integers(-3, 4, n_out)))
        if draw(st.integers(0, 3)):
            layers.append(ReLU())
    return Network.sequential(layers, (1, widths[0]) if image else widths[0])


@st.composite
def masked_networks(draw):
    """Network, and a mask for some of its layers, with integer compensation for some."""
    network = draw(networks())
    kept, values = {}, {}
    for name, group in prunable_layers(network).items():
        if draw(st.integers(0, 3)):
            flags = draw(st.lists(st.booleans(), min_size=group.width, max_size=group.width))
            kept[name] = np.array(flags, bool)
            if draw(st.booleans()):
                size = group.width - sum(flags)
                values[name] = draw(
                    st.lists(st.integers(-3, 3), min_size=size, max_size=size).map(np.array)
                )
    return network, Mask.from_kept(network, kept, compensation=values)


def integer_inputs(network, points=40, seed=0):
    """Integer inputs, shape (points, *input_shape)."""
    return np.random.default_rng(seed).integers(-4, 5, (points, *network.input_shape)).astype(float)


def mlp(*widths, seed=0, dtype="float64"):
    """Dense ReLU network with normal weights."""
    rng = np.random.default_rng(seed)
    layers = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [Affine(rng.normal(size=(n_out, n_in)), rng.normal(size=n_out)), ReLU()]
    return Network.sequential(layers[:-1], dtype=dtype)
