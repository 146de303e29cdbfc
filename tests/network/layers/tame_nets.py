"""Small networks with two inputs, one for each kind of layer, of moderate numbers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from mipnet.network import Affine, Flatten, Layer, Network, Node, ReLU
from mipnet.network.layers import (
    GELU,
    Abs,
    Add,
    AvgPool,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    GlobalAvgPool,
    GlobalMaxPool,
    HardSigmoid,
    HardSwish,
    Identity,
    LeakyReLU,
    LogSoftmax,
    MaxPool,
    PReLU,
    Reshape,
    Scale,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Softplus,
    Tanh,
    Transpose,
)

Rng = np.random.Generator
Made = tuple[Layer, list[tuple[int, ...]]]

IMAGE, VECTOR = (2, 3, 3), (5,)

#: The layer under test and the shapes of its inputs.
LAYERS: dict[str, Callable[[Rng], Made]] = {
    "Abs": lambda rng: (Abs(), [VECTOR]),
    "Add": lambda rng: (Add((1.0, -0.5)), [VECTOR] * 2),
    "Affine": lambda rng: (Affine(rng.normal(size=(4, 5)), rng.normal(size=4)), [VECTOR]),
    "AvgPool": lambda rng: (AvgPool((2, 2), stride=1, padding=1), [IMAGE]),
    "BatchNorm": lambda rng: (
        BatchNorm(*rng.normal(size=(3, 2)), rng.uniform(0.5, 2.0, size=2)),
        [IMAGE],
    ),
    "Clip": lambda rng: (Clip(-0.5, 1.0), [VECTOR]),
    "Concat": lambda rng: (Concat(2, -1), [(2, 2), (2, 1)]),
    "Conv": lambda rng: (
        Conv(rng.normal(size=(2, 1, 2, 2)), rng.normal(size=2), padding=(0, 1, 1, 0), groups=2),
        [IMAGE],
    ),
    "Flatten": lambda rng: (Flatten(), [IMAGE]),
    "GlobalAvgPool": lambda rng: (GlobalAvgPool(), [IMAGE]),
    "GlobalMaxPool": lambda rng: (GlobalMaxPool(), [(3, 2, 2)]),
    "HardSigmoid": lambda rng: (HardSigmoid(0.5, 0.4), [VECTOR]),
    "Identity": lambda rng: (Identity(), [VECTOR]),
    "LeakyReLU": lambda rng: (LeakyReLU(0.2), [VECTOR]),
    "MaxPool": lambda rng: (MaxPool((2, 2), stride=1), [IMAGE]),
    "PReLU": lambda rng: (PReLU(rng.uniform(-0.5, 1.5, size=5)), [VECTOR]),
    "ReLU": lambda rng: (ReLU(), [VECTOR]),
    "Reshape": lambda rng: (Reshape((3, -1)), [IMAGE]),
    "Scale": lambda rng: (Scale(rng.normal(size=5), rng.normal(size=5)), [VECTOR]),
    "Slice": lambda rng: (Slice((2, 0), (-9, 9), (0, 1), (-2, 1)), [(3, 2)]),
    "Transpose": lambda rng: (Transpose((1, 0)), [(2, 3)]),
    "GELU": lambda rng: (GELU(0.05), [VECTOR]),
    "HardSwish": lambda rng: (HardSwish(0.05), [VECTOR]),
    "LogSoftmax": lambda rng: (LogSoftmax(0, 0.03), [(3, 2)]),
    "Softmax": lambda rng: (Softmax(), [(3,)]),
    "Sigmoid": lambda rng: (Sigmoid(0.05), [VECTOR]),
    "SiLU": lambda rng: (SiLU(0.05), [VECTOR]),
    "Softplus": lambda rng: (Softplus(0.05), [VECTOR]),
    "Tanh": lambda rng: (Tanh(0.05), [VECTOR]),
}


def around(kind: str, seed: int, outputs: int = 2) -> Network:
    """Two inputs, a ReLU layer, the layer (twice where it keeps shapes), a ReLU layer, outputs."""
    rng = np.random.default_rng([seed, *kind.encode()])
    layer, shapes = LAYERS[kind](rng)
    width = sum(prod(s) for s in shapes)
    nodes = [Node("wide", _affine(rng, width, 2), ("input",)), Node("on", ReLU(), ("wide",))]
    # Elementwise layers see values of both signs.
    source = "wide" if len(shapes) == 1 and shapes[0] == VECTOR else "on"
    parts, first = [], 0
    for k, shape in enumerate(shapes):
        cut = Slice((first,), (first + prod(shape),))
        nodes.append(Node(f"cut{k}", cut, (source,)))
        nodes.append(Node(f"part{k}", Reshape(shape), (f"cut{k}",)))
        parts.append(f"part{k}")
        first += prod(shape)
    nodes.append(Node("layer", layer, tuple(parts)))
    nodes.append(Node("flat", Flatten(), ("layer",)))
    size = prod(layer.output_shape(*shapes))
    last = "flat"
    if layer.nonlinear and shapes == [VECTOR]:
        nodes += [Node("mix", _affine(rng, 5, size), (last,)), Node("again", layer, ("mix",))]
        last, size = "again", 5
    nodes.append(Node("narrow", _affine(rng, 3, size), (last,)))
    nodes.append(Node("kink", ReLU(), ("narrow",)))
    nodes.append(Node("out", _affine(rng, outputs, 3), ("kink",)))
    return Network(tuple(nodes), (2,))


def _affine(rng: Rng, m: int, n: int) -> Affine:
    return Affine(rng.normal(size=(m, n)) * (2.0 / n) ** 0.5, 0.3 * rng.normal(size=m))


def grid(lower: np.ndarray, upper: np.ndarray, count: int = 101) -> np.ndarray:
    """Points of a box of two inputs, its corners among them."""
    axes = [np.linspace(a, b, count) for a, b in zip(lower, upper, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
