"""Shrinking a network: removed and dead units go, constant ones fold into the next bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mipnet.network import INPUT, Affine, Flatten, Network, Node
from mipnet.network.layers import Add, Conv, Reshape, Scale, Slice
from mipnet.network.rewrite import absorb
from mipnet.pruning.agreement import check_agreement
from mipnet.pruning.apply import apply
from mipnet.pruning.constants import Constants, constants_of
from mipnet.pruning.mask import Mask
from mipnet.pruning.slicing import per_axis, read, shape_of, sliced
from mipnet.pruning.units import Units, live_nodes, reader, units_of

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def compact(network: Network, mask: Mask | None = None) -> Network:
    """Shrunk network of the same function.

    A unit of :func:`~mipnet.pruning.units.prunable_layers` goes, with everything that falls
    together with it, when wherever it is read it is

    - removed by the mask (see :func:`~mipnet.pruning.apply.apply`),
    - constant: all its weights on changing inputs are 0. Its value, ``max(0, b)`` after a ReLU,
      is folded into the biases of its readers, which may make these constant in turn. A padded
      convolution sees a constant other than 0 change at the rim: such a channel stays;
    - or dead: no unit that stays has a weight other than 0 on it.

    A term of a sum that is constant as a whole, such as an emptied residual branch, goes too, and
    what it adds joins the bias of the layer behind the sum, or of the one in front; where neither
    can take it (a ReLU on both sides, say) the sum becomes a shift. Without a constant to add, a
    sum of one term is that term.

    Only exact zeros count. Input and output keep their shapes, surviving nodes their names. When
    a layer loses all units, everything behind it is constant: what remains is an Affine node
    with zero weights on the network input, and the nodes between it and the output.

    Parameters
    ----------
    network : Network
    mask : Mask, optional
        Applied first; without it, only constant and dead units go.

    Returns
    -------
    Network
        Equal to the masked network up to float64 rounding. Folded biases are kept in float64,
        also when :attr:`Network.dtype` says float32.

    Raises
    ------
    MaskError
        When the mask does not fit, or when masked and shrunk network differ on a sample of
        inputs by more than rounding explains, naming the first layer that does.
    """
    masked = network if mask is None else apply(network, mask)
    found = shrink(masked)
    found.check(masked)
    return found.network


class Shrunk(NamedTuple):
    """A network that was shrunk, and where its values are found in the one it came from.

    Attributes
    ----------
    network : Network
    kept : mapping of str to array of bool
        For every node that the two share, and the input, the elements that it kept, flattened.
    moved : frozenset of str
        Nodes whose values differ by a constant that was taken over from, or left to, another node.
    """

    network: Network
    kept: dict[str, Flags]
    moved: frozenset[str]

    def check(self, masked: Network) -> None:
        """Raise MaskError where the two networks disagree on a sample of inputs."""
        shared = {name: flags for name, flags in self.kept.items() if name not in self.moved}
        check_agreement(masked, self.network, shared)


def shrink(network: Network) -> Shrunk:
    """Shrunk network, unchecked: use :func:`compact`."""
    units, live = units_of(network), live_nodes(network)
    # What overflows here fails the comparison behind it.
    with np.errstate(over="ignore", invalid="ignore"):
        constants = constants_of(network)
        needed = np.append(_needed(network, units, constants, live), True)
        kept = {name: needed[ids] for name, ids in units.elements.items() if name in live}
        building = _Building(network, kept, constants)
        for node in network.nodes:
            if node.name in kept and kept[node.name].any():
                building.add(node)
        small = _live(replace(network, nodes=tuple(building.nodes)))
        shifts = [name for name in building.shifts if name in small.by_name]
        small, moved = absorb(small, shifts)
    remaining = live_nodes(small)
    left = {name: flags.reshape(-1) for name, flags in kept.items() if name in remaining}
    return Shrunk(small, left, moved)


def _live(network: Network) -> Network:
    remaining = live_nodes(network)
    return replace(network, nodes=tuple(n for n in network.nodes if n.name in remaining))


def _needed(
    network: Network, units: Units, constants: Mapping[str, Constants], live: frozenset[str]
) -> Flags:
    """Units that some output which stays reads, and that are not constant there."""
    needed = np.zeros(units.count + 1, bool)
    needed[-1] = True
    # Which columns of which rows have a weight on something that changes.
    reads = []
    for node in network.nodes:
        layer = reader(node)
        if layer is not None and node.name in live:
            weight = layer.weight
            used = (weight != 0.0).any(axis=tuple(range(2, weight.ndim)))
            used &= ~_foldable(layer, constants[node.inputs[0]])
            reads.append((units.layers[node.name], units.columns[node.name], used))
    before = -1
    while before != (before := int(needed.sum())):
        for rows, columns, used in reversed(reads):
            needed[columns[used[needed[rows]].any(axis=0)]] = True
    return needed[:-1]


def _foldable(layer: object, source: Constants) -> Flags:
    """Columns whose constants can join the bias of a layer."""
    known, value = (a.reshape(len(a), -1) for a in (source.known, source.value))
    flags = known.all(axis=1)
    if isinstance(layer, Conv):
        flags &= (value == value[:, :1]).all(axis=1)
        if any((*layer.window.before, *layer.window.after)):
            flags &= ~value.any(axis=1)
    return np.asarray(flags)


@dataclass
class _Building:
    """The nodes of the small network, one after the other."""

    network: Network
    kept: Mapping[str, Flags]
    constants: Mapping[str, Constants]
    nodes: list[Node] = field(default_factory=list)
    stands: dict[str, str] = field(default_factory=dict)
    shifts: list[str] = field(default_factory=list)

    def add(self, node: Node) -> None:
        """Add what is left of a node of which something is."""
        own = self.kept[node.name]
        sources = tuple(name for name in node.inputs if self.kept[name].any())
        inputs = tuple(self.stands.get(name, name) for name in sources)
        if isinstance(node.layer, Add) and self._sum(node, node.layer, own):
            return
        layer = reader(node)
        if layer is None:
            flags = [self.kept[name] for name in sources]
            self.nodes.append(Node(node.name, sliced(node.layer, flags, own), inputs))
            return
        source = node.inputs[0]
        value = self.constants[source].value
        rows, columns = per_axis(own)[0], per_axis(self.kept[source])[0]
        slim = read(layer, rows, columns, value.reshape(len(value), -1)[:, 0])
        if columns.any():
            self.nodes.append(Node(node.name, slim, inputs))
        else:
            self._constant(node.name, np.asarray(slim.bias), shape_of(own))

    def _sum(self, node: Node, layer: Add, own: Flags) -> bool:
        """Add a sum without its constant terms, if it has some, and others."""
        pairs = list(zip(node.inputs, layer.scales, strict=True))
        fixed = [(n, s) for n, s in pairs if self.constants[n].known[own].all()]
        terms = [(self.stands.get(n, n), s) for n, s in pairs if (n, s) not in fixed]
        if not fixed or not terms:
            return False
        shift = np.zeros(shape_of(own))
        for name, scale in fixed:
            shift += scale * self.constants[name].value[own].reshape(shift.shape)
        if not np.isfinite(shift).all():
            return False
        name, (inputs, scales) = node.name, zip(*terms, strict=True)
        if len(terms) > 1:
            if shift.any():
                name = self._fresh(f"{name}_terms")
            self.nodes.append(Node(name, Add(scales), inputs))
            inputs, scales = (name,), (1.0,)
            if name == node.name:
                return True
        if scales == (1.0,) and not shift.any() and node.name != self.network.output:
            self.stands[node.name] = inputs[0]
            return True
        flat = shift.reshape(len(shift), -1)
        if (flat == flat[:, :1]).all():
            shift = flat[:, 0].reshape(-1, *(1,) * (shift.ndim - 1))
        self.nodes.append(Node(node.name, Scale(scales[0], shift), inputs))
        self.shifts.append(node.name)
        return True

    def _constant(self, name: str, bias: Array, shape: tuple[int, ...]) -> None:
        """Add a node whose inputs are all folded away: it hangs on the network input."""
        anchor = self._vector()
        if len(shape) == 1:
            zeros = np.zeros((bias.size, self.network.n_inputs))
            self.nodes.append(Node(name, Affine(zeros, bias), (anchor,)))
            return
        # A map is as large as it is: one column of zero weights is enough for it.
        one, flat = self._fresh(f"{name}_one"), self._fresh(f"{name}_flat")
        values = np.repeat(bias, int(np.prod(shape[1:])))
        self.nodes += [
            Node(one, Slice([0], [1]), (anchor,)),
            Node(flat, Affine(np.zeros((values.size, 1)), values), (one,)),
            Node(name, Reshape(shape), (flat,)),
        ]

    def _vector(self) -> str:
        """Name of the network input as a vector."""
        if len(self.network.input_shape) == 1:
            return INPUT
        for node in self.nodes:
            if isinstance(node.layer, Flatten) and node.inputs == (INPUT,):
                return node.name
        name = self._fresh("input_flat")
        self.nodes.append(Node(name, Flatten(), (INPUT,)))
        return name

    def _fresh(self, name: str) -> str:
        taken = {*self.network.by_name, *(node.name for node in self.nodes), INPUT}
        while name in taken:
            name += "_"
        return name
