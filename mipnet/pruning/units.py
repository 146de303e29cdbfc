"""Which units of a network can be removed, and what must go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from mipnet.arguments import require
from mipnet.errors import MaskError
from mipnet.network import Affine, Layer, Network, Node
from mipnet.network.layers import Conv
from mipnet.pruning.labels import PRODUCERS, WHOLE, Labels, collect

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Group:
    """A layer of removable units and everything that goes together with them.

    Attributes
    ----------
    layer : str
        Name of the Affine or Conv node whose output neurons or channels are the units.
    width : int
        Number of units.
    path : tuple of str
        Nodes that carry the units, in network order: activations, normalisations, pooling, sums.
    readers : tuple of str
        Affine and Conv nodes that read the units.
    unit : {"neuron", "channel"}
    partners : tuple of str
        Other Affine and Conv nodes some of whose outputs go with a unit: the far end of a
        residual connection, a depthwise convolution behind it.
    ids : array of int, shape (width,)
        Number of what falls together with each unit, throughout the network (:class:`Units`);
        units of one number go together. -1 for a unit that cannot be removed, or that an earlier
        group decides.
    """

    layer: str
    width: int
    path: tuple[str, ...]
    readers: tuple[str, ...]
    unit: str = "neuron"
    partners: tuple[str, ...] = ()
    ids: Indices = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)

    @property
    def free(self) -> Flags:
        """Units that can be removed, shape (width,)."""
        return np.asarray(self.ids >= 0)

    @property
    def simple(self) -> bool:
        """Whether every unit can be removed by itself."""
        return bool(self.free.all()) and np.unique(self.ids).size == self.width


@dataclass(frozen=True, eq=False)
class Units:
    """All units of a network: what falls together has one number.

    Attributes
    ----------
    count : int
        Numbers in use, 0 to ``count - 1``.
    layers : mapping of str to array of int, shape (n_out,)
        Number of every output neuron or channel of every Affine and Conv node; -1 where it must
        stay.
    elements : mapping of str to array of int
        Number of every element of every node, of the shape of an item; -1 where it must stay.
    columns : mapping of str to array of int
        Number of every input column or channel of every node that reads units (:func:`is_reader`).
    groups : mapping of str to Group
        By the first layer, in network order, that decides about a number.
    reasons : mapping of str to str
        Why all outputs of an Affine or Conv node must stay.
    """

    count: int
    layers: Mapping[str, Indices]
    elements: Mapping[str, Indices]
    columns: Mapping[str, Indices]
    groups: Mapping[str, Group]
    reasons: Mapping[str, str]


def unit_of(layer: Layer) -> str:
    """Kind of unit that an Affine or Conv layer makes."""
    return "neuron" if isinstance(layer, Affine) else "channel"


def reader(node: Node) -> Affine | Conv | None:
    """Layer of a node that reads units; a grouped convolution hands them on instead."""
    layer = node.layer
    reads = isinstance(layer, Affine) or (isinstance(layer, Conv) and layer.groups == 1)
    return layer if reads and isinstance(layer, Affine | Conv) else None


def is_reader(node: Node) -> bool:
    """Whether a node reads units."""
    return reader(node) is not None


def prunable_layers(network: Network) -> Mapping[str, Group]:
    """Find the groups of removable units, by the layer that makes them, in network order.

    Units are neurons of Affine nodes and channels of Conv nodes whose values reach the output only
    through later Affine and Conv nodes. In between they may pass activations, BatchNorm and Scale,
    pooling, reshapes, slices and transpositions; sums and grouped convolutions couple them, and
    coupled units are listed once, with the first layer. The output layer holds none, nor does one
    that feeds a layer which mixes its inputs (Softmax).

    Examples
    --------
    >>> import numpy as np
    >>> net = Network.sequential([Affine(np.eye(2), np.zeros(2)),
    ...                           Affine(np.ones((1, 2)), np.zeros(1))])
    >>> prunable_layers(net)["affine0"].readers
    ('affine1',)
    """
    return units_of(network).groups


def obstacle(network: Network, name: str) -> str:
    """Why the outputs of a node cannot be removed; empty when they can."""
    units = units_of(network)
    if name not in units.layers:
        kind = network.by_name[name].layer.kind
        return f"holds no units: it is of kind {kind}, units are outputs of Affine and Conv"
    return units.reasons.get(name, "")


def live_nodes(network: Network) -> frozenset[str]:
    """Names of the nodes the output depends on, the output included."""
    live = {network.output}
    for node in reversed(network.nodes):
        if node.name in live:
            live.update(node.inputs)
    return frozenset(live)


_KNOWN: WeakKeyDictionary[Network, Units] = WeakKeyDictionary()


def units_of(network: Network) -> Units:
    """Units of a network; found once for each.

    Raises
    ------
    MaskError
        When it is no Network.
    """
    require(network, Network, "network", MaskError)
    if network not in _KNOWN:
        _KNOWN[network] = _units(network)
    return _KNOWN[network]


def _units(network: Network) -> Units:
    labels = collect(network, live_nodes(network))
    components = labels.components()
    whole = np.zeros(components.max() + 1, bool)
    reasons = _reasons(labels, components, whole)
    # Numbers follow the first label of every component: network order.
    firsts = np.unique(components, return_index=True)[1]
    order = np.argsort(firsts[~whole], kind="stable")
    numbers = np.full(whole.size, -1)
    numbers[np.flatnonzero(~whole)[order]] = np.arange(len(order))
    ids = numbers[components]
    layers = {
        name: ids[first : first + network.shapes[name][0]] for name, first in labels.first.items()
    }
    elements = {name: ids[values] for name, values in labels.of.items()}
    columns = {}
    for node in network.nodes:
        if is_reader(node):
            read = elements[node.inputs[0]]
            columns[node.name] = read.reshape(len(read), -1)[:, 0]
    groups = _groups(network, layers, elements, len(order))
    return Units(len(order), layers, elements, columns, groups, reasons)


def _reasons(labels: Labels, components: Indices, whole: Flags) -> dict[str, str]:
    """Why producers have no removable unit; marks the components that stay whole."""
    why: dict[int, tuple[str, frozenset[int]]] = {}
    joined = "is joined with values that stay whole, such as the network input"
    for kept, reason in (*labels.wholes, (np.array([WHOLE]), joined)):
        for component in np.unique(components[kept]).tolist():
            whole[component] = True
            why.setdefault(component, (reason, frozenset(kept.tolist())))
    found = {}
    for name, first in labels.first.items():
        own = range(first, first + labels.network.shapes[name][0])
        parts = components[first : first + len(own)]
        if not whole[parts].all():
            continue
        reason, kept_labels = why[int(parts[0])]
        direct = not kept_labels.isdisjoint(own) or WHOLE in kept_labels
        found[name] = reason if direct else f"falls together with a layer that {reason}"
    return found


def _groups(
    network: Network, layers: Mapping[str, Indices], elements: Mapping[str, Indices], count: int
) -> dict[str, Group]:
    # One more than there are, for index -1: what must stay.
    owner = np.full(count + 1, -1)
    names: list[str] = []
    ids = {}
    for name, numbers in layers.items():
        own = np.where((numbers >= 0) & (owner[numbers] < 0), numbers, -1)
        if (own >= 0).any():
            owner[own[own >= 0]] = len(names)
            ids[name] = own
            names.append(name)
    path: list[list[str]] = [[] for _ in names]
    readers: list[list[str]] = [[] for _ in names]
    partners: list[list[str]] = [[] for _ in names]
    for node in network.nodes:
        produced = isinstance(node.layer, PRODUCERS)
        for k in _owners(owner, elements[node.name]):
            if not produced:
                path[k].append(node.name)
            elif node.name != names[k]:
                partners[k].append(node.name)
        if is_reader(node):
            for k in _owners(owner, elements[node.inputs[0]]):
                readers[k].append(node.name)
    return {
        name: Group(
            name,
            len(layers[name]),
            tuple(path[k]),
            tuple(readers[k]),
            unit_of(network.by_name[name].layer),
            tuple(partners[k]),
            ids[name],
        )
        for k, name in enumerate(names)
    }


def _owners(owner: Indices, elements: Indices) -> list[int]:
    numbers = np.unique(elements)
    return sorted(set(owner[numbers[numbers >= 0]].tolist()))
