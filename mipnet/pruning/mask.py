"""Masks: kept units per named layer, with provenance. Plain data, checked on every use."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from mipnet.arguments import numbers, require
from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.fitting import misfits, no_units
from mipnet.pruning.provenance import Provenance
from mipnet.pruning.tiles import grid_counts, tile_grids, tile_size
from mipnet.pruning.units import unit_of

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: No layer has more units than this.
WIDEST = 2**31 - 1


@dataclass(frozen=True, eq=False)
class LayerMask:
    """Kept units of one layer.

    Parameters
    ----------
    kept : array of bool, shape (width,), or array of int
        Kept units; stored as sorted int64 indices.
    width : int
        Number of units before pruning.
    unit : str
        Kind of unit.
    compensation : array, shape (width - len(kept),), optional
        Constant the readers of this layer see in place of each removed unit, in index order;
        0 when absent.
    scores : array, shape (width,), optional
        Importance of each unit, higher is more important.
    shape : tuple of int, optional
        Shape of the weight of the layer; compared with the network's when given.
    tile : (int, int), optional
        Inputs and outputs of a tile, for units of kind ``tile``; see :mod:`mipnet.pruning.tiles`
        for their order.

    Raises
    ------
    MaskError
        When indices repeat or lie outside ``0 .. width - 1``, a shape does not fit, a score is
        NaN or a compensation is not finite.
    """

    kept: Indices
    width: int
    unit: str = "neuron"
    compensation: Array | None = None
    scores: Array | None = None
    shape: tuple[int, ...] | None = None
    tile: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        whole = isinstance(self.width, int) and not isinstance(self.width, bool)
        if not whole or not 0 <= self.width <= WIDEST:
            msg = f"width must be a whole number from 0 to {WIDEST}, not {self.width!r}"
            raise MaskError(msg)
        require(self.unit, str, "the kind of unit", MaskError)
        object.__setattr__(self, "kept", _indices(self.kept, self.width))
        # Lists as long as the width are made on use only: a damaged file may claim any width.
        for name, size in (("compensation", self.width - self.kept.size), ("scores", self.width)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _floats(name, value, size))
        if self.compensation is not None and not np.isfinite(self.compensation).all():
            neuron = int(self.removed[~np.isfinite(self.compensation)][0])
            msg = f"compensation of neuron {neuron} is not finite"
            raise MaskError(msg)
        if self.shape is not None:
            object.__setattr__(self, "shape", _shape(self.shape))
        if self.tile is not None:
            object.__setattr__(self, "tile", tile_size(self.tile))
        if (self.unit == "tile") != (self.tile is not None):
            msg = f"units of kind 'tile' need the size of a tile, others none, not {self.tile}"
            raise MaskError(msg)
        if self.unit == "tile" and self.compensation is not None:
            msg = "tiles are blocks of weights: there is nothing to compensate for each of them"
            raise MaskError(msg)
        if self.shape is not None and self.width != (width := _units(self.shape, self.tile)):
            msg = f"a weight of shape {self.shape} has {width} units of kind {self.unit!r}, not "
            msg += f"{self.width}"
            raise MaskError(msg)

    @property
    def removed(self) -> Indices:
        """Sorted indices of the removed units."""
        return np.setdiff1d(np.arange(self.width), self.kept, assume_unique=True)

    @property
    def keep(self) -> npt.NDArray[np.bool_]:
        """Kept units as a boolean array, shape (width,)."""
        return np.isin(np.arange(self.width), self.kept)


@dataclass(frozen=True, eq=False)
class Mask:
    """Kept units per named layer, and how they were chosen.

    Layers that are not listed stay whole, except for units that fall together with removed ones
    (:class:`~mipnet.pruning.units.Group`). Usually made by a pruner or by :meth:`from_kept`.

    Attributes
    ----------
    layers : mapping of str to LayerMask
        By the name of the Affine or Conv node whose outputs are the units.
    provenance : Provenance
        Method, options, seed, data hash, model fingerprint, versions.
    bias : mapping of str to array, shape (n_out,)
        What is added to the biases of layers to make up for removed units
        (:func:`~mipnet.pruning.compensate.mean_shifts`); entries of removed units have no effect.

    Examples
    --------
    >>> from mipnet.network import Affine, ReLU
    >>> net = Network.sequential([Affine(np.eye(3), np.zeros(3)), ReLU(),
    ...                           Affine(np.ones((1, 3)), np.zeros(1))])
    >>> Mask.from_kept(net, {"affine0": [2, 0]}).layers["affine0"].removed
    array([1])
    """

    layers: Mapping[str, LayerMask]
    provenance: Provenance
    bias: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(self.layers, Mapping, "layers", MaskError)
        for name, layer in self.layers.items():
            require(layer, LayerMask, f"what a mask holds of layer {name!r}", MaskError)
        require(self.provenance, Provenance, "provenance", MaskError)
        object.__setattr__(self, "layers", dict(self.layers))
        shifts = {}
        for name, values in require(self.bias, Mapping, "bias", MaskError).items():
            shifts[name] = _floats(f"bias of layer {name!r}", values, None)
            if not np.isfinite(shifts[name]).all():
                msg = f"layer {name!r}: what is added to its bias is not finite"
                raise MaskError(msg)
        object.__setattr__(self, "bias", shifts)

    @property
    def kept_share(self) -> float:
        """Fraction of the units of the listed layers that is kept; 1 when there are none."""
        width = sum(layer.width for layer in self.layers.values())
        return sum(len(layer.kept) for layer in self.layers.values()) / width if width else 1.0

    @staticmethod
    def from_kept(
        network: Network,
        kept: Mapping[str, npt.ArrayLike],
        *,
        tile: int | tuple[int, int] | None = None,
        compensation: Mapping[str, npt.ArrayLike] | None = None,
        scores: Mapping[str, npt.ArrayLike] | None = None,
        bias: Mapping[str, npt.ArrayLike] | None = None,
        **provenance: Any,
    ) -> Mask:
        """Mask for a network from the units to keep.

        Parameters
        ----------
        network : Network
            Gives widths, shapes and fingerprint.
        kept : mapping of str to array of bool or int
            Kept units of each masked layer. Of layers whose units fall together one is enough.
        tile : int or (int, int), optional
            The units are tiles of this size; neurons and channels when absent.
        compensation, scores : mapping of str to array, optional
            See :class:`LayerMask`.
        bias : mapping of str to array, optional
            See :class:`Mask`.
        **provenance
            Fields of :class:`Provenance`, the fingerprint excepted.

        Raises
        ------
        MaskError
            When a layer or a unit does not exist or cannot be removed, or layers whose units fall
            together disagree.
        """
        require(network, Network, "network", MaskError)
        compensation, scores, bias = compensation or {}, scores or {}, bias or {}
        for what, given in (("kept units", kept), ("compensation", compensation),
                            ("scores", scores), ("bias", bias)):  # fmt: skip
            require(given, Mapping, f"{what}, by layer,", MaskError)
        grids = {} if tile is None else tile_grids(network, tile)
        layers = {}
        for name in dict.fromkeys((*kept, *compensation, *scores)):
            if name not in kept:
                msg = f"layer {name!r}: compensation or scores without kept units"
                raise MaskError(msg)
            why = no_units(network, name, tiles=tile is not None)
            if why:
                raise MaskError(why)
            layers[name] = layer_mask(
                name,
                kept=kept[name],
                width=grids[name].width if grids else network.shapes[name][0],
                unit="tile" if grids else unit_of(network.by_name[name].layer),
                compensation=compensation.get(name),
                scores=scores.get(name),
                shape=network.by_name[name].layer.parameters[0].shape,
                tile=grids[name].tile if grids else None,
            )
        mask = Mask(layers, Provenance(network.fingerprint, **provenance), cast("Any", bias))
        mask.check(network)
        return mask

    def check(self, network: Network, *, same_weights: bool = True) -> None:
        """Raise unless the mask fits a network.

        Parameters
        ----------
        network : Network
        same_weights : bool
            Ask for the very network the mask was made for; False compares layers, widths and
            shapes only (for networks trained further under the mask).

        Raises
        ------
        MaskError
            Listing everything that differs.
        """
        problems = misfits(self, require(network, Network, "network", MaskError))
        if same_weights and self.provenance.fingerprint != network.fingerprint:
            problems.append(
                f"the mask was made for model {self.provenance.fingerprint[:12]}..., this is "
                f"{network.fingerprint[:12]}...: load that model, or make a mask for this one"
            )
        if problems:
            msg = "the mask does not fit the network:\n" + "\n".join(f"  - {p}" for p in problems)
            raise MaskError(msg)

    def fitted(self, network: Network) -> Mask:
        """Return the same units as a mask of another state of the network.

        For networks trained further: layers and widths must be those of the mask.

        Raises
        ------
        MaskError
            Listing everything that differs.
        """
        self.check(network, same_weights=False)
        return replace(self, provenance=replace(self.provenance, fingerprint=network.fingerprint))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a mask file; see :mod:`mipnet.pruning.maskfile` for the format."""
        from mipnet.pruning.maskfile import write_mask

        write_mask(self, path)

    @staticmethod
    def load(path: str | os.PathLike[str], network: Network | None = None) -> Mask:
        """Read a mask file.

        Parameters
        ----------
        path : path
        network : Network, optional
            Checked against the mask (:meth:`check`).

        Raises
        ------
        MaskError
            When the file is no mask, is damaged (it holds a checksum) or has a version this
            release does not know, or the mask does not fit the network.
        FileNotFoundError
            When there is no such file.
        """
        from mipnet.pruning.maskfile import read_mask

        mask = read_mask(path)
        if network is not None:
            mask.check(network)
        return mask


def layer_mask(name: str, **fields: Any) -> LayerMask:
    """Return a :class:`LayerMask` whose errors name the layer."""
    try:
        return LayerMask(**fields)
    except MaskError as error:
        msg = f"layer {name!r}: {error}"
        raise MaskError(msg) from error


def _indices(kept: npt.ArrayLike, width: int) -> Indices:
    try:
        values = np.asarray(kept)
    except ValueError as error:
        msg = f"kept units must be one array of bool or int: {error}"
        raise MaskError(msg) from error
    if values.dtype == np.bool_:
        if values.shape != (width,):
            msg = f"a boolean mask must have shape ({width},), not {values.shape}"
            raise MaskError(msg)
        values = np.flatnonzero(values)
    elif values.ndim != 1 or (values.size and not np.issubdtype(values.dtype, np.integer)):
        msg = f"kept units must be one array of bool or int, not {values.dtype} {values.shape}"
        raise MaskError(msg)
    result = np.sort(values.astype(np.int64))
    outside = result[(result < 0) | (result >= width)]
    if outside.size or np.any(np.diff(result) == 0):
        what = f"index {outside[0]} is outside 0..{width - 1}" if outside.size else "indices repeat"
        msg = f"kept units: {what}"
        raise MaskError(msg)
    result.flags.writeable = False
    return result


def _shape(shape: Any) -> tuple[int, ...]:
    """Shape of a weight: two axes or more, none empty."""
    sides = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else ()
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in sides)
    if len(sides) < 2 or not whole or min(sides) < 0:
        msg = f"the shape of a weight is two whole numbers or more, not {shape!r}"
        raise MaskError(msg)
    return tuple(int(n) for n in sides)


def _units(shape: tuple[int, ...], tile: tuple[int, int] | None) -> int:
    """Units of a weight."""
    return shape[0] if tile is None else prod(grid_counts((prod(shape[1:]), shape[0]), tile))


def _floats(name: str, value: npt.ArrayLike, size: int | None) -> Array:
    array = numbers(value, name, MaskError)
    size = array.size if size is None else size
    if array.shape != (size,) or np.isnan(array).any():
        nan = f"; NaN at {np.flatnonzero(np.isnan(array))[0]}" if np.isnan(array).any() else ""
        msg = f"{name} must be {size} numbers, got shape {array.shape}{nan}"
        raise MaskError(msg)
    array.flags.writeable = False
    return array
