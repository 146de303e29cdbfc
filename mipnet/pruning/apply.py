"""Applying a mask without changing shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mipnet.arguments import require
from mipnet.errors import MaskError
from mipnet.network import Affine, Layer, Network
from mipnet.network.layers import BatchNorm, Conv, Scale
from mipnet.pruning.mask import Mask
from mipnet.pruning.slicing import kernel_sums
from mipnet.pruning.tiles import tile_elements
from mipnet.pruning.units import Units, is_reader, units_of

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def apply(network: Network, mask: Mask) -> Network:
    r"""Masked network: same shapes, removed units switched off.

    For a removed unit, its row and bias in every layer that makes it, its factor and shift in
    every normalisation, and its columns in every reader become exactly 0, so that its activation
    is 0 and nobody reads it. With compensation ``c`` (:class:`LayerMask`), readers first take
    :math:`b \mathrel{+}= W_{:,j} c_j`, with the original ``W`` and the values ``c`` replacing the
    activation where it is read; a convolution takes the sum over its kernel, as it is away from
    the padding. :attr:`Mask.bias` is added to the biases as it is. A reader's own removed rows
    stay 0 whatever is added. The weights of removed tiles become 0.

    Parameters
    ----------
    network : Network
    mask : Mask

    Returns
    -------
    Network

    Raises
    ------
    MaskError
        When the mask does not fit the network, or compensation overflows.
    """
    require(mask, Mask, "mask", MaskError).check(network)
    units = units_of(network)
    removed, constant = removed_units(units, mask)
    layers: dict[str, Layer] = {}
    for node in network.nodes:
        layer = node.layer
        if isinstance(layer, Affine | Conv):
            columns = units.columns.get(node.name) if is_reader(node) else None
            changed = _weighted(
                layer,
                removed[units.layers[node.name]],
                None if columns is None else removed[columns],
                None if columns is None else constant[columns],
                mask.bias.get(node.name),
            )
            if changed is not None:
                layers[node.name] = changed
        elif isinstance(layer, BatchNorm | Scale):
            gone = removed[units.elements[node.name]]
            if gone.any():
                layers[node.name] = _silenced(layer, gone)
    network = network.with_layers(layers)
    return network.with_layers(_without_tiles(network, mask))


def check_masked(network: Network, mask: Mask) -> None:
    """Raise unless the removed units of a network are switched off, as :func:`apply` does.

    Parameters
    ----------
    network : Network
        In whatever state of training; layers and widths must be those of the mask.
    mask : Mask

    Raises
    ------
    MaskError
        When the mask does not fit, or a removed unit or tile has a weight left.
    """
    require(mask, Mask, "mask", MaskError).check(network, same_weights=False)
    for name, (weight, bias) in held(network, mask).items():
        values = network.by_name[name].layer.parameters
        if (values[0][weight]).any() or values[1][bias].any():
            msg = f"layer {name!r}: removed units still have weights; apply the mask first"
            raise MaskError(msg)


def held(network: Network, mask: Mask) -> dict[str, tuple[Flags, Flags]]:
    """Entries of weight and bias that a mask holds at 0, by layer: Affine, Conv and BatchNorm."""
    units = units_of(network)
    removed, _ = removed_units(units, mask)
    found: dict[str, tuple[Flags, Flags]] = {}
    for node in network.nodes:
        layer = node.layer
        if not isinstance(layer, Affine | Conv | BatchNorm):
            continue
        weight, bias = (np.zeros(p.shape, bool) for p in layer.parameters[:2])
        if isinstance(layer, BatchNorm):
            gone = removed[units.elements[node.name]]
            weight |= gone.reshape(len(gone), -1).any(axis=1)
            bias |= weight
        else:
            bias |= removed[units.layers[node.name]]
            weight[bias] = True
            if is_reader(node):
                weight[:, removed[units.columns[node.name]]] = True
            tiles = mask.layers.get(node.name)
            if tiles is not None and tiles.tile is not None:
                weight |= ~tile_elements(tiles.keep, tiles.tile, weight.shape)
        if weight.any() or bias.any():
            found[node.name] = weight, bias
    return found


def removed_units(units: Units, mask: Mask) -> tuple[Flags, Array]:
    """Which units a mask removes, and what readers see in their place.

    Both have one entry more than there are units, for index -1: what must stay.
    """
    removed, constant = np.zeros(units.count + 1, bool), np.zeros(units.count + 1)
    for name, layer in mask.layers.items():
        if layer.unit == "tile":
            continue
        ids = units.layers[name][layer.removed]
        removed[ids] = True
        if layer.compensation is not None:
            constant[ids] = layer.compensation
    return removed, constant


def _weighted(
    layer: Affine | Conv,
    rows: Flags,
    columns: Flags | None,
    constant: Array | None,
    shift: Array | None,
) -> Layer | None:
    """Layer without some rows and columns; None where nothing changes."""
    cut = columns is not None and bool(columns.any())
    if not cut and not rows.any() and shift is None:
        return None
    weight, bias = layer.weight.copy(), layer.bias.copy()
    if columns is not None and constant is not None and cut:
        with np.errstate(over="ignore", invalid="ignore"):
            bias += kernel_sums(weight[:, columns]) @ constant[columns]
        weight[:, columns] = 0.0
    if shift is not None:
        bias += shift
    weight[rows] = 0.0
    bias[rows] = 0.0
    bad = np.flatnonzero(~np.isfinite(bias))
    if bad.size:
        msg = f"compensation makes the bias of neuron {bad[0]} infinite: use smaller values"
        raise MaskError(msg)
    return replace(layer, weight=weight, bias=bias)


def _silenced(layer: BatchNorm | Scale, gone: Flags) -> Layer:
    if isinstance(layer, BatchNorm):
        on = ~gone.reshape(len(gone), -1).any(axis=1)
        return replace(layer, weight=layer.weight * on, bias=layer.bias * on)
    scale, shift = (np.where(gone, 0.0, p) for p in layer.parameters)
    return Scale(scale, shift)


def _without_tiles(network: Network, mask: Mask) -> Mapping[str, Layer]:
    layers: dict[str, Layer] = {}
    for name, layer in mask.layers.items():
        holder = network.by_name[name].layer
        if layer.tile is not None and isinstance(holder, Affine | Conv):
            on = tile_elements(layer.keep, layer.tile, holder.weight.shape)
            layers[name] = replace(holder, weight=np.where(on, holder.weight, 0.0))
    return layers
