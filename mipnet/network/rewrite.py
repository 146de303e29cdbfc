"""Rewrites of whole networks that keep the function: what folds into a neighbour, and vanishes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from mipnet.network.layers import (
    Affine,
    BatchNorm,
    Conv,
    Flatten,
    Identity,
    LogSoftmax,
    Reshape,
    Scale,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from mipnet.network.layers.base import Array, Shape
from mipnet.network.layers.diagonal import Diagonal
from mipnet.network.layers.rearrange import Rearrange
from mipnet.network.network import INPUT, Network, Node

#: One step: the rewritten network, or None where there is nothing to do.
Rule = Callable[[Network], Network | None]
#: The same for one node, with the names of those whose values it changes.
Step = Callable[[Network, Node], tuple[Network, list[str]] | None]


def fold(network: Network) -> Network:
    """Return the same function with fewer layers.

    Identities vanish, with whatever the output does not depend on. A BatchNorm or Scale goes into
    the Affine or Conv in front of it, or behind it (there also through reshapes and the like; into
    a padded Conv only when it shifts nothing, since padding is not shifted), or two of them into
    one Scale (a BatchNorm takes a shift and stays one). A layer that something else reads too stays
    as it is.

    Parameters
    ----------
    network : Network

    Returns
    -------
    Network
        Equal up to the rounding of weights, one or two units in the last place each. The surviving
        nodes keep their names.

    Examples
    --------
    >>> import numpy as np
    >>> from mipnet.network.layers import BatchNorm
    >>> norm = BatchNorm(np.full(1, 2.0), np.ones(1), np.zeros(1), np.ones(1), epsilon=0.0)
    >>> small = fold(Network.sequential([Affine(np.eye(1), np.ones(1)), norm]))
    >>> [node.name for node in small.nodes], small([3.0]).tolist()
    (['affine0'], [9.0])
    """
    rules: tuple[Rule, ...] = (_without_identity, _into_the_layer_before, _into_the_layer_behind)
    found: Network | None = _live(network)
    while found is not None:
        network = found
        found = next((n for rule in rules if (n := rule(network)) is not None), None)
    return network


def absorb(network: Network, names: Iterable[str]) -> tuple[Network, frozenset[str]]:
    """Fold some nodes into a neighbour, as :func:`fold` does, and leave all others as they are.

    Parameters
    ----------
    network : Network
    names : iterable of str
        BatchNorm and Scale nodes. One that no neighbour can take stays, and so does the output.

    Returns
    -------
    network : Network
        Its output, and its name, are those of the network given.
    moved : frozenset of str
        Surviving nodes whose values are others than before: a layer that a node was folded into
        from behind, and what lies between a node and the layer behind that took it.
    """
    moved: set[str] = set()
    for name in names:
        if name == network.output:
            continue
        node = network.by_name[name]
        found = _behind(network, node) or _before(network, node)
        if found is not None:
            network, others = found
            moved.update(others)
    return network, frozenset(moved)


def same_order(network: Network) -> Network:
    """Return a network without the layers at its end that keep the order of its outputs.

    Softmax and LogSoftmax over all outputs, and Sigmoid, Tanh and Softplus, with reshapes among
    them: what ranks first, and every ranking behind it, is the same before and after. Questions
    about classes need no more, and get an exact program where probabilities would need a band.

    Parameters
    ----------
    network : Network

    Returns
    -------
    Network
        The same one where there is no such layer. Its outputs are other numbers, of equal order
        (in exact arithmetic: probabilities may coincide where they are rounded to 0 or 1).

    Examples
    --------
    >>> import numpy as np
    >>> from mipnet.network.layers import Softmax
    >>> net = Network.sequential([Affine(np.eye(2), np.zeros(2)), Softmax()])
    >>> same_order(net)([3.0, 1.0]).tolist()
    [3.0, 1.0]
    """
    keeping = (Softmax, LogSoftmax, Sigmoid, Tanh, Softplus, Identity)
    carried = set(network.by_name)
    name = network.output
    while name != INPUT:
        node = network.by_name[name]
        if isinstance(node.layer, Softmax | LogSoftmax):
            shape = network.shapes[name]
            if shape[node.layer.axis] != network.n_outputs:
                break
        if isinstance(node.layer, keeping) and node.inputs != (INPUT,):
            carried.discard(name)
        elif not isinstance(node.layer, Flatten | Reshape):
            break
        (name,) = node.inputs
    if len(carried) == len(network.nodes):
        return network
    small = _live(network)
    for node in network.nodes:
        if node.name not in carried:
            small = _bypassed(small, node.name)
    return small


def _live(network: Network) -> Network:
    """Only the nodes the output depends on; the output is the last of them."""
    needed = {network.output}
    for node in reversed(network.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return replace(network, nodes=tuple(n for n in network.nodes if n.name in needed))


def _readers(network: Network, name: str) -> list[Node]:
    return [node for node in network.nodes for source in node.inputs if source == name]


def _bypassed(network: Network, name: str, changes: dict[str, Node] | None = None) -> Network:
    """Network without a node: its readers read what it read; other nodes may change."""
    (source,) = network.by_name[name].inputs
    nodes = []
    for node in network.nodes:
        if node.name == name:
            continue
        kept = (changes or {}).get(node.name, node)
        inputs = tuple(source if i == name else i for i in kept.inputs)
        nodes.append(replace(kept, inputs=inputs))
    return replace(network, nodes=tuple(nodes))


def _without_identity(network: Network) -> Network | None:
    for node in network.nodes:
        whole = node.name == network.output and node.inputs == (INPUT,)
        if isinstance(node.layer, Identity) and not whole:
            return _bypassed(network, node.name)
    return None


def _into_the_layer_before(network: Network) -> Network | None:
    """Fold a diagonal layer into the linear one whose only reader it is."""
    return _first(network, _before)


def _into_the_layer_behind(network: Network) -> Network | None:
    """Fold a diagonal layer into the linear one that alone reads it, reshapes in between."""
    return _first(network, _behind)


def _first(network: Network, step: Step) -> Network | None:
    found = (step(network, node) for node in network.nodes if isinstance(node.layer, Diagonal))
    return next((pair[0] for pair in found if pair is not None), None)


def _before(network: Network, node: Node) -> tuple[Network, list[str]] | None:
    if not isinstance(node.layer, Diagonal) or node.inputs[0] == INPUT:
        return None
    before = network.by_name[node.inputs[0]]
    if len(_readers(network, before.name)) > 1:
        return None
    shape = network.shapes[node.name]
    scale, shift = _constants(node.layer, shape)
    layer: Affine | BatchNorm | Conv | Scale
    if isinstance(before.layer, BatchNorm) and (scale == 1.0).all() and _by_channel(shift):
        moved = before.layer.bias + shift.reshape(len(shift), -1)[:, 0]
        layer = replace(before.layer, bias=moved)
    elif isinstance(before.layer, Diagonal):
        first = _constants(before.layer, shape)
        layer = Scale(scale * first[0], scale * first[1] + shift)
    elif isinstance(before.layer, Affine):
        weight, bias = before.layer.parameters
        layer = Affine(weight * scale[:, None], bias * scale + shift)
    elif isinstance(before.layer, Conv) and _by_channel(scale) and _by_channel(shift):
        a, c = (values.reshape(len(values), -1)[:, 0] for values in (scale, shift))
        weight, bias = before.layer.parameters
        kernel = weight * a.reshape(-1, *(1,) * (weight.ndim - 1))
        layer = replace(before.layer, weight=kernel, bias=bias * a + c)
    else:
        return None
    changed = {before.name: replace(before, layer=layer)}
    return _bypassed(network, node.name, changed), [before.name]


def _behind(network: Network, node: Node) -> tuple[Network, list[str]] | None:
    if not isinstance(node.layer, Diagonal):
        return None
    scale, shift = _constants(node.layer, network.shapes[node.name])
    between = []
    readers = _readers(network, node.name)
    while len(readers) == 1 and isinstance(readers[0].layer, Rearrange):
        carrier = readers[0].layer
        between.append(readers[0].name)
        scale, shift = carrier.pick(scale[None])[0], carrier.pick(shift[None])[0]
        readers = _readers(network, readers[0].name)
    if len(readers) != 1:
        return None
    (behind,) = readers
    layer = _absorbed(behind, scale, shift)
    if layer is None:
        return None
    changed = {behind.name: replace(behind, layer=layer)}
    return _bypassed(network, node.name, changed), between


def _absorbed(node: Node, scale: Array, shift: Array) -> Affine | Conv | None:
    """Layer of ``node`` applied to ``scale x + shift``, where there is one."""
    layer = node.layer
    if isinstance(layer, Affine):
        return Affine(layer.weight * scale, layer.bias + layer.weight @ shift)
    if not isinstance(layer, Conv) or not (_by_channel(scale) and _by_channel(shift)):
        return None
    if shift.any() and any((*layer.window.before, *layer.window.after)):
        return None
    # Channel of every entry of the weight; a group reads its own channels only.
    outputs, per_group = layer.weight.shape[:2]
    group = np.arange(outputs) // (outputs // layer.groups)
    channel = group[:, None] * per_group + np.arange(per_group)
    spread = (outputs, per_group, *(1,) * (layer.weight.ndim - 2))
    factors = scale.reshape(len(scale), -1)[:, 0][channel].reshape(spread)
    moved = shift.reshape(len(shift), -1)[:, 0][channel].reshape(spread) * layer.weight
    bias = layer.bias + moved.reshape(outputs, -1).sum(axis=1)
    return replace(layer, weight=layer.weight * factors, bias=bias)


def _constants(layer: Diagonal, shape: Shape) -> tuple[Array, Array]:
    """Factor and shift of every element."""
    pair = (layer.factor(shape), layer.offset(shape))
    scale, shift = (np.broadcast_to(np.asarray(p, dtype=np.float64), shape) for p in pair)
    return scale, shift


def _by_channel(values: Array) -> bool:
    """Whether values of shape (channels, *spatial) are equal within each channel."""
    flat = values.reshape(len(values), -1)
    return bool((flat == flat[:, :1]).all())
