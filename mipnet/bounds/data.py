"""Bounds as data: what is proven about every node, and by which method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mipnet.arguments import numbers
from mipnet.errors import RegionError
from mipnet.network import INPUT, Interval, Layer, Network
from mipnet.network.layers.base import Array, Flags
from mipnet.region import Box, Region


@dataclass(frozen=True)
class PhaseCount:
    """Phases of the neurons of one nonlinear layer.

    Attributes
    ----------
    layer : str
        Node name.
    inactive, active, unstable : int
        Inputs of the layer that never change its output, that it is linear in, and the others.
    """

    layer: str
    inactive: int
    active: int
    unstable: int


@dataclass(frozen=True)
class Violation:
    """A point whose trace leaves the bounds: the proof that a bound is wrong.

    Attributes
    ----------
    layer : str
    neuron : int
    value, lower, upper : float
    """

    layer: str
    neuron: int
    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return (
            f"layer {self.layer!r}, neuron {self.neuron}: value {self.value!r} outside "
            f"[{self.lower!r}, {self.upper!r}]"
        )


def deciders(network: Network) -> dict[str, list[Layer]]:
    """Nonlinear layers that read a node, by the name of the node, in network order."""
    found: dict[str, list[Layer]] = {}
    for node in network.nodes:
        if node.layer.nonlinear:
            found.setdefault(node.inputs[0], []).append(node.layer)
    return found


def unstable(readers: Sequence[Layer], box: Interval) -> Flags:
    """Neurons that bounds leave unstable for any of the layers that read them."""
    if len(readers) == 1:
        return readers[0].unstable(box)
    open_ = np.zeros(box.lower.shape, dtype=bool)
    for layer in readers:
        open_ |= layer.unstable(box)
    return open_


@dataclass(frozen=True)
class Bounds:
    """Proven bounds of every node of a network over a region.

    Attributes
    ----------
    network : Network
    intervals : mapping of node name to Interval
        Outward-rounded bounds of the node's output, batch of one; ``"input"`` included.
    methods : mapping of node name to str
        The last method that tightened the node.
    seconds : float
        Time spent.
    """

    network: Network
    intervals: Mapping[str, Interval]
    methods: Mapping[str, str]
    seconds: float = field(default=0.0, compare=False)

    def __getitem__(self, name: str) -> Interval:
        return self.intervals[name]

    def preactivation(self, name: str) -> Interval:
        """Bounds of the (first) input of the node ``name``."""
        return self.intervals[self.network.by_name[name].inputs[0]]

    @property
    def output(self) -> Interval:
        """Bounds of the output, shape (1, *output_shape)."""
        return self.intervals[self.network.output]

    @property
    def phases(self) -> tuple[PhaseCount, ...]:
        """Phase counts of every nonlinear layer."""
        counts = []
        for node in self.network.nodes:
            if not node.layer.nonlinear:
                continue
            box = self.preactivation(node.name)
            off, open_ = int(node.layer.inactive(box).sum()), int(node.layer.unstable(box).sum())
            counts.append(PhaseCount(node.name, off, box.lower.size - off - open_, open_))
        return tuple(counts)

    @property
    def n_unstable(self) -> int:
        """Number of unstable neurons in all."""
        return sum(p.unstable for p in self.phases)

    def violation(self, points: Array) -> Violation | None:
        """First violation of the bounds by the traces of points of the region.

        Sound bounds contain every trace up to the rounding of the forward pass itself; more than
        that means a bound is wrong and nothing may be concluded from it.

        Parameters
        ----------
        points : array, shape (batch, n_inputs) or (batch, *input_shape)
        """
        values, _ = self.network.batch(points)
        trace = self.network.trace(values)
        for name in (INPUT, *(node.name for node in self.network.nodes)):
            box, value = self.intervals[name], trace[name]
            slack = 1e-9 * (1.0 + np.maximum(np.abs(value), box.magnitude))
            wrong = (value < box.lower - slack) | (value > box.upper + slack)
            if wrong.any():
                item, *where = (int(i) for i in np.argwhere(wrong)[0])
                neuron = int(np.ravel_multi_index(tuple(where), box.lower.shape[1:]))
                low, high = box.lower[0].reshape(-1)[neuron], box.upper[0].reshape(-1)[neuron]
                seen = float(value[item].reshape(-1)[neuron])
                return Violation(name, neuron, seen, float(low), float(high))
        return None


def as_region(
    network: Network, region: Region | tuple[npt.ArrayLike, npt.ArrayLike] | None
) -> Region:
    """Region of a network: given, from bounds, or from its own input bounds.

    Raises
    ------
    RegionError
        When it does not fit.
    """
    if region is None:
        box = network.input_box()
        region = (box.lower[0], box.upper[0])
    if not isinstance(region, Region):
        pair = list(region) if isinstance(region, Iterable) else []
        if len(pair) != 2 or isinstance(region, str | bytes):
            msg = f"a region is a Region or (lower, upper), not {region!r}"
            raise RegionError(msg)
        ends = [
            numbers(end, f"the {which} bounds of the region", RegionError).reshape(-1)
            for which, end in zip(("lower", "upper"), pair, strict=True)
        ]
        n = network.n_inputs
        if any(end.size not in {1, n} for end in ends):
            sizes = " and ".join(str(end.size) for end in ends)
            msg = f"bounds have {sizes} values for {n} inputs"
            raise RegionError(msg)
        low, high = (np.broadcast_to(end, (n,)) for end in ends)
        region = Box(low, high)
    if region.n_inputs != network.n_inputs:
        msg = f"the region has {region.n_inputs} inputs, the network {network.n_inputs}"
        raise RegionError(msg)
    return region
