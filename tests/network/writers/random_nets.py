"""Random networks with branches, of layers of every kind."""

from __future__ import annotations

from math import prod

import numpy as np

from mipnet.network import Affine, Flatten, Layer, Network, Node
from mipnet.network.layers import Concat, Reshape, Slice
from tests.network.layers.layer_cases import CASES


def alone(layer: Layer, shapes: list[tuple[int, ...]]) -> Network:
    """One layer, fed with parts of a vector; the nodes in front have dotted names."""
    nodes, first, parts = [], 0, []
    for k, shape in enumerate(shapes):
        cut = Slice((first,), (first + prod(shape),))
        nodes += [
            Node(f"cut{k}", cut, ("input",)),
            Node(f"part.{k}", Reshape(shape), (f"cut{k}",)),
        ]
        parts.append(f"part.{k}")
        first += prod(shape)
    nodes.append(Node("layer", layer, tuple(parts)))
    bounds = (np.full(first, -1.0), np.linspace(0.0, 2.0, first))
    return Network(tuple(nodes), (first,), input_bounds=bounds)


def mixed(kinds: list[str], seed: int) -> Network:
    """Layers of the given kinds, each reading any results before it, and all results joined."""
    rng = np.random.default_rng(seed)
    sizes = {"input": 5}
    nodes: list[Node] = []
    read: set[str] = set()

    def vector(size: int) -> str:
        names = list(sizes)
        source = names[-1] if rng.random() < 0.5 else names[rng.integers(len(names))]
        read.add(source)
        weight = rng.normal(size=(size, sizes[source])) / np.sqrt(sizes[source])
        nodes.append(Node(f"wire{len(nodes)}", Affine(weight, rng.normal(size=size)), (source,)))
        return nodes[-1].name

    for kind in kinds:
        layer, shapes = CASES[kind](rng)
        parts = []
        for shape in shapes:
            source = vector(prod(shape))
            nodes.append(Node(f"block.part{len(nodes)}", Reshape(shape), (source,)))
            parts.append(nodes[-1].name)
        name = f"block.{kind.lower()}{len(nodes)}"
        nodes.append(Node(name, layer, tuple(parts)))
        nodes.append(Node(f"{name}/flat", Flatten(), (name,)))
        sizes[nodes[-1].name] = prod(layer.output_shape(*shapes))
    loose = tuple(name for name in sizes if name not in read)
    nodes.append(Node("all", Concat(len(loose), 0), loose))
    return Network(tuple(nodes), (5,), dtype="float64")
