"""Small random layers of every kind, with the shapes of their inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from mipnet.errors import QueryError
from mipnet.network import layers as known
from mipnet.network.layers.base import Layer, Shape, layer_class

Rng: TypeAlias = np.random.Generator
#: A layer and the shapes of its inputs.
Example: TypeAlias = tuple[Layer, Sequence[Shape]]
Maker: TypeAlias = Callable[[Rng], Example]

_IMAGE, _VECTOR = (2, 3, 3), (4,)


def _flat(make: Callable[[Rng], Layer]) -> Maker:
    return lambda rng: (make(rng), [_VECTOR])


def _batch_norm(rng: Rng) -> Layer:
    weight, bias, mean = rng.normal(size=(3, 2))
    return known.BatchNorm(weight, bias, mean, rng.uniform(0.5, 2.0, size=2))


#: Of the kinds whose constructor needs something; the others bring theirs as ``Layer.example``.
EXAMPLES: Mapping[str, Maker] = {
    "Add": lambda rng: (known.Add((1.0, -0.5)), [_VECTOR] * 2),
    "Affine": _flat(lambda rng: known.Affine(rng.normal(size=(3, 4)), rng.normal(size=3))),
    "AvgPool": lambda rng: (known.AvgPool((2, 2), stride=1, padding=1), [_IMAGE]),
    "BatchNorm": lambda rng: (_batch_norm(rng), [(2, 2, 2)]),
    "Clip": _flat(lambda rng: known.Clip(-0.5, 1.0)),
    "Concat": lambda rng: (known.Concat(2, -1), [(2, 2), (2, 1)]),
    "Conv": lambda rng: (
        known.Conv(
            rng.normal(size=(2, 1, 2, 2)), rng.normal(size=2), padding=(0, 1, 1, 0), groups=2
        ),
        [_IMAGE],
    ),
    "GELU": _flat(lambda rng: known.GELU(0.05)),
    "GlobalAvgPool": lambda rng: (known.GlobalAvgPool(), [_IMAGE]),
    "GlobalMaxPool": lambda rng: (known.GlobalMaxPool(), [(3, 2, 2)]),
    "HardSigmoid": _flat(lambda rng: known.HardSigmoid(0.5, 0.4)),
    "HardSwish": _flat(lambda rng: known.HardSwish(0.05)),
    "LeakyReLU": _flat(lambda rng: known.LeakyReLU(0.2)),
    "LogSoftmax": lambda rng: (known.LogSoftmax(0, 0.03), [(3, 2)]),
    "MaxPool": lambda rng: (known.MaxPool((2, 2), stride=1), [(1, 3, 3)]),
    "PReLU": _flat(lambda rng: known.PReLU(rng.uniform(-0.5, 1.5, size=4))),
    "Reshape": lambda rng: (known.Reshape((3, -1)), [_IMAGE]),
    "Scale": _flat(lambda rng: known.Scale(rng.normal(size=4), rng.normal(size=4))),
    "SiLU": _flat(lambda rng: known.SiLU(0.05)),
    "Sigmoid": _flat(lambda rng: known.Sigmoid(0.05)),
    "Slice": lambda rng: (known.Slice((2, 0), (-9, 9), (0, 1), (-2, 1)), [(3, 2)]),
    "Softmax": lambda rng: (known.Softmax(), [(3,)]),
    "Softplus": _flat(lambda rng: known.Softplus(0.05)),
    "Tanh": _flat(lambda rng: known.Tanh(0.05)),
    "Transpose": lambda rng: (known.Transpose((1, 0)), [(2, 3)]),
}


def maker(layer: str | Maker) -> tuple[str, Maker]:
    """Name of a kind and what makes examples of it.

    Parameters
    ----------
    layer : str or callable
        A registered kind, or a function of a random generator to a layer and the shapes of its
        inputs.

    Raises
    ------
    QueryError
        When no such kind is registered.
    """
    if not isinstance(layer, str):
        return layer(np.random.default_rng(0))[0].kind, layer
    try:
        cls = layer_class(layer)
    except KeyError as error:
        raise QueryError(str(error.args[0])) from error
    return layer, EXAMPLES.get(layer, cls.example)
