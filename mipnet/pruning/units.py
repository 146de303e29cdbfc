"""Which units of a network can be removed, and what must go with them."""

from __future__ import annotations

from dataclasses import dataclass

from mipnet.network import Affine, Flatten, Network, ReLU

#: Layers that hand every element on in its place: a removed unit shrinks them along.
CARRIERS = (ReLU, Flatten)


@dataclass(frozen=True)
class Group:
    """A layer of removable units and everything that goes together with them.

    Attributes
    ----------
    layer : str
        Name of the Affine node whose output neurons are the units.
    width : int
        Number of units.
    path : tuple of str
        ReLU and Flatten nodes that carry the units, in network order.
    readers : tuple of str
        Affine nodes that read the units: one column per unit.
    """

    layer: str
    width: int
    path: tuple[str, ...]
    readers: tuple[str, ...]


def prunable_layers(network: Network) -> dict[str, Group]:
    """Affine nodes whose output neurons can be removed, by name, in network order.

    A layer qualifies when its values reach the output only through ReLU and Flatten nodes that
    end in later Affine nodes. An Affine node read by an Affine node without a ReLU between
    qualifies; the output layer does not, nor does one whose ReLU is the output, nor one that
    feeds a layer of another kind.

    Examples
    --------
    >>> import numpy as np
    >>> net = Network.sequential([Affine(np.eye(2), np.zeros(2)), ReLU(),
    ...                           Affine(np.ones((1, 2)), np.zeros(1))])
    >>> prunable_layers(net)["affine0"].readers
    ('affine1',)
    """
    live = live_nodes(network)
    found = {node.name: _group(network, node.name, live) for node in network.nodes}
    return {name: group for name, group in found.items() if isinstance(group, Group)}


def obstacle(network: Network, name: str) -> str:
    """Why the outputs of a node cannot be removed; empty when they can."""
    group = _group(network, name, live_nodes(network))
    return group if isinstance(group, str) else ""


def live_nodes(network: Network) -> frozenset[str]:
    """Names of the nodes the output depends on, the output included."""
    live = {network.output}
    for node in reversed(network.nodes):
        if node.name in live:
            live.update(node.inputs)
    return frozenset(live)


def _group(network: Network, name: str, live: frozenset[str]) -> Group | str:
    kind = network.by_name[name].layer.kind
    if kind != Affine.kind:
        return f"holds no units: it is of kind {kind}, units are outputs of Affine layers"
    if name not in live:
        return "does not reach the output"
    carried, path, readers = {name}, [], []
    for node in network.nodes:
        if carried.isdisjoint(node.inputs):
            continue
        if isinstance(node.layer, Affine):
            readers.append(node.name)
        elif isinstance(node.layer, CARRIERS):
            carried.add(node.name)
            path.append(node.name)
        elif node.name in live:
            return (
                f"feeds layer {node.name!r} of kind {node.layer.kind}, which needs all its inputs"
            )
    if network.output in carried:
        return "is the output layer"
    return Group(name, network.shapes[name][0], tuple(path), tuple(readers))
