"""Random graphs of every kind of layer units may pass, with exact arithmetic."""

import numpy as np
from hypothesis import strategies as st

from mipnet.network import INPUT, Affine, Flatten, Network, Node, ReLU
from mipnet.network.layers import (
    Add,
    AvgPool,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    GlobalAvgPool,
    Identity,
    LeakyReLU,
    MaxPool,
    PReLU,
    Reshape,
    Scale,
    Slice,
    Transpose,
)
from mipnet.pruning import Mask, prunable_layers, units_of


def integers(rng, *shape, density=1.0):
    return (rng.integers(-2, 3, shape) * (rng.random(shape) < density)).astype(float)


def conv(rng, n_out, n_in, kernel=3, *, groups=1, padding=None, density=1.0):
    weight = integers(rng, n_out, n_in // groups, kernel, kernel, density=density)
    padding = kernel // 2 if padding is None else padding
    return Conv(weight, integers(rng, n_out), padding=padding, groups=groups)


def batch_norm(rng, channels):
    zero, one = np.zeros(channels), np.ones(channels)
    return BatchNorm(integers(rng, channels), integers(rng, channels), zero, one, epsilon=0.0)


class Builder:
    """Grow a graph node by node."""

    def __init__(self, shape):
        self.nodes, self.shape, self.input = [], {INPUT: shape}, shape

    def add(self, layer, *inputs):
        name = f"n{len(self.nodes)}_{layer.kind.lower()}"
        self.shape[name] = layer.output_shape(*(self.shape[i] for i in inputs))
        self.nodes.append(Node(name, layer, tuple(inputs)))
        return name

    def network(self):
        return Network(tuple(self.nodes), self.input)


def block(draw, rng, build, at):  # noqa: PLR0911
    """One step over an image; the spatial size stays."""
    channels, side, _ = build.shape[at]
    kind = draw(st.sampled_from(
        ["conv", "narrow", "norm", "relu", "leaky", "prelu", "clip", "residual", "concat",
         "depthwise", "grouped", "scale", "flip", "halves", "pool", "identity"]
    ))  # fmt: skip
    density = draw(st.sampled_from([0.3, 1.0]))
    if kind == "conv":
        return build.add(conv(rng, int(rng.integers(1, 5)), channels, density=density), at)
    if kind == "narrow":
        return build.add(conv(rng, 4, channels, 1, density=density), at)
    if kind == "residual":
        inner = build.add(conv(rng, 3, channels, density=density), at)
        inner = build.add(ReLU(), inner)
        inner = build.add(conv(rng, channels, 3, 1, density=density), inner)
        return build.add(Add((1.0, -1.0)), at, inner)
    if kind == "concat":
        other = build.add(conv(rng, 2, channels, density=density), at)
        return build.add(Concat(2, 0), at, other)
    if kind == "depthwise":
        return build.add(conv(rng, 2 * channels, channels, groups=channels, density=density), at)
    if kind == "grouped" and channels % 2 == 0:
        return build.add(conv(rng, 4, channels, groups=2, density=density), at)
    if kind == "scale":
        return build.add(Scale(integers(rng, channels, 1, 1), integers(rng, channels, 1, side)), at)
    if kind == "flip":
        turned = build.add(Transpose((1, 2, 0)), at)
        turned = build.add(Scale(1.0, integers(rng, channels)), turned)
        return build.add(Transpose((2, 0, 1)), turned)
    if kind == "halves" and channels > 1:
        first = build.add(Slice([0], [channels // 2]), at)
        rest = build.add(Slice([-1], [channels // 2 - 1 - channels], [0], [-1]), at)
        return build.add(Concat(2, 0), rest, first)
    if kind == "pool":
        pool = draw(st.sampled_from([MaxPool, AvgPool]))
        return build.add(pool((1, 1)), at)
    layers = {
        "norm": batch_norm(rng, channels),
        "relu": ReLU(),
        "leaky": LeakyReLU(0.5),
        "prelu": PReLU(integers(rng, channels, 1, 1)),
        "clip": Clip(-4.0, 8.0),
    }
    return build.add(layers.get(kind, Identity()), at)


@st.composite
def graphs(draw):
    """Convolutional graphs over small images, ending in a vector."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    build = Builder((2, 4, 4))
    at = build.add(conv(rng, int(rng.integers(2, 5)), 2), INPUT)
    for _ in range(draw(st.integers(1, 5))):
        at = block(draw, rng, build, at)
    tail = draw(st.sampled_from(["flatten", "global", "pooled", "reshape", "image"]))
    if tail == "image":
        build.add(conv(rng, 2, build.shape[at][0]), at)
        return build.network()
    if tail == "global":
        at = build.add(GlobalAvgPool(), at)
    elif tail == "pooled":
        at = build.add(MaxPool((2, 2)), at)
    at = build.add(Reshape((-1,)) if tail == "reshape" else Flatten(), at)
    at = build.add(Affine(integers(rng, 4, build.shape[at][0]), integers(rng, 4)), at)
    at = build.add(ReLU(), at)
    build.add(Affine(integers(rng, 2, 4), integers(rng, 2)), at)
    return build.network()


@st.composite
def masked_graphs(draw):
    """Graph, and a mask of some units of some groups."""
    network = draw(graphs())
    units = units_of(network)
    gone = np.append(
        [draw(st.sampled_from([False, False, True])) for _ in range(units.count)], False
    ).astype(bool)
    kept = {name: ~gone[units.layers[name]] for name in prunable_layers(network)}
    return network, Mask.from_kept(network, kept)
