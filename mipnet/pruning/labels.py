"""Which elements of a network fall together: labels carried from producers to readers.

Every output neuron of an Affine and every output channel of a Conv starts with a label of its own.
Layers hand labels on, and couple those they need to be equal: a sum its terms, a convolution the
elements of an input channel, a grouped convolution all channels of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from mipnet.network import INPUT, Affine, Flatten, Layer, Network, Node, ReLU
from mipnet.network.layers import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    GlobalAvgPool,
    GlobalMaxPool,
    Identity,
    MaxPool,
    PReLU,
    Reshape,
    Scale,
    Slice,
    Transpose,
)
from mipnet.network.layers.elementwise import Elementwise

Indices = npt.NDArray[np.int64]

#: Label of what stays whole: the network input, and outputs of layers without a rule.
WHOLE = 0
#: Layers that make units of their own.
PRODUCERS = (Affine, Conv)


@dataclass
class Labels:
    """Labels of every element of every node, as they are collected.

    Attributes
    ----------
    network : Network
    live : frozenset of str
        Nodes the output depends on; the others neither couple nor keep anything.
    of : dict of node name to array of int
        Label of every element, of the shape of an item.
    first : dict of node name to int
        First label of a producer; its units have successive ones.
    couplings : list of two arrays of int
        Pairs of labels that fall together.
    wholes : list of (array of int, str)
        Labels that must stay, and why.
    count : int
        Labels in all, :data:`WHOLE` included.
    """

    network: Network
    live: frozenset[str]
    of: dict[str, Indices] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    couplings: list[tuple[Indices, Indices]] = field(default_factory=list)
    wholes: list[tuple[Indices, str]] = field(default_factory=list)
    count: int = 1

    def make(self, node: Node) -> Indices:
        """Labels for the units of a producer, spread over its item."""
        shape = self.network.shapes[node.name]
        start, self.count = self.count, self.count + shape[0]
        self.first[node.name] = start
        units = np.arange(start, start + shape[0])
        if node.name not in self.live:
            self.wholes.append((units, "does not reach the output"))
        return np.broadcast_to(units.reshape(-1, *(1,) * (len(shape) - 1)), shape)

    def couple(self, node: Node, one: Indices, other: Indices) -> None:
        """Let elements fall together, where a live node needs them to."""
        if node.name in self.live:
            one, other = np.broadcast_arrays(one, other)
            apart = one != other
            if apart.any():
                pairs = np.unique(np.stack([one[apart], other[apart]], axis=1), axis=0)
                self.couplings.append((pairs[:, 0], pairs[:, 1]))

    def by_channel(self, node: Node, labels: Indices) -> Indices:
        """Let all elements of a channel fall together; label of every channel."""
        flat = labels.reshape(len(labels), -1)
        self.couple(node, flat[:, :1], flat)
        return flat[:, 0]

    def keep(self, node: Node, labels: Indices, why: str) -> None:
        """Keep elements that a live node needs."""
        if node.name in self.live:
            self.wholes.append((np.unique(labels), why))

    def components(self) -> Indices:
        """Component of every label under the couplings."""
        pairs = self.couplings or [(np.zeros(0, np.int64),) * 2]
        rows, columns = (np.concatenate(side) for side in zip(*pairs, strict=True))
        graph = sp.coo_array((np.ones(len(rows), bool), (rows, columns)), (self.count,) * 2)
        return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


Rule = Callable[[Labels, Node, Sequence[Indices]], Indices]


def collect(network: Network, live: frozenset[str]) -> Labels:
    """Label every element of a network."""
    found = Labels(network, live)
    found.of[INPUT] = np.full(network.input_shape, WHOLE)
    for node in network.nodes:
        sources = [found.of[name] for name in node.inputs]
        rule = rule_of(node.layer)
        if rule is None:
            kind = node.layer.kind
            for labels in sources:
                found.keep(
                    node,
                    labels,
                    f"feeds layer {node.name!r} of kind {kind}, which needs all its inputs",
                )
            found.of[node.name] = np.full(network.shapes[node.name], WHOLE)
            continue
        labels = rule(found, node, sources)
        if node.name not in found.first and len(_varying(labels)) > 1:
            found.by_channel(node, labels)
        found.of[node.name] = labels
    found.keep(network.nodes[-1], found.of[network.output], "is the output layer")
    return found


def rule_of(layer: Layer) -> Rule | None:
    """Rule of a layer; None for one that keeps all its inputs and outputs."""
    if isinstance(layer, Elementwise) and not layer.parameters:
        return _carry
    return next((RULES[kind] for kind in type(layer).__mro__ if kind in RULES), None)


def _carry(found: Labels, node: Node, sources: Sequence[Indices]) -> Indices:
    del found, node
    return sources[0]


def _affine(found: Labels, node: Node, sources: Sequence[Indices]) -> Indices:
    del sources
    return found.make(node)


def _conv(found: Labels, node: Node, sources: Sequence[Indices]) -> Indices:
    channels = found.by_channel(node, sources[0])
    labels = found.make(node)
    groups = getattr(node.layer, "groups", 1)
    if groups > 1:
        outputs = labels.reshape(len(labels), -1)[:, 0].reshape(groups, -1)
        inputs = channels.reshape(groups, -1)
        found.couple(node, outputs[:, :1], inputs)
        found.couple(node, outputs[:, :1], outputs)
    return labels


def _pool(found: Labels, node: Node, sources: Sequence[Indices]) -> Indices:
    channels = found.by_channel(node, sources[0])
    shape = found.network.shapes[node.name]
    return np.broadcast_to(channels.reshape(-1, *(1,) * (len(shape) - 1)), shape)


def _add(found: Labels, node: Node, sources: Sequence[Indices]) -> Indices:
    for other in sources[1:]:
        found.couple(node, sources[0], other)
    return sources[0]


def _forward(found: Labels, node: Node, sources: Sequence[Indices]) -> Indices:
    """Layers that move elements move their labels."""
    del found
    moved = node.layer.forward(*(labels[None] for labels in sources))  # type: ignore[arg-type]
    return np.asarray(moved[0], dtype=np.int64)


def _slice(found: Labels, node: Node, sources: Sequence[Indices]) -> Indices:
    (labels,) = sources
    for axis, step in zip(node.layer.axes, node.layer.steps, strict=True):  # type: ignore[attr-defined]
        if abs(step) != 1 and axis % labels.ndim in _varying(labels):
            why = f"feeds layer {node.name!r} of kind Slice, which picks units by a step"
            found.keep(node, labels, why)
    return _forward(found, node, sources)


def _varying(labels: Indices) -> list[int]:
    """Axes along which labels of an item differ."""
    if labels.ndim < 2:
        return list(range(labels.ndim))
    ends = (np.take(labels, [0], axis=axis) for axis in range(labels.ndim))
    return [axis for axis, end in enumerate(ends) if (labels != end).any()]


RULES: dict[type[Layer], Rule] = {
    Affine: _affine,
    Conv: _conv,
    Add: _add,
    Slice: _slice,
    **dict.fromkeys((ReLU, PReLU, BatchNorm, Scale), _carry),
    **dict.fromkeys((AvgPool, MaxPool, GlobalAvgPool, GlobalMaxPool), _pool),
    **dict.fromkeys((Concat, Flatten, Identity, Reshape, Transpose), _forward),
}
