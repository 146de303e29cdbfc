"""Where the units of a network are: the elements that hold them, the columns that read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.units import Group, units_of

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layout:
    """Units of all groups in one row, layer after layer.

    A unit that cannot be removed, or that an earlier layer decides about, has a place in the row
    and no elements or columns.

    Attributes
    ----------
    groups : mapping of str to Group
    start : mapping of str to int
        Place of the first unit of every layer.
    count : int
        Units in all.
    elements : mapping of str to array of int
        For every node that carries units, the unit of each element, of the shape of an item; -1
        where there is none.
    sources : tuple of str
        The nodes that layers read units from.
    columns : mapping of str to array of int, shape (n_in,)
        For every layer that reads units, the unit of each input neuron or channel; -1 for none.
    rows : mapping of str to array of int, shape (n_out,)
        For every layer that makes units, the unit of each output; -1 for none.
    leader : array of int, shape (count,)
        For every unit, the one that stands for all that falls together with it (itself, mostly);
        -1 for units without a choice.
    """

    groups: Mapping[str, Group]
    start: Mapping[str, int]
    count: int
    elements: Mapping[str, Indices]
    sources: tuple[str, ...]
    columns: Mapping[str, Indices]
    rows: Mapping[str, Indices]
    leader: Indices

    def split(self, values: Array) -> dict[str, Array]:
        """Values of all units by layer."""
        return {
            name: values[first : first + self.groups[name].width]
            for name, first in self.start.items()
        }

    def join(self, values: Mapping[str, npt.ArrayLike]) -> Array:
        """Values by layer as those of all units."""
        return np.concatenate([np.asarray(values[name], dtype=np.float64) for name in self.start])

    def flags(self, kept: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.bool_]:
        """Kept indices by layer as flags of all units."""
        flags = np.zeros(self.count, bool)
        for name, units in kept.items():
            flags[self.start[name] + np.asarray(units, dtype=np.int64)] = True
        return flags

    def read(self, network: Network) -> Iterator[tuple[str, Array, Indices]]:
        """Yield the name of every layer that reads units, its weights and its columns' units.

        Weights have shape (n_out, n_in, kernel positions).
        """
        for name, owner in self.columns.items():
            weight = network.by_name[name].layer.parameters[0]
            yield name, weight.reshape(*weight.shape[:2], -1), owner

    def sums(self, owner: Indices, values: Array) -> Array:
        """Add up values by the units that own them, shape (count,)."""
        flat = owner.reshape(-1)
        own = flat >= 0
        return np.bincount(flat[own], values.reshape(-1)[own], self.count).astype(np.float64)


def layout(network: Network) -> Layout:
    """Find where the units of a network are."""
    units = units_of(network)
    start, count = {}, 0
    place = np.full(units.count + 1, -1)  # the last entry serves the number -1
    for name, group in units.groups.items():
        start[name] = count
        own = np.flatnonzero(group.ids >= 0)[::-1]
        place[group.ids[own]] = count + own
        count += group.width
    ids = np.concatenate([np.zeros(0, np.int64), *(g.ids for g in units.groups.values())])
    columns = {name: place[numbers] for name, numbers in units.columns.items()}
    rows = {name: place[numbers] for name, numbers in units.layers.items()}
    elements = {node: place[numbers] for node, numbers in units.elements.items()}
    carriers = {node: owner for node, owner in elements.items() if (owner >= 0).any()}
    sources = dict.fromkeys(network.by_name[reader].inputs[0] for reader in columns)
    return Layout(
        units.groups,
        start,
        count,
        carriers,
        tuple(node for node in sources if node in carriers),
        {name: owner for name, owner in columns.items() if (owner >= 0).any()},
        {name: owner for name, owner in rows.items() if (owner >= 0).any()},
        place[ids],
    )


def activations(network: Network, inputs: Array) -> dict[str, Array]:
    """Values of every unit as the layers behind it read them.

    Parameters
    ----------
    network : Network
    inputs : array, shape (batch, *input_shape)

    Returns
    -------
    mapping of str to array, shape (width, n)
        By layer; n runs over inputs, positions of a channel, and places it is read from. A unit
        that is read from fewer places has zeros in their stead.
    """
    found = layout(network)
    trace = network.trace(inputs)
    parts: dict[str, list[Array]] = {name: [] for name in found.groups}
    for node in found.sources:
        owner = found.elements[node]
        values = np.asarray(trace[node], dtype=np.float64).reshape(len(inputs), -1)
        for name, first in found.start.items():
            own = owner.reshape(-1) - first
            inside = np.flatnonzero((owner.reshape(-1) >= first) & (own < found.groups[name].width))
            if inside.size:
                parts[name].append(_table(values[:, inside], own[inside], found.groups[name].width))
    size = {name: (group.width, 0) for name, group in found.groups.items()}
    return {
        name: np.concatenate([np.zeros(size[name]), *tables], axis=1)
        for name, tables in parts.items()
    }


def drawn(data: Array | None, rng: np.random.Generator, samples: int | None = None) -> Array:
    """Calibration inputs, or so many of them at random, in their order.

    Raises
    ------
    MaskError
        When there are none, or ``samples`` is not a whole number from 1 on, or None.
    """
    if data is None:
        msg = "the scores need calibration inputs: pass data="
        raise MaskError(msg)
    if samples is None:
        return data
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        msg = f"samples must be a whole number from 1 on, or None, not {samples!r}"
        raise MaskError(msg)
    if samples >= len(data):
        return data
    return data[np.sort(rng.choice(len(data), samples, replace=False))]


def _table(values: Array, unit: Indices, width: int) -> Array:
    """Columns of values in the rows of their units, shape (width, batch * most columns)."""
    order = np.argsort(unit, kind="stable")
    counts = np.bincount(unit, minlength=width)
    firsts = np.cumsum(counts) - counts
    turn = np.arange(len(unit)) - firsts[unit[order]]
    table = np.zeros((width, int(counts.max()), len(values)))
    table[unit[order], turn] = values[:, order].T
    return table.reshape(width, -1)
