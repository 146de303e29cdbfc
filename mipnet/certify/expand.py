"""A compacted network in the shapes it had before, with zeros where units are gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.certify.joint import equal
from mipnet.errors import MaskError, NetworkError
from mipnet.network import INPUT, Affine, Layer, Network, Node, ReLU
from mipnet.network.layers import Add, AvgPool, BatchNorm, Concat, Conv, GlobalAvgPool, Scale
from mipnet.network.layers.elementwise import Elementwise
from mipnet.network.layers.maximum import Maximum
from mipnet.network.layers.rearrange import Rearrange
from mipnet.pruning.agreement import check_agreement
from mipnet.pruning.compact import shrink
from mipnet.pruning.slicing import per_axis, sliced

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def expanded(masked: Network, small: Network) -> Network | None:
    """Return the function of a compacted network in the shapes of the masked one.

    Parameters
    ----------
    masked : Network
    small : Network
        ``compact(masked)``.

    Returns
    -------
    Network or None
        See :func:`embedded`; None also where the small network is another one.
    """
    again = shrink(masked)
    if again.network.fingerprint != small.fingerprint:
        return None
    return embedded(masked, small, again.kept)


def embedded(network: Network, small: Network, kept: Mapping[str, Flags]) -> Network | None:
    """Return the function of a small network in the shapes of another one.

    Weights and biases are those of the small network, number by number, and every node of its
    names holds the values of the small one at the elements kept, whatever the input; nothing there
    reads the others. Each layer is checked for that, so what is proven of the result holds for the
    small network, however the elements were found.

    Parameters
    ----------
    network : Network
        Gives shapes and wiring.
    small : Network
    kept : mapping of str to array of bool
        For every node that the two share, and the input, the elements of ``network`` that the
        small one has, flattened.

    Returns
    -------
    Network or None
        None where the small network does not fit into these shapes.
    """
    try:
        whole = _Embedding(network, small, kept).build()
        shared = {name: kept[name] for name in small.by_name if name in network.by_name}
        check_agreement(whole, small, shared, points=4)
    except (_MisfitError, MaskError, NetworkError):
        return None
    return whole


def constant_of(network: Network, name: str) -> Array | None:
    """Value of a node that is a bias, exactly, however it is reshaped; None where it is not."""
    carriers: list[Layer] = []
    while name != INPUT:
        node = network.by_name[name]
        layer = node.layer
        if isinstance(layer, Affine | Conv):
            if layer.weight.any():
                return None
            shape = network.shapes[name]
            value = np.broadcast_to(layer.bias.reshape(-1, *(1,) * (len(shape) - 1)), shape)
            for carrier in reversed(carriers):
                value = np.asarray(carrier.forward(value[None])[0])
            return value
        if not isinstance(layer, Rearrange):
            return None
        carriers.append(layer)
        (name,) = node.inputs
    return None


class _MisfitError(Exception):
    """The small network does not fit."""


@dataclass
class _Embedding:
    """The nodes of the large network, one after the other, as the small one has them."""

    network: Network
    small: Network
    kept: Mapping[str, Flags]
    #: For nodes of the large network, the one of the small network whose values they hold.
    at: dict[str, str] = field(default_factory=lambda: {INPUT: INPUT})
    nodes: list[Node] = field(default_factory=list)

    def build(self) -> Network:
        """Return the network in the large shapes."""
        small, network = self.small, self.network
        if small.input_shape != network.input_shape or small.output != network.output:
            raise _MisfitError
        if not (self._flags(INPUT).all() and self._flags(network.output).all()):
            raise _MisfitError
        for node in network.nodes:
            inside = small.by_name.get(node.name)
            self.nodes.append(self._absent(node) if inside is None else self._present(node, inside))
        return replace(network, nodes=tuple(self.nodes))

    def _flags(self, name: str) -> Flags:
        """Kept elements of a node of both networks, of the shape of an item."""
        if name not in self.kept:
            raise _MisfitError
        flags = self.kept[name].reshape(self.network.shapes[name])
        shape = tuple(int(part.sum()) for part in per_axis(flags))
        if shape != self.small.shapes[name]:
            raise _MisfitError
        return flags

    def _absent(self, node: Node) -> Node:
        """Return a node that the small network lacks: its readers see what it stands for, or 0."""
        layer: Any = node.layer
        if isinstance(layer, Add):
            pairs = zip(node.inputs, layer.scales, strict=True)
            left = [(name, scale) for name, scale in pairs if name in self.at]
            if len(left) == 1 and left[0][1] == 1.0:
                self.at[node.name] = self.at[left[0][0]]
                return Node(node.name, Scale(1.0, 0.0), (left[0][0],))
        if isinstance(layer, Affine | Conv | BatchNorm):
            weight, bias = np.zeros_like(layer.weight), np.zeros_like(layer.bias)
            return replace(node, layer=replace(layer, weight=weight, bias=bias))
        return node if not isinstance(layer, Scale) else replace(node, layer=Scale(0.0, 0.0))

    def _present(self, node: Node, inside: Node) -> Node:
        own, layer = self._flags(node.name), node.layer
        self.at[node.name] = node.name
        value = constant_of(self.small, node.name)
        if value is not None and isinstance(layer, Affine | Conv):
            return replace(node, layer=_constant(layer, value, own))
        if isinstance(layer, Add):
            return self._sum(node, layer, inside, own)
        inputs, sources = self._inputs(node, inside)
        if isinstance(layer, Affine | Conv):
            return Node(node.name, self._weights(layer, inside, sources[0], own), inputs)
        if isinstance(layer, BatchNorm | Scale):
            if type(inside.layer) is not type(layer) or not np.array_equal(sources[0], own):
                raise _MisfitError
            return Node(node.name, _spread(layer, inside.layer, own), inputs)
        if not _carries(layer, inside.layer, sources, own):
            raise _MisfitError
        return Node(node.name, layer, inputs)

    def _inputs(self, node: Node, inside: Node) -> tuple[tuple[str, ...], list[Flags]]:
        """Find the inputs of a node, and their kept elements: none where one was left out."""
        names, flags, wanted = [], [], list(inside.inputs)
        for name in node.inputs:
            if wanted and self.at.get(name) == wanted[0]:
                flags.append(self._flags(wanted.pop(0)))
            elif wanted and len(node.inputs) == 1:
                # A layer that was joined with the one in front of it reads something else.
                source = wanted.pop(0)
                if self.at.get(source) != source:
                    raise _MisfitError
                flags.append(self._flags(source))
                names.append(source)
                continue
            else:
                flags.append(np.zeros(self.network.shapes[name], bool))
            names.append(name)
        if wanted:
            raise _MisfitError
        return tuple(names), flags

    def _sum(self, node: Node, layer: Add, inside: Node, own: Flags) -> Node:
        """Return a sum: terms that were left out are multiplied by 0."""
        if isinstance(inside.layer, Scale):
            terms = self.small.by_name.get(inside.inputs[0])
            if terms is not None and terms.name not in self.network.by_name:
                return self._shifted(node, inside.layer, terms, own)
            stands = [name for name in node.inputs if self.at.get(name) == inside.inputs[0]]
            if not stands or not np.array_equal(self._flags(inside.inputs[0]), own):
                raise _MisfitError
            return Node(node.name, _spread(Scale(), inside.layer, own), (stands[0],))
        if not isinstance(inside.layer, Add):
            raise _MisfitError
        _, sources = self._inputs(node, inside)
        scales = self._factors(inside.layer, sources, own)
        return replace(node, layer=layer if scales == list(layer.scales) else Add(scales))

    @staticmethod
    def _factors(small: Add, sources: Sequence[Flags], own: Flags) -> list[float]:
        """Return the factors of a sum of which some terms are left, 0 for the others."""
        if not all(np.array_equal(flags, own) for flags in sources if flags.any()):
            raise _MisfitError
        left = iter(small.scales)
        return [next(left) if flags.any() else 0.0 for flags in sources]

    def _shifted(self, node: Node, shift: Scale, terms: Node, own: Flags) -> Node:
        """Return a sum of several terms and a shift, which takes the place of a term left out."""
        if not isinstance(terms.layer, Add) or (shift.parameters[0] != 1.0).any():
            raise _MisfitError
        _, sources = self._inputs(node, terms)
        scales = self._factors(terms.layer, sources, own)
        value = np.broadcast_to(shift.parameters[1], [int(p.sum()) for p in per_axis(own)])
        for k, name in enumerate(node.inputs):
            place = next((i for i, n in enumerate(self.nodes) if n.name == name), None)
            if name in self.at or place is None or node.inputs.count(name) > 1:
                continue
            layer = self.nodes[place].layer
            if isinstance(layer, Affine | Conv):
                # Nothing that the small network has reads this node.
                self.nodes[place] = replace(self.nodes[place], layer=_constant(layer, value, own))
                self.at[name] = f"shift of {node.name}"  # taken: no other sum may use it
                scales[k] = 1.0
                return replace(node, layer=Add(scales))
        raise _MisfitError

    def _weights(self, layer: Affine | Conv, inside: Node, source: Flags, own: Flags) -> Layer:
        """Return the weights of the small network among zeros."""
        small: Any = inside.layer
        if type(small) is not type(layer) or small.weight.shape[2:] != layer.weight.shape[2:]:
            raise _MisfitError
        rows, columns = _channels(own), _channels(source)
        groups = getattr(layer, "groups", 1)
        bias = np.zeros(len(rows))
        bias[rows] = small.bias
        weight = np.zeros(layer.weight.shape)
        alive = 1
        if groups > 1:
            # Whole groups stay, with what they read.
            parts = np.concatenate([f.reshape(groups, -1) for f in (rows, columns)], axis=1)
            if not (parts == parts[:, :1]).all():
                raise _MisfitError
            alive = int(parts[:, 0].sum())
            weight[rows] = small.weight
        else:
            weight = np.zeros((len(rows), len(columns), *weight.shape[2:]))
            weight[np.ix_(rows, columns)] = small.weight
        if isinstance(layer, Conv) and small.attributes != (*layer.attributes[:-1], alive):
            raise _MisfitError
        return replace(layer, weight=weight, bias=bias)


def _constant(layer: Affine | Conv, value: Array, own: Flags) -> Layer:
    """Return a layer without weights, whose biases are the constant."""
    flat, rows = value.reshape(len(value), -1), _channels(own)
    if not (flat == flat[:, :1]).all():
        raise _MisfitError
    bias = np.zeros(len(rows))
    bias[rows] = flat[:, 0]
    return replace(layer, weight=np.zeros_like(layer.weight), bias=bias)


def _spread(layer: BatchNorm | Scale, small: Any, own: Flags) -> Layer:
    """Return a normalisation over the elements kept, and 0 elsewhere."""
    if isinstance(layer, BatchNorm):
        rows = _channels(own)
        weight, bias = np.zeros(len(rows)), np.zeros(len(rows))
        mean, variance = layer.mean.copy(), layer.variance.copy()
        for full, part in zip((weight, bias, mean, variance), small.parameters, strict=True):
            full[rows] = part
        if small.epsilon != layer.epsilon:
            raise _MisfitError
        return replace(layer, weight=weight, bias=bias, mean=mean, variance=variance)
    parts = per_axis(own)
    pair = []
    for values in small.parameters:
        full = np.zeros(own.shape)
        full[np.ix_(*parts)] = np.broadcast_to(values, [int(p.sum()) for p in parts])
        pair.append(full)
    return Scale(*pair)


def _carries(layer: Layer, small: Layer, sources: Sequence[Flags], own: Flags) -> bool:
    """Whether a layer without weights takes the kept elements to the kept ones, as its small twin.

    Kept elements of its output depend on kept elements of its inputs alone, in the same way.
    """
    if isinstance(layer, Rearrange | Concat):
        return type(layer) is type(small) and _moves(layer, small, sources, own)
    if not equal(small, sliced(layer, sources, own)):
        return False
    if isinstance(layer, Maximum | AvgPool | GlobalAvgPool):
        return np.array_equal(_channels(sources[0]), _channels(own))
    if isinstance(layer, Elementwise | ReLU):
        return np.array_equal(sources[0], own)
    return bool(own.all() and all(flags.all() for flags in sources))


def _moves(layer: Layer, small: Layer, sources: Sequence[Flags], own: Flags) -> bool:
    """Whether two layers put the same elements into the same places."""
    ends = np.cumsum([flags.size for flags in sources])
    # Numbers of elements are exact in floating point.
    numbers = np.split(np.arange(ends[-1], dtype=np.float64), ends[:-1])
    items = [n.reshape(flags.shape) for n, flags in zip(numbers, sources, strict=True)]
    parts = [
        item[flags].reshape([int(part.sum()) for part in per_axis(flags)])
        for item, flags in zip(items, sources, strict=True)
        if flags.any()
    ]
    if len(parts) != small.arity:
        return False
    wanted, found = (
        np.asarray(each.forward(*(item[None] for item in given))[0])
        for each, given in ((layer, items), (small, parts))
    )
    return np.array_equal(wanted[own], found.reshape(-1))


def _channels(flags: Flags) -> Flags:
    """Kept channels of an item that keeps channels as a whole."""
    flat = flags.reshape(len(flags), -1)
    if not (flat == flat[:, :1]).all():
        raise _MisfitError
    return np.asarray(flat[:, 0])
