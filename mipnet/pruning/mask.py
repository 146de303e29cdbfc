"""Masks: kept units per named layer, with provenance. Plain data, checked on every use."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.units import obstacle, prunable_layers

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: Kinds of unit that can be applied.
UNIT_KINDS = ("neuron",)


def software_versions() -> dict[str, str]:
    """Versions of mipnet, numpy and Python."""
    try:
        own = version("mipnet")
    except PackageNotFoundError:
        own = "not installed"
    return {"mipnet": own, "numpy": np.__version__, "python": platform.python_version()}


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

    def __post_init__(self) -> None:
        if isinstance(self.width, bool) or not isinstance(self.width, int) or self.width < 0:
            msg = f"width must be a whole number, not {self.width!r}"
            raise MaskError(msg)
        object.__setattr__(self, "kept", _indices(self.kept, self.width))
        for name, size in (("compensation", len(self.removed)), ("scores", self.width)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _floats(name, value, size))
        if self.compensation is not None and not np.isfinite(self.compensation).all():
            neuron = int(self.removed[~np.isfinite(self.compensation)][0])
            msg = f"compensation of neuron {neuron} is not finite"
            raise MaskError(msg)

    @property
    def removed(self) -> Indices:
        """Sorted indices of the removed units."""
        return np.setdiff1d(np.arange(self.width), self.kept, assume_unique=True)

    @property
    def keep(self) -> npt.NDArray[np.bool_]:
        """Kept units as a boolean array, shape (width,)."""
        return np.isin(np.arange(self.width), self.kept)


@dataclass(frozen=True)
class Provenance:
    """Where a mask came from.

    Attributes
    ----------
    fingerprint : str
        :attr:`Network.fingerprint` of the network the mask was made for.
    method : str
        Registered name of the method; ``"manual"`` for masks made by hand.
    options : mapping
        Parameters of the method; anything JSON can hold.
    seed : int, optional
        Seed of the random generator.
    data_hash : str, optional
        SHA-256 of the calibration data.
    versions : mapping of str to str
        Versions of the software that made the mask.
    """

    fingerprint: str
    method: str = "manual"
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    data_hash: str | None = None
    versions: Mapping[str, str] = field(default_factory=software_versions)

    def __post_init__(self) -> None:
        for name, types in (
            ("fingerprint", str),
            ("method", str),
            ("options", Mapping),
            ("seed", int | None),
            ("data_hash", str | None),
            ("versions", Mapping),
        ):
            if not isinstance(getattr(self, name), types):
                msg = f"provenance: {name} cannot be {getattr(self, name)!r}"
                raise MaskError(msg)
        object.__setattr__(self, "options", _plain(self.options))
        object.__setattr__(self, "versions", {str(k): str(v) for k, v in self.versions.items()})


@dataclass(frozen=True, eq=False)
class Mask:
    """Kept units per named layer, and how they were chosen.

    Layers that are not listed stay whole. Usually made by a pruner or by :meth:`from_kept`.

    Attributes
    ----------
    layers : mapping of str to LayerMask
        By the name of the Affine node whose output neurons are the units.
    provenance : Provenance
        Method, options, seed, data hash, model fingerprint, versions.

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", dict(self.layers))

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
        compensation: Mapping[str, npt.ArrayLike] | None = None,
        scores: Mapping[str, npt.ArrayLike] | None = None,
        **provenance: Any,
    ) -> Mask:
        """Mask for a network from the units to keep.

        Parameters
        ----------
        network : Network
            Gives widths and fingerprint.
        kept : mapping of str to array of bool or int
            Kept units of each masked layer.
        compensation, scores : mapping of str to array, optional
            See :class:`LayerMask`.
        **provenance
            Fields of :class:`Provenance`, the fingerprint excepted.

        Raises
        ------
        MaskError
            When a layer or a unit does not exist or cannot be removed.
        """
        compensation, scores = compensation or {}, scores or {}
        groups = prunable_layers(network)
        layers = {}
        for name in dict.fromkeys((*kept, *compensation, *scores)):
            if name not in kept:
                msg = f"layer {name!r}: compensation or scores without kept units"
                raise MaskError(msg)
            if name not in groups:
                why = obstacle(network, name) if name in network.by_name else "does not exist"
                msg = f"layer {name!r} {why}; prunable: {list(groups)}"
                raise MaskError(msg)
            layers[name] = layer_mask(
                name,
                kept=kept[name],
                width=groups[name].width,
                compensation=compensation.get(name),
                scores=scores.get(name),
            )
        return Mask(layers, Provenance(network.fingerprint, **provenance))

    def check(self, network: Network, *, same_weights: bool = True) -> None:
        """Raise unless the mask fits a network.

        Parameters
        ----------
        network : Network
        same_weights : bool
            Ask for the very network the mask was made for; False compares layers and widths only
            (for networks trained further under the mask).

        Raises
        ------
        MaskError
            Listing everything that differs.
        """
        groups = prunable_layers(network)
        problems = []
        for name, layer in self.layers.items():
            if name not in network.by_name:
                problems.append(f"the network has no layer {name!r}; prunable: {list(groups)}")
            elif name not in groups:
                why = obstacle(network, name)
                problems.append(f"layer {name!r} {why}; prunable: {list(groups)}")
            elif groups[name].width != layer.width:
                problems.append(
                    f"layer {name!r} has {groups[name].width} units, the mask has {layer.width}"
                )
            if layer.unit not in UNIT_KINDS:
                problems.append(f"layer {name!r}: units of kind {layer.unit!r} are not supported")
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
    def load(path: str | os.PathLike[str]) -> Mask:
        """Read a mask file.

        Raises
        ------
        MaskError
            When the file is no mask, is damaged or has a version this release does not know.
        FileNotFoundError
            When there is no such file.
        """
        from mipnet.pruning.maskfile import read_mask

        return read_mask(path)


def layer_mask(name: str, **fields: Any) -> LayerMask:
    """Return a :class:`LayerMask` whose errors name the layer."""
    try:
        return LayerMask(**fields)
    except MaskError as error:
        msg = f"layer {name!r}: {error}"
        raise MaskError(msg) from error


def _indices(kept: npt.ArrayLike, width: int) -> Indices:
    values = np.asarray(kept)
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


def _floats(name: str, value: npt.ArrayLike, size: int) -> Array:
    array = np.array(value, dtype=np.float64)
    if array.shape != (size,) or np.isnan(array).any():
        nan = f"; NaN at {np.flatnonzero(np.isnan(array))[0]}" if np.isnan(array).any() else ""
        msg = f"{name} must be {size} numbers, got shape {array.shape}{nan}"
        raise MaskError(msg)
    array.flags.writeable = False
    return array


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Copy of options as JSON would give it back."""
    try:
        text = json.dumps(dict(options), allow_nan=False, default=_scalar)
    except (TypeError, ValueError) as error:
        msg = f"options must be plain JSON values: {error}"
        raise MaskError(msg) from error
    result: dict[str, Any] = json.loads(text)
    return result


def _scalar(value: object) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    msg = f"{value!r} is of type {type(value).__name__}"
    raise TypeError(msg)
