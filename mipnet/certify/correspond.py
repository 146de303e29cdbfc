"""Which units of a network a smaller one kept, found from the weights of the two."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from mipnet.certify.expand import constant_of, embedded
from mipnet.network import INPUT, Affine, Network, Node
from mipnet.network.layers import Conv
from mipnet.pruning.units import is_reader, live_nodes, units_of

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: Share of the biases in the distance of two units: folding moves them, so they only break ties.
BIAS = 1e-6


@dataclass(frozen=True)
class Correspondence:
    """A small network in the shapes of a large one.

    Attributes
    ----------
    whole : Network
        The function of the small network (:func:`~mipnet.certify.expand.embedded`).
    exact : bool
        Whether all weights that the small network kept are those of the large one.
    """

    whole: Network
    exact: bool


def corresponding(large: Network, small: Network) -> Correspondence | None:
    """Find the units of a network that a smaller one consists of.

    Layer after layer, units of the small network are paired with those of the large one, in order,
    so that their weights on the inputs that were paired before differ least; biases, which folding
    and compensation move, only break ties. That the pairing is consistent is checked layer by layer
    and on a sample, never assumed: a poor pairing costs sharpness, not soundness.

    Parameters
    ----------
    large, small : Network
        Nodes are matched by name, or one after the other where all kinds and inputs agree.

    Returns
    -------
    Correspondence or None
        None where the small network is no part of the large one.
    """
    if large.input_shape != small.input_shape:
        return None
    named = _renamed(large, small)
    search = _Search(large, named)
    # Distances that overflow are no pairing.
    with np.errstate(over="ignore", invalid="ignore"):
        if named.output != large.output or not search.run():
            return None
    units = units_of(large)
    kept = {n: search.on[units.elements[n]].reshape(-1) for n in (INPUT, *large.by_name)}
    whole = embedded(large, named, kept)
    return None if whole is None else Correspondence(whole, search.exact)


def _renamed(large: Network, small: Network) -> Network:
    """Return the small network with the names of the large one, where only names differ."""
    if len(large.nodes) != len(small.nodes) or set(large.by_name) == set(small.by_name):
        return small
    names = {INPUT: INPUT} | {s.name: n.name for n, s in zip(large.nodes, small.nodes, strict=True)}
    nodes = []
    for node, twin in zip(large.nodes, small.nodes, strict=True):
        inputs = tuple(names[name] for name in twin.inputs)
        if twin.layer.kind != node.layer.kind or inputs != node.inputs:
            return small
        nodes.append(Node(node.name, twin.layer, inputs))
    return replace(small, nodes=tuple(nodes))


@dataclass
class _Search:
    """Pairing of units, layer after layer."""

    large: Network
    small: Network
    exact: bool = True
    on: Flags = field(init=False)

    def __post_init__(self) -> None:
        self.units = units_of(self.large)
        # One more than there are, for what must stay.
        self.on = np.zeros(self.units.count + 1, bool)
        self.known = np.zeros(self.units.count + 1, bool)
        self.on[-1] = self.known[-1] = True

    def run(self) -> bool:
        """Pair all units; False where some layer has more units than it can have."""
        live = live_nodes(self.large)
        return all(
            self._pair(node, node.layer)
            for node in self.large.nodes
            if isinstance(node.layer, Affine | Conv)
            and node.name in live
            and node.name in self.small.by_name
        )

    def _pair(self, node: Node, layer: Affine | Conv) -> bool:
        numbers = self.units.layers[node.name]
        inside = self.small.by_name[node.name].layer
        count = self.small.shapes[node.name][0]
        apart = np.zeros((count, len(numbers)))
        weights = None
        if constant_of(self.small, node.name) is None:
            if not isinstance(inside, Affine | Conv):
                return False
            weights = self._weights(node, layer, inside)
            apart += BIAS * (inside.bias[:, None] - layer.bias) ** 2
        if weights is not None:
            apart += _distances(*weights)
        rows = _aligned(apart, self.known[numbers], self.on[numbers])
        if rows is None:
            return False
        chosen = self.known[numbers] & self.on[numbers]
        chosen[rows] = True
        self.on[numbers] = chosen
        self.known[numbers] = True
        if weights is not None:
            self.exact &= np.array_equal(weights[0], weights[1][rows])
        elif constant_of(self.small, node.name) is None:
            self.exact = False
        return True

    def _weights(
        self, node: Node, layer: Affine | Conv, inside: Affine | Conv
    ) -> tuple[Array, Array] | None:
        """Rows of both layers over the same inputs, if they have the same."""
        weight = layer.weight
        if is_reader(node):
            weight = weight[:, self.on[self.units.columns[node.name]]]
        if weight.shape[1:] != inside.weight.shape[1:]:
            return None
        return inside.weight.reshape(len(inside.weight), -1), weight.reshape(len(weight), -1)


def _distances(one: Array, other: Array) -> Array:
    """Squared distance of every row of one matrix from every row of another."""
    size = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)
    return np.asarray(np.maximum(size - 2.0 * (one @ other.T), 0.0))


def _aligned(apart: Array, known: Flags, on: Flags) -> npt.NDArray[np.int64] | None:
    """Columns, in order, one for every row, of the least sum of distances.

    Parameters
    ----------
    apart : array, shape (rows, columns)
    known, on : array of bool, shape (columns,)
        Columns that are decided: to be taken, or not to be.

    Returns
    -------
    array of int, shape (rows,), or None
        None where there is no such choice.
    """
    rows, columns = apart.shape
    taken = np.zeros((columns, rows + 1), bool)
    best = np.full(rows + 1, np.inf)
    best[0] = 0.0
    for k in range(columns):
        skipped = best if not (known[k] and on[k]) else np.full(rows + 1, np.inf)
        chosen = np.full(rows + 1, np.inf)
        if on[k] or not known[k]:
            chosen[1:] = best[:-1] + apart[:, k]
        taken[k] = chosen < skipped
        best = np.minimum(chosen, skipped)
    if not np.isfinite(best[rows]):
        return None
    found, row = [], rows
    for k in reversed(range(columns)):
        if taken[k, row]:
            found.append(k)
            row -= 1
    return np.array(found[::-1], np.int64)
