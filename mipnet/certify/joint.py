"""Two networks over one input as one network, with a node for every difference."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.certify.max_difference import MaxDifference
from mipnet.certify.relu_difference import ReluDifference
from mipnet.certify.slope_difference import SLOPED, SlopeDifference
from mipnet.certify.softmax_difference import SoftmaxDifference
from mipnet.network import INPUT, Affine, Layer, Network, Node, ReLU
from mipnet.network.layers import Add, BatchNorm, Concat, Conv, Identity, LogSoftmax, Scale, Softmax
from mipnet.network.layers.diagonal import Diagonal
from mipnet.network.layers.elementwise import Elementwise
from mipnet.network.layers.linear import Linear
from mipnet.network.layers.maximum import Maximum
from mipnet.network.layers.rearrange import Rearrange

Array = npt.NDArray[np.float64]

FIRST, SECOND, DIFFERENCE = "first/", "second/", "difference/"
#: Layers that stand for the difference of two values of another layer.
Difference = ReluDifference | SlopeDifference | MaxDifference | SoftmaxDifference


def side_by_side(first: Network, second: Network) -> Network:
    """Network whose output is ``second(x) - first(x)``: both, and a subtraction."""
    nodes = [*_prefixed(first, FIRST), *_prefixed(second, SECOND)]
    outputs = [_at(FIRST, first.output), _at(SECOND, second.output)]
    nodes.append(Node(DIFFERENCE + "output", Add((-1.0, 1.0)), tuple(outputs)))
    return Network(tuple(nodes), first.input_shape)


def node_by_node(first: Network, second: Network) -> Network | None:
    """Network whose output is ``second(x) - first(x)``, through the differences of all nodes.

    Layers that are linear hand a difference ``d`` on as :math:`W' d + (W' - W) z + b' - b`, with
    ``z`` the input in the first network; rectifiers by :class:`ReluDifference`, other elementwise
    functions by :class:`SlopeDifference`, largest elements by :class:`MaxDifference`.

    Parameters
    ----------
    first, second : Network
        Nodes are matched by name; those of ``second`` read nodes of names ``first`` has too, of
        the same shapes.

    Returns
    -------
    Network or None
        None where the outputs are equal whatever the input.
    """
    build = _Build(first, second)
    for node in second.nodes:
        build.add(node)
    if build.difference.get(second.output) is None:
        return None
    return Network(tuple(build.nodes), first.input_shape)


def matched(first: Network, second: Network) -> bool:
    """Whether :func:`node_by_node` can pair the nodes of two networks."""
    same = first.input_shape == second.input_shape and first.output == second.output
    return same and all(
        node.name in first.shapes and first.shapes[node.name] == second.shapes[node.name]
        for node in second.nodes
    )


@dataclass
class _Build:
    """The joint network, node after node; differences that are zero have no node."""

    first: Network
    second: Network
    nodes: list[Node] = field(default_factory=list)
    difference: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = [*_prefixed(self.first, FIRST), *_prefixed(self.second, SECOND)]
        self.difference[INPUT] = None

    def add(self, node: Node) -> None:
        """Add the difference of one node."""
        other = self.first.by_name[node.name]
        inputs = [self.difference[name] for name in node.inputs]
        shared = node.inputs == other.inputs
        same = shared and equal(node.layer, other.layer)
        if same and not any(inputs):
            self.difference[node.name] = None
            return
        if isinstance(node.layer, Linear):
            self.difference[node.name] = self._linear(node, other, inputs[0])
        elif same and isinstance(node.layer, Rearrange | Concat | Add):
            self._put(node.name, node.layer, *(self._whole(n) for n in node.inputs))
        elif isinstance(node.layer, Add) and isinstance(other.layer, Add) and shared:
            # Other factors: what they change of the terms of the first network joins the sum.
            apart = np.subtract(node.layer.scales, other.layer.scales)
            terms = [
                (self._whole(n), s) for n, s in zip(node.inputs, node.layer.scales, strict=True)
            ]
            terms += [(_at(FIRST, n), s) for n, s in zip(node.inputs, apart, strict=True) if s]
            names, scales = zip(*terms, strict=True)
            self._put(node.name, Add(scales), *names)
        elif same and (layer := _difference_of(node.layer)) is not None:
            (source,) = node.inputs
            pair = (_at(FIRST, source), _at(SECOND, source))
            self._put(node.name, layer, self._whole(source), *pair)
        else:
            pair = (_at(FIRST, node.name), _at(SECOND, node.name))
            self._put(node.name, Add((-1.0, 1.0)), *pair)

    def _linear(self, node: Node, other: Node, source: str | None) -> str:
        """Difference of a layer that is linear in one input."""
        layer = node.layer
        shape = self.first.shapes[node.inputs[0]]
        terms: list[tuple[str, Layer, str]] = []
        pair = _linear_pair(layer, other.layer, shape)
        if node.inputs == other.inputs and pair is not None:
            carried, changed, rest = pair
            if source is not None:
                terms.append(("carried", carried, source))
            if changed is not None:
                terms.append(("changed", changed, _at(FIRST, node.inputs[0])))
            if rest is not None:
                terms.append(("rest", rest, _at(FIRST, node.name)))
            scales = (1.0,) * len(terms)
        else:
            # Another layer, or one that reads something else: what it makes of the first network.
            if source is not None:
                terms.append(("carried", _without_offset(layer, shape), source))
            terms.append(("moved", layer, _at(FIRST, node.inputs[0])))
            terms.append(("taken", Identity(), _at(FIRST, node.name)))
            scales = (*(1.0,) * (len(terms) - 1), -1.0)
        names = []
        for label, part, read in terms:
            name = f"{DIFFERENCE}{node.name}/{label}"
            self.nodes.append(Node(name, part, (read,)))
            names.append(name)
        if len(names) == 1:
            return names[0]
        return self._put(node.name, Add(scales), *names)

    def _put(self, name: str, layer: Layer, *inputs: str) -> str:
        full = DIFFERENCE + name
        self.nodes.append(Node(full, layer, inputs))
        self.difference[name] = full
        return full

    def _whole(self, name: str) -> str:
        """Node of a difference, made of zeros where there is none."""
        found = self.difference[name]
        if found is not None:
            return found
        return self._put(name, Scale(0.0, 0.0), _at(FIRST, name))


def _difference_of(layer: Layer) -> Difference | None:
    """Return what bounds the difference of two values of a layer, if there is such a layer."""
    if isinstance(layer, ReLU):
        return ReluDifference()
    if isinstance(layer, Maximum):
        return MaxDifference(layer)
    if isinstance(layer, Softmax | LogSoftmax):
        return SoftmaxDifference(layer)
    if isinstance(layer, Elementwise) and isinstance(layer, SLOPED):
        return SlopeDifference(layer)
    return None


def _linear_pair(
    layer: Layer, other: Layer, shape: tuple[int, ...]
) -> tuple[Layer, Layer | None, Layer | None] | None:
    """Layers for the difference of the input, the input of the first network, and its output.

    The difference of the offsets goes with the second; the third, which reads nothing, adds what
    is lost where that difference is rounded. None where the two layers have no common form.
    """
    if type(layer) is not type(other) or layer.attributes != other.attributes:
        return None
    if isinstance(layer, Affine | Conv) and isinstance(other, Affine | Conv):
        if layer.weight.shape != other.weight.shape:
            return None
        weight, (bias, lost) = layer.weight - other.weight, _apart(layer.bias, other.bias)
        plain: Layer = replace(layer, bias=np.zeros_like(bias))
        places = lost.reshape(-1, *(1,) * (layer.weight.ndim - 2))
        return plain, replace(layer, weight=weight, bias=bias), _shift(places)
    if isinstance(layer, Diagonal) and isinstance(other, Diagonal):
        factors = [np.broadcast_to(part.factor(shape), shape) for part in (layer, other)]
        shifts = [np.broadcast_to(part.offset(shape), shape) for part in (layer, other)]
        shift, lost = _apart(*shifts)
        return Scale(factors[0], 0.0), Scale(factors[0] - factors[1], shift), _shift(lost)
    return (layer, None, None) if equal(layer, other) else None


def _apart(one: Any, other: Any) -> tuple[Array, Array]:
    """Difference of two arrays, and what its rounding lost, exactly (Knuth, TAOCP 2, 4.2.2)."""
    found = one - other
    back = found - one
    return found, (one - (found - back)) - (other + back)


def _shift(values: Array) -> Layer | None:
    return Scale(0.0, values) if values.any() else None


def _without_offset(layer: Any, shape: tuple[int, ...]) -> Layer:
    if isinstance(layer, Affine | Conv):
        return replace(layer, bias=np.zeros_like(layer.bias))
    if isinstance(layer, BatchNorm | Scale):
        return Scale(np.broadcast_to(layer.factor(shape), shape), 0.0)
    linear: Layer = layer
    return linear


def equal(one: Layer, other: Layer) -> bool:
    """Whether two layers are the same, number by number."""
    return (
        type(one) is type(other)
        and one.attributes == other.attributes
        and len(one.parameters) == len(other.parameters)
        and all(np.array_equal(a, b) for a, b in zip(one.parameters, other.parameters, strict=True))
    )


def _prefixed(network: Network, prefix: str) -> list[Node]:
    return [
        Node(_at(prefix, n.name), n.layer, tuple(_at(prefix, i) for i in n.inputs))
        for n in network.nodes
    ]


def _at(prefix: str, name: str) -> str:
    return INPUT if name == INPUT else prefix + name
