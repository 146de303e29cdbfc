"""Smaller networks that are the same over a region, with a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.arguments import number, require
from mipnet.bounds import as_region, compute_bounds
from mipnet.certify.difference import propagate
from mipnet.certify.expand import embedded
from mipnet.certify.joint import FIRST, matched, node_by_node, side_by_side
from mipnet.certify.merging import mergeable, merged
from mipnet.errors import QueryError
from mipnet.network import Affine, Interval, Layer, Network, Node, ReLU
from mipnet.pruning import Mask, apply, prunable_layers, units_of
from mipnet.pruning.compact import shrink
from mipnet.pruning.units import live_nodes
from mipnet.region import Region

Array = npt.NDArray[np.float64]
Bounded = Mapping[str, Interval]


@dataclass(frozen=True)
class Certificate:
    """What is proven of a simplified network.

    Attributes
    ----------
    fingerprint, simplified : str
        Of the network, and of what it became.
    region : mapping
        Where the two are equal, as plain values.
    bounds : str
        Method that proved which units are stable.
    inactive, merged, collapsed : int
        Units that never put out anything but one constant and are gone, active units that were
        combinations of others, and layers that were linear and joined their readers.
    difference : float
        Proven bound of the difference of any output over the region, rounding of merged weights
        and folded biases included. Where merged and collapsed are 0 the two networks are equal
        but for folded biases, also where nonlinear layers other than ReLU leave this bound loose.
    """

    fingerprint: str
    simplified: str
    region: Mapping[str, Any]
    bounds: str
    inactive: int
    merged: int
    collapsed: int
    difference: float


@dataclass(frozen=True)
class Simplified:
    """A smaller network, and the certificate that it is the same over a region."""

    network: Network
    certificate: Certificate


def simplify(
    network: Network,
    region: Region | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    *,
    bounds: str = "crown",
    tolerance: float = 1e-9,
) -> Simplified:
    r"""Remove, merge and collapse what is stable over a region, without approximation.

    After T. Serra, A. Kumar, S. Ramalingam, Lossless Compression of Deep Neural Networks
    (CPAIOR 2020): units that are inactive over the region go, and their constants join the biases
    of their readers; an active unit whose weights combine those of other active units of its layer,
    :math:`w_j = \sum_k \alpha_k w_k`, goes too, its readers taking
    :math:`\alpha_k W_{:,j}` and the difference of the biases; a layer of active units alone becomes
    one with its reader where that needs no more weights. Channels of convolutions go and merge in
    the same way, through means but no other pooling; two convolutions never become one, whose
    kernel would be larger, and another function wherever the second one puts zeros around its
    input.

    Parameters
    ----------
    network : Network
    region : Region or (lower, upper), optional
        The input bounds of the network when absent.
    bounds : str
        Bounding method (:func:`mipnet.compute_bounds`).
    tolerance : float
        Largest proven difference that merging and collapsing may leave, relative to the largest
        output; with more, they are not done. Inactive units go in any case: that is exact.

    Returns
    -------
    Simplified

    Raises
    ------
    QueryError
        When the tolerance is no number from 0 on.
    RegionError, BoundsError
        When the region or the method does not fit.
    """
    require(network, Network, "network", QueryError)
    number(tolerance, "the tolerance", QueryError, (0.0, np.inf))
    where = as_region(network, region)
    proven = compute_bounds(network, where, bounds)
    plain = _State.of(network).without(_constant_units(network, proven.intervals))
    chosen, counts = _Steps(plain, where, bounds).run()
    difference = _proven_difference(network, chosen, where, proven.intervals)
    scale = 1.0 + float(proven.output.magnitude.max(initial=0.0))
    if any(counts) and not difference <= tolerance * scale:
        chosen, counts = plain, (0, 0)
        difference = _proven_difference(network, plain, where, proven.intervals)
    certificate = Certificate(
        network.fingerprint,
        chosen.network.fingerprint,
        where.describe(),
        bounds,
        _lost(network, plain.network),
        *counts,
        difference,
    )
    return Simplified(chosen.network, certificate)


@dataclass(frozen=True)
class _State:
    """A network on its way, and which elements of the original its nodes kept (flattened)."""

    network: Network
    kept: Mapping[str, npt.NDArray[np.bool_]]

    @staticmethod
    def of(network: Network) -> _State:
        kept = {n: np.ones(int(np.prod(s)), bool) for n, s in network.shapes.items()}
        return _State(network, kept)

    def without(self, mask: Mask | None) -> _State:
        """Apply a mask and compact, checked."""
        masked = self.network if mask is None else apply(self.network, mask)
        found = shrink(masked)
        found.check(masked)
        # Nodes that an earlier step has put in are none of the original.
        kept = {name: self.kept[name].copy() for name in found.kept if name in self.kept}
        for name, flags in kept.items():
            flags[flags] = found.kept[name]
        return _State(found.network, kept)

    def with_layers(self, layers: Mapping[str, Layer]) -> _State:
        return replace(self, network=self.network.with_layers(layers))


def _lost(network: Network, small: Network) -> int:
    return units_of(network).count - units_of(small).count


def _constant_units(network: Network, intervals: Bounded) -> Mask | None:
    """Mask of the units that are one constant wherever they are read."""
    units = units_of(network)
    # Ends over all places that units are read at, each of which may hold another constant.
    lowest, highest = np.full(units.count + 1, np.inf), np.full(units.count + 1, -np.inf)
    plain = np.ones(units.count + 1, bool)
    live = live_nodes(network)
    for name, numbers in units.columns.items():
        if name not in live:
            continue
        box = intervals[network.by_name[name].inputs[0]]
        low, high = (end[0].reshape(len(numbers), -1) for end in (box.lower, box.upper))
        np.minimum.at(lowest, numbers, low.min(axis=1))
        np.maximum.at(highest, numbers, high.max(axis=1))
        plain[numbers] &= isinstance(network.by_name[name].layer, Affine)
    # Only what is 0 vanishes from every kind of reader, padded convolutions included.
    constant = (lowest == highest) & ((lowest == 0.0) | plain)
    constant[-1] = False
    kept, filled = {}, {}
    for name in prunable_layers(network):
        gone = constant[units.layers[name]]
        kept[name] = ~gone
        filled[name] = lowest[units.layers[name]][gone]
    if not constant.any():
        return None
    return Mask.from_kept(network, kept, compensation=filled, method="inactive")


class _Steps:
    """Merging and collapsing, layer by layer, until nothing changes."""

    def __init__(self, state: _State, region: Region, bounds: str) -> None:
        self.state, self.region, self.bounds = state, region, bounds
        self.merged = self.collapsed = 0

    @property
    def network(self) -> Network:
        """The network so far."""
        return self.state.network

    def run(self) -> tuple[_State, tuple[int, int]]:
        """Return the network, and how many units were merged and layers collapsed."""
        while self._merge() or self._collapse():
            pass
        return self.state, (self.merged, self.collapsed)

    def _active(self, name: str) -> npt.NDArray[np.bool_]:
        box = compute_bounds(self.network, self.region, self.bounds)[name]
        return np.asarray(box.lower[0].reshape(-1) >= 0.0)

    def _merge(self) -> bool:
        """Merge dependent active units of one layer."""
        for name, group in prunable_layers(self.network).items():
            if not mergeable(self.network, group):
                continue
            active: npt.NDArray[np.bool_] = np.ones(group.width, bool)
            if any(isinstance(self.network.by_name[n].layer, ReLU) for n in group.path):
                active = np.asarray(self._active(name).reshape(group.width, -1).all(axis=1))
            found = merged(self.network, group, active)
            if found is None:
                continue
            layers, gone = found
            state = self.state.with_layers(layers)
            kept = np.setdiff1d(np.arange(group.width), gone)
            self.state = state.without(Mask.from_kept(state.network, {name: kept}))
            self.merged += gone.size
            return True
        return False

    def _collapse(self) -> bool:
        """Make a layer that is linear over the region one with its only reader."""
        users: dict[str, list[Node]] = {}
        for node in self.network.nodes:
            for source in node.inputs:
                users.setdefault(source, []).append(node)
        for node in self.network.nodes:
            behind = users.get(node.name, [])
            bridge = [n for n in behind if isinstance(n.layer, ReLU)]
            if not isinstance(node.layer, Affine) or len(behind) != 1:
                continue
            if bridge:
                behind = users.get(bridge[0].name, [])
                if bridge[0].name == self.network.output or len(behind) != 1:
                    continue
            (reader,) = behind
            layer = reader.layer
            if not isinstance(layer, Affine):
                continue
            size = len(layer.weight) * node.layer.weight.shape[1]
            if size > layer.weight.size + node.layer.weight.size:
                continue
            if bridge and not self._active(node.name).all():
                continue
            product = Affine(
                layer.weight @ node.layer.weight, layer.weight @ node.layer.bias + layer.bias
            )
            gone = {node.name, *(n.name for n in bridge)}
            whole = Node(reader.name, product, node.inputs)
            nodes = (whole if n.name == reader.name else n for n in self.network.nodes)
            small = replace(self.network, nodes=tuple(n for n in nodes if n.name not in gone))
            self.state = replace(self.state, network=small)
            self.collapsed += 1
            return True
        return False


def _proven_difference(network: Network, state: _State, region: Region, proven: Bounded) -> float:
    """Bound of the difference of any output."""
    whole = embedded(network, state.network, state.kept)
    joint = side_by_side(network, state.network)
    if whole is not None and matched(network, whole):
        paired = node_by_node(network, whole)
        if paired is None:
            return 0.0
        joint = paired
    known = {FIRST + name: box for name, box in proven.items()}
    return float(propagate(joint, region, known).magnitude.max(initial=0.0))
