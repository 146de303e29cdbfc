"""GEMMs of networks: one rule per kind of layer, kept in a registry."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import QueryError, UnsupportedError
from mipnet.hardware.gemm import Gemm, Workload
from mipnet.network import INPUT, Layer, Network, Node

Array = npt.NDArray[np.float64]

Shape = tuple[int, ...]
#: GEMMs of one item from layer, input shape and output shape. Names and unit groups are filled in
#: afterwards; ``outputs`` marks those whose columns are the units of the layer.
Rule = Callable[[Any, Shape, Shape], Sequence[Gemm]]

RULES: dict[str, Rule] = {}

#: Layers that run beside the array and hand every unit on in its place along the first axis.
CARRIERS = {
    *("Abs", "Clip", "GELU", "HardSigmoid", "HardSwish", "LeakyReLU", "PReLU", "ReLU", "SiLU"),
    *("Sigmoid", "Softplus", "Tanh", "Identity", "Flatten", "BatchNorm", "Scale"),
    *("AvgPool", "MaxPool", "GlobalAvgPool", "GlobalMaxPool"),
}
#: Layers that run beside the array as well, but may mix or move units.
MIXERS = {"Add", "Concat", "LogSoftmax", "Reshape", "Slice", "Softmax", "Transpose"}


def register_gemm(*kinds: str) -> Callable[[Rule], Rule]:
    """File the rule of layers under their registered kind; a decorator.

    Raises
    ------
    TypeError
        When a kind has a rule already.
    """

    def file(rule: Rule) -> Rule:
        for kind in kinds:
            if kind in RULES:
                msg = f"layers of kind {kind!r} have a GEMM rule already"
                raise TypeError(msg)
            RULES[kind] = rule
        return rule

    return file


@register_gemm("Affine")
def affine(layer: Any, source: Shape, target: Shape) -> Sequence[Gemm]:
    """One row of activations times the transposed weight matrix."""
    del source, target
    n_out, n_in = layer.weight.shape
    return (Gemm("", 1, n_in, n_out, outputs=""),)


@register_gemm("Conv", "Conv1d", "Conv2d", "Conv3d")
def convolution(layer: Any, source: Shape, target: Shape) -> Sequence[Gemm]:
    """Im2col: a row for every output position, a column for every output channel.

    Weights of shape (out, in / groups, *kernel), images of shape (channels, *sides). Channel groups
    are repetitions, each with a block of the channels.
    """
    n_out, n_in = layer.weight.shape[:2]
    groups = source[0] // n_in
    positions, k = math.prod(target[1:]), n_in * math.prod(layer.weight.shape[2:])
    unique = min(n_in * math.prod(source[1:]), positions * k)
    n = n_out // groups
    return (Gemm("", positions, k, n, groups, outputs="", unique_inputs=unique, blocks=groups),)


def extract(network: Network) -> Workload:
    """GEMMs of a network for one item, named after their layers.

    Activations, normalisation, pooling, sums and reshaping run beside the array and have none:
    ``beside`` of the result lists them. Nothing is left out silently.

    Raises
    ------
    UnsupportedError
        Listing every layer of a kind that has no rule.
    QueryError
        When no layer has a GEMM.

    Examples
    --------
    >>> import numpy as np
    >>> from mipnet.network import Affine, ReLU
    >>> net = Network.sequential([Affine(np.ones((3, 2)), np.zeros(3)), ReLU(),
    ...                           Affine(np.ones((1, 3)), np.zeros(1))])
    >>> [(g.name, g.m, g.k, g.n, g.inputs, g.outputs) for g in extract(net).rows]
    [('affine0', 1, 2, 3, None, 'affine0'), ('affine1', 1, 3, 1, 'affine0', None)]
    """
    known = {*RULES, *CARRIERS, *MIXERS}
    odd = [n for n in network.nodes if n.layer.kind not in known]
    if odd:
        what = [f"layer {n.name!r} of kind {n.layer.kind} has no GEMM rule" for n in odd]
        raise UnsupportedError("hardware cost (see mipnet.hardware.register_gemm)", what)
    found = {
        node.name: RULES[node.layer.kind](
            node.layer, network.shapes[node.inputs[0]], network.shapes[node.name]
        )
        for node in network.nodes
        if node.layer.kind in RULES
    }
    carried, fixed = _groups(network, found)
    gemms: list[Gemm] = []
    for node in network.nodes:
        parts = found.get(node.name, ())
        for part, gemm in enumerate(parts):
            name = node.name if len(parts) == 1 else f"{node.name}.{part}"
            source, own = carried[node.inputs[0]], carried[node.name]
            gemms.append(
                replace(
                    gemm,
                    name=name,
                    inputs=None if source in fixed else source,
                    outputs=None if own in fixed else own,
                )
            )
    if not gemms:
        msg = "the network has no layer that multiplies weights: nothing runs on the array"
        raise QueryError(msg)
    beside = {n.name: n.layer.kind for n in network.nodes if not found.get(n.name)}
    return replace(Workload.of(gemms), beside=beside)


def _groups(
    network: Network, found: Mapping[str, Sequence[Gemm]]
) -> tuple[dict[str, str | None], set[str | None]]:
    """Find the unit group that each node carries, and the groups that must stay whole.

    A group stays whole when it reaches the output, or a layer that needs all its inputs.
    """
    carried: dict[str, str | None] = {INPUT: None}
    fixed: set[str | None] = set()
    for node in network.nodes:
        sources = [carried[name] for name in node.inputs]
        parts = found.get(node.name)
        if parts is not None:
            simple = len(parts) == 1 and parts[0].count == parts[0].blocks
            carried[node.name] = node.name if simple and parts[0].outputs is not None else None
            keeps = simple
        else:
            keeps = node.layer.kind in CARRIERS
            carried[node.name] = sources[0] if keeps else None
        if not keeps:
            fixed.update(sources)
    fixed.add(carried[network.output])
    return carried, fixed


def weight_matrices(network: Network) -> dict[str, Array]:
    """Weights (K x N) of the GEMMs of a network, by name; those of convolutions by im2col.

    The channel groups of a convolution have a matrix each, called ``layer[group]``.
    """
    found = {}
    for node in network.nodes:
        for name, rows in _weighted(node):
            block = node.layer.weight[rows]  # type: ignore[attr-defined]
            found[name] = block.reshape(len(block), -1).T
    return found


def with_matrices(network: Network, weights: Mapping[str, npt.ArrayLike]) -> Network:
    """Network with some weights replaced by matrices like those of :func:`weight_matrices`.

    Raises
    ------
    QueryError
        When a name or a shape does not fit.
    """
    known = weight_matrices(network)
    places = {name: (node, rows) for node in network.nodes for name, rows in _weighted(node)}
    changed: dict[str, Array] = {}
    for name, matrix in weights.items():
        values = np.asarray(matrix, dtype=np.float64)
        if name not in known or values.shape != known[name].shape:
            msg = f"no layer {name!r} with weights of shape {values.shape}; there are "
            msg += ", ".join(f"{n!r} {w.shape}" for n, w in known.items())
            raise QueryError(msg)
        node, rows = places[name]
        layer: Any = node.layer
        whole = changed.setdefault(node.name, layer.weight.copy())
        whole[rows] = values.T.reshape(whole[rows].shape)
    layers: dict[str, Layer] = {}
    for name, whole in changed.items():
        layer = network.by_name[name].layer
        layers[name] = replace(layer, weight=whole)
    return network.with_layers(layers)


def _weighted(node: Node) -> list[tuple[str, slice]]:
    """Names of the weight matrices of a layer that is one GEMM, and the outputs of each."""
    layer: Any = node.layer
    if layer.kind not in RULES or not hasattr(layer, "weight"):
        return []
    groups = getattr(layer, "groups", 1)
    if groups == 1:
        return [(node.name, slice(None))]
    n = len(layer.weight) // groups
    return [(f"{node.name}[{g}]", slice(g * n, (g + 1) * n)) for g in range(groups)]
