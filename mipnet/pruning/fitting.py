"""Whether a mask fits a network, and what differs where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mipnet.network import Network
from mipnet.network.layers import Conv
from mipnet.pruning.tiles import grid_counts, tile_grids
from mipnet.pruning.units import Units, obstacle, unit_of, units_of

if TYPE_CHECKING:
    from mipnet.pruning.mask import LayerMask, Mask

#: Kinds of unit that can be applied.
UNIT_KINDS = ("neuron", "channel", "tile")


def no_units(network: Network, name: str, *, tiles: bool = False) -> str:
    """Why a layer has no removable units, with the layers that have; empty when it has some."""
    groups = list(units_of(network).groups)
    if tiles:
        grids = list(tile_grids(network, 1))
        if name in grids:
            return ""
        why = "does not exist"
        if name in network.by_name:
            layer = network.by_name[name].layer
            grouped = isinstance(layer, Conv)
            why = "is a grouped convolution" if grouped else f"is of kind {layer.kind}"
        return f"layer {name!r} {why}: it has no tiles; layers with tiles: {grids}"
    if name not in network.by_name:
        return f"layer {name!r} does not exist; prunable: {groups}"
    why = obstacle(network, name)
    return f"layer {name!r} {why}; prunable: {groups}" if why else ""


def misfits(mask: Mask, network: Network) -> list[str]:
    """Everything about layers and units in which a mask does not fit a network."""
    units = units_of(network)
    problems = []
    fitting = []
    for name, layer in mask.layers.items():
        if layer.unit not in UNIT_KINDS:
            problems.append(f"layer {name!r}: units of kind {layer.unit!r} are not supported")
            continue
        if name not in network.by_name:
            known = list(units.groups)
            problems.append(f"the network has no layer {name!r}; prunable: {known}")
            continue
        why = no_units(network, name, tiles=layer.unit == "tile") or _misshapen(
            network, units, name, layer
        )
        if why:
            problems.append(why)
        elif layer.unit != "tile":
            fitting.append(name)
    problems += _apart(mask, units, fitting)
    for name, shift in mask.bias.items():
        holder = network.by_name.get(name)
        if holder is None or name not in units.layers:
            problems.append(f"the network has no layer {name!r} with a bias to add to")
        elif shift.shape != holder.layer.parameters[1].shape:
            n = holder.layer.parameters[1].size
            problems.append(f"layer {name!r} has {n} biases, the mask adds {shift.size}")
    return problems


def _misshapen(network: Network, units: Units, name: str, layer: LayerMask) -> str:
    """In what the units of one layer differ; empty where they fit."""
    holder = network.by_name[name].layer
    shape = holder.parameters[0].shape
    if layer.tile is not None:
        n = len(holder.parameters[0])
        width = int(np.prod(grid_counts((holder.parameters[0].size // n, n), layer.tile)))
        unit, kind = "tile", f"tiles of {layer.tile[0]}x{layer.tile[1]}"
    else:
        width, unit = len(units.layers[name]), unit_of(holder)
        kind = "units"
    if width != layer.width:
        return f"layer {name!r} has {width} {kind}, the mask has {layer.width}"
    if layer.unit != unit:
        return f"layer {name!r}: its units are {unit}s, the mask has {layer.unit}s"
    if layer.shape is not None and layer.shape != shape:
        return f"layer {name!r} has a weight of shape {shape}, the mask one of {layer.shape}"
    if unit == "tile":
        return ""
    stuck = layer.removed[units.layers[name][layer.removed] < 0]
    if stuck.size:
        return (
            f"layer {name!r}: {unit} {stuck[0]} cannot be removed, since it is joined with "
            f"values that stay whole; removable: {np.flatnonzero(units.layers[name] >= 0).tolist()}"
        )
    return ""


def _apart(mask: Mask, units: Units, names: list[str]) -> list[str]:
    """Units that fall together and are removed in one listed layer, but kept in another."""
    removed: dict[int, str] = {}
    for name in names:
        for unit in units.layers[name][mask.layers[name].removed].tolist():
            removed.setdefault(unit, name)
    problems = []
    for name in names:
        layer = mask.layers[name]
        for index, unit in zip(layer.kept, units.layers[name][layer.kept].tolist(), strict=True):
            if unit in removed:
                problems.append(
                    f"layer {name!r} keeps {layer.unit} {index}, which falls together with what "
                    f"layer {removed[unit]!r} removes: remove it from both, or keep it in both"
                )
                break
    return problems
