"""Networks made of networks: scaled inputs and outputs, sums and differences, pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mipnet.errors import NetworkError
from mipnet.network.layers import Add, Affine, Scale
from mipnet.network.layers.base import Array, Shape
from mipnet.network.network import INPUT, Network, Node

#: Offset and factor: ``(value - offset) / factor`` is the scaled value.
Scaling = tuple[npt.ArrayLike, npt.ArrayLike]


def scaled(
    network: Network, inputs: Scaling | None = None, outputs: Scaling | None = None
) -> Network:
    """Return the network between a scaling of its inputs and one of its outputs.

    For a network that was trained on scaled data: the result takes and gives values in the
    original units.

    Parameters
    ----------
    network : Network
    inputs, outputs : tuple of two arrays, optional
        Offset and factor, each broadcastable to an item: mean and standard deviation, or minimum
        and range. The network gets ``(x - offset) / factor``; its outputs ``y`` become
        ``offset + factor y``. They become layers; :func:`mipnet.network.rewrite.fold` takes them
        into their neighbours.

    Returns
    -------
    Network
        Input bounds that the network carries are converted too.

    Raises
    ------
    NetworkError
        When a number is not finite, a factor is zero, or the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> net = Network.sequential([Affine(np.array([[2.0]]), np.zeros(1))])
    >>> celsius = scaled(net, inputs=(32.0, 1.8), outputs=(5.0, 10.0))
    >>> celsius([50.0]).tolist()
    [205.0]
    """
    if inputs is not None:
        offset, factor = _pair("inputs", inputs, network.input_shape)
        first = Node(
            _free(network, "scaled_inputs"), Scale(1.0 / factor, -offset / factor), (INPUT,)
        )
        nodes = [replace(n, inputs=_renamed(n.inputs, first.name)) for n in network.nodes]
        bounds = network.input_bounds
        if bounds is not None:
            ends = [offset + factor * end for end in bounds]
            bounds = np.minimum(*ends), np.maximum(*ends)
        network = replace(network, nodes=(first, *nodes), input_bounds=bounds)
    if outputs is not None:
        offset, factor = _pair("outputs", outputs, network.shapes[network.output])
        network = network.then(Scale(factor, offset), _free(network, "scaled_outputs"))
    return network


def combined(networks: Sequence[Network], weights: Sequence[float] | None = None) -> Network:
    """Return one network that computes a weighted sum of several over the same input.

    Their mean, an ensemble; or with weights ``(1, -1)`` the difference of two, say of a dense and
    a pruned one. Bounds of the whole are tighter than the sum of bounds of the parts.

    Parameters
    ----------
    networks : sequence of Network
        Of equal input and output shapes.
    weights : sequence of float, optional
        One for each; their mean when absent.

    Returns
    -------
    Network
        Layers are named ``net0.affine0``, ... and ``sum``; input bounds are those all have in
        common.

    Raises
    ------
    NetworkError
        When there are none, shapes differ, the numbers of networks and weights do, or the input
        bounds contradict each other.

    Examples
    --------
    >>> import numpy as np
    >>> nets = [Network.sequential([Affine(np.array([[a]]), np.zeros(1))]) for a in (2.0, 4.0)]
    >>> combined(nets)([1.0]).tolist(), combined(nets, (1, -1))([1.0]).tolist()
    ([3.0], [-2.0])
    """
    factors = [1.0 / len(networks) for _ in networks] if weights is None else list(weights)
    if not networks or len(factors) != len(networks):
        msg = f"{len(networks)} networks and {len(factors)} weights; give one for each"
        raise NetworkError(msg)
    for k, network in enumerate(networks):
        shapes = (network.input_shape, network.shapes[network.output])
        expected = (networks[0].input_shape, networks[0].shapes[networks[0].output])
        if shapes != expected:
            msg = f"network {k} has input and output shapes {shapes}, the first one {expected}"
            raise NetworkError(msg)
    nodes = []
    for k, network in enumerate(networks):
        for node in network.nodes:
            inputs = tuple(i if i == INPUT else f"net{k}.{i}" for i in node.inputs)
            nodes.append(replace(node, name=f"net{k}.{node.name}", inputs=inputs))
    ends = tuple(f"net{k}.{network.output}" for k, network in enumerate(networks))
    known = [n.input_bounds for n in networks if n.input_bounds is not None]
    bounds = None
    if known:
        lower, upper = zip(*known, strict=True)
        bounds = np.maximum.reduce(lower), np.minimum.reduce(upper)
    double = any(n.dtype == "float64" for n in networks)
    return Network(
        (*nodes, Node("sum", Add(factors), ends)),
        networks[0].input_shape,
        "float64" if double else "float32",
        bounds,
        f"{len(networks)} networks",
    )


def split(network: Network, layer: str) -> tuple[Network | None, Affine, Network | None]:
    """Take a network apart at an Affine layer that everything passes through.

    Parameters
    ----------
    network : Network
    layer : str
        Name of the layer.

    Returns
    -------
    before : Network or None
        What feeds the layer; None where it reads the input.
    layer : Affine
    behind : Network or None
        What follows it; None where it is the output.

    Raises
    ------
    NetworkError
        When there is no such layer, it is not Affine, or something goes around it.
    """
    names = [node.name for node in network.nodes]
    if layer not in names or not isinstance(found := network.by_name[layer].layer, Affine):
        affine = [n.name for n in network.nodes if isinstance(n.layer, Affine)]
        msg = f"{layer!r} is no Affine layer of the network; these are: {', '.join(affine)}"
        raise NetworkError(msg)
    at = names.index(layer)
    (source,) = network.by_name[layer].inputs
    behind = network.nodes[at + 1 :]
    around = next(
        (n for n in behind for i in n.inputs if i != layer and i in {INPUT, *names[:at]}), None
    )
    if around is not None:
        msg = f"layer {around.name!r} goes around {layer!r}; choose one that everything passes"
        raise NetworkError(msg)
    before = None
    if source != INPUT:
        kept = network.nodes[: names.index(source) + 1]
        before = replace(network, nodes=kept)
    rest = None
    if behind:
        nodes = [
            replace(n, inputs=tuple(INPUT if i == layer else i for i in n.inputs)) for n in behind
        ]
        rest = Network(tuple(nodes), network.shapes[layer], network.dtype, None, network.source)
    return before, found, rest


def _pair(what: str, scaling: Scaling, shape: Shape) -> tuple[Array, Array]:
    try:
        offset, factor = (np.broadcast_to(np.asarray(s, dtype=np.float64), shape) for s in scaling)
    except (TypeError, ValueError) as error:
        msg = f"the scaling of {what} takes an offset and a factor that fit the shape {shape}: "
        raise NetworkError(msg + str(error)) from error
    if not (np.isfinite(offset).all() and np.isfinite(factor).all() and factor.all()):
        msg = f"the scaling of {what} needs finite offsets and factors, and no factor of zero"
        raise NetworkError(msg)
    return offset, factor


def _renamed(inputs: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(name if i == INPUT else i for i in inputs)


def _free(network: Network, name: str) -> str:
    """Name that no node has yet."""
    while name in network.by_name:
        name += "_"
    return name
