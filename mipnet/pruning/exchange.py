"""Masks of other tools: torch's pruning buffers, Torch-Pruning histories, lists of indices.

None of them carries what a mask file does (scores, provenance, a fingerprint), so what is read here
is bound to the network it is read for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.arguments import numbers as as_numbers
from mipnet.arguments import require
from mipnet.errors import MaskError
from mipnet.network import Affine, Layer, Network
from mipnet.network.layers import BatchNorm, Conv
from mipnet.pruning.apply import held
from mipnet.pruning.constants import Constants, constants_of
from mipnet.pruning.mask import Mask
from mipnet.pruning.units import Units, prunable_layers, units_of

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: One entry of a Torch-Pruning history: module, whether outputs were pruned, indices.
Step = tuple[str, bool, Sequence[int]]


def from_removed(
    network: Network, removed: Mapping[str, npt.ArrayLike], names: Mapping[str, str] | None = None
) -> Mask:
    """Mask from the indices removed in each layer, ``{layer: [indices]}``.

    Parameters
    ----------
    network : Network
    removed : mapping of str to array of int
        Output neurons or channels; layers that fall together need be listed once only.
    names : mapping of str to str, optional
        Layer of the network for each name, where they differ.

    Raises
    ------
    MaskError
        When a layer or unit does not exist or cannot be removed.

    Examples
    --------
    >>> import numpy as np
    >>> net = Network.sequential([Affine(np.eye(3), np.zeros(3)),
    ...                           Affine(np.ones((1, 3)), np.zeros(1))])
    >>> to_removed(from_removed(net, {"affine0": [1]}))
    {'affine0': [1]}
    """
    units = units_of(network)
    flags = np.zeros(units.count + 1, bool)
    for name, indices in require(removed, Mapping, "{layer: [indices]}", MaskError).items():
        layer = _layer(units, names, name)
        picked = _indices(indices, f"layer {layer!r}: removed units")
        flags[_numbers(units, layer, picked)] = True
    return _mask(network, units, flags, method="indices")


def to_removed(mask: Mask) -> dict[str, list[int]]:
    """List the removed indices of each layer of a mask of neurons and channels."""
    _no_tiles(require(mask, Mask, "mask", MaskError))
    return {name: layer.removed.tolist() for name, layer in mask.layers.items()}


def from_history(
    network: Network, history: Iterable[Step], names: Mapping[str, str] | None = None
) -> Mask:
    """Mask from a history of Torch-Pruning (``pruner.pruning_history()``).

    Its indices are those of the network as it was at each step, with all earlier steps done.

    Parameters
    ----------
    network : Network
        Before pruning.
    history : iterable of (module name, whether outputs were pruned, indices)
    names : mapping of str to str, optional
        Layer of the network for each module, where they differ.

    Raises
    ------
    MaskError
        When an entry does not fit.
    """
    units = units_of(network)
    flags = np.zeros(units.count + 1, bool)
    require(history, Iterable, "history", MaskError)
    for number, entry in enumerate(history):
        try:
            module, outputs, indices = entry
        except (TypeError, ValueError) as error:
            msg = f"step {number} of the history must be (module, is_out_channel, indices)"
            raise MaskError(msg) from error
        require(outputs, (bool, np.bool_), f"step {number}: is_out_channel", MaskError)
        picked = _indices(indices, f"step {number}: indices of {module!r}")
        layer = _layer(units, names, str(module))
        held_by = units.layers[layer] if outputs else units.columns.get(layer)
        if held_by is None:
            msg = f"step {number}: layer {layer!r} hands its inputs on and reads none"
            raise MaskError(msg)
        # What is left of the layer at this step.
        left = np.flatnonzero(~flags[held_by])
        if picked.size and (picked.min() < 0 or picked.max() >= left.size):
            msg = f"step {number}: layer {layer!r} has {left.size} left, indices reach "
            msg += f"{picked.min()} to {picked.max()}"
            raise MaskError(msg)
        chosen = held_by[left[picked]]
        if (chosen < 0).any():
            msg = f"step {number}: layer {layer!r} cannot lose index "
            msg += f"{picked[np.flatnonzero(chosen < 0)[0]]}: it must stay"
            raise MaskError(msg)
        flags[chosen] = True
    return _mask(network, units, flags, method="torch-pruning")


def to_history(network: Network, mask: Mask) -> list[tuple[str, bool, list[int]]]:
    """History that Torch-Pruning's ``load_pruning_history`` replays; layer names are modules'.

    Compensation is no part of it.
    """
    require(mask, Mask, "mask", MaskError).check(network)
    _no_tiles(mask)
    units = units_of(network)
    done = np.zeros(units.count + 1, bool)
    steps = []
    for name, layer in mask.layers.items():
        numbers = units.layers[name][layer.removed]
        left = np.flatnonzero(~done[units.layers[name]])
        new = layer.removed[~done[numbers]]
        if new.size:
            steps.append((name, True, np.searchsorted(left, new).tolist()))
        done[numbers] = True
    return steps


def to_torch_masks(network: Network, mask: Mask) -> dict[str, Array]:
    """Buffers ``<layer>.weight_mask`` and ``<layer>.bias_mask`` of ``torch.nn.utils.prune``.

    1 where an entry stays, 0 where the mask holds it at 0, rows and columns alike. Compensation is
    no part of them.
    """
    require(mask, Mask, "mask", MaskError).check(network)
    found = {}
    for name, (weight, bias) in held(network, mask).items():
        found[f"{name}.weight_mask"] = (~weight).astype(np.float64)
        found[f"{name}.bias_mask"] = (~bias).astype(np.float64)
    return found


def from_torch_masks(
    network: Network, masks: Mapping[str, Any], names: Mapping[str, str] | None = None
) -> Mask:
    """Mask from the buffers that ``torch.nn.utils.prune`` leaves in a state dict.

    A unit is removed when its whole row is masked. Where its bias is not, as after
    ``ln_structured``, it still has a constant output: that becomes its compensation, so that the
    masked network stays the same function.

    Parameters
    ----------
    network : Network
        Weights as they are without the masks, or with them.
    masks : mapping of str to array or tensor
        Entries other than ``<module>.weight_mask`` and ``<module>.bias_mask`` are passed over: a
        whole state dict may be given.
    names : mapping of str to str, optional
        Layer of the network for each module, where they differ.

    Raises
    ------
    MaskError
        When nothing is masked, a shape does not fit, or zeros remain that no unit accounts for.
    """
    units = units_of(network)
    require(masks, Mapping, "masks, by name of the buffer,", MaskError)
    given = _buffers(network, units, masks, names)
    flags = np.zeros(units.count + 1, bool)
    for name, (weight, _) in given.items():
        rows = ~weight.reshape(len(weight), -1).any(axis=1)
        # Rows that must stay are constants, which compaction folds; they are no units.
        flags[_owners(units, name)[rows]] = True
    flags[-1] = False
    mask = _mask(network, units, flags, method="torch.nn.utils.prune")
    _check_zeros(network, mask, given)
    masked = network.with_layers(
        {name: _multiplied(network.by_name[name].layer, *pair) for name, pair in given.items()}
    )
    values = _values(units, flags, constants_of(masked), network)
    layers = {
        name: replace(layer, compensation=values[units.layers[name][layer.removed]])
        if values[units.layers[name][layer.removed]].any()
        else layer
        for name, layer in mask.layers.items()
    }
    return replace(mask, layers=layers)


def _buffers(
    network: Network, units: Units, masks: Mapping[str, Any], names: Mapping[str, str] | None
) -> dict[str, tuple[Flags, Flags]]:
    """Masks of weight and bias, by layer."""
    found: dict[str, tuple[Flags, Flags]] = {}
    for key in masks:
        module, dot, part = str(key).rpartition(".")
        if not dot or part not in ("weight_mask", "bias_mask"):
            continue
        name = _layer(units, names, module, also=_norms(network))
        if name in found:
            continue
        holder = network.by_name[name].layer
        pair = []
        for which, values in zip(("weight", "bias"), holder.parameters[:2], strict=True):
            raw = masks.get(f"{module}.{which}_mask")
            flags = np.ones(values.shape, bool) if raw is None else np.asarray(raw) != 0
            if flags.shape != values.shape:
                msg = f"layer {name!r}: {which}_mask has shape {flags.shape}, the {which} "
                msg += f"{values.shape}"
                raise MaskError(msg)
            pair.append(flags)
        found[name] = pair[0], pair[1]
    if not found:
        msg = "no entry <module>.weight_mask or <module>.bias_mask: nothing is masked"
        raise MaskError(msg)
    return found


def _check_zeros(network: Network, mask: Mask, given: Mapping[str, tuple[Flags, Flags]]) -> None:
    """Raise when masks zero more than the units they remove."""
    known = held(network, mask)
    for name, pair in given.items():
        off = known.get(name, tuple(np.zeros(p.shape, bool) for p in pair))
        rows = ~pair[0].reshape(len(pair[0]), -1).any(axis=1)
        loose = int((~pair[0] & ~off[0] & ~rows.reshape(-1, *(1,) * (pair[0].ndim - 1))).sum())
        loose += int((~pair[1] & ~rows).sum())
        if loose:
            msg = f"layer {name!r}: {loose} single entries are masked, which no mask of units "
            msg += "holds; load the pruned module itself, whose zeros are read as they are"
            raise MaskError(msg)


def _values(
    units: Units, flags: Flags, constants: Mapping[str, Constants], network: Network
) -> Array:
    """Find what readers see of every removed unit, 0 for the others."""
    values = np.zeros(units.count + 1)
    seen = np.zeros(units.count + 1, bool)
    for name, numbers in units.columns.items():
        source = network.by_name[name].inputs[0]
        known, value = (
            a.reshape(len(numbers), -1) for a in (constants[source].known, constants[source].value)
        )
        even = known.all(axis=1) & (value == value[:, :1]).all(axis=1)
        for place in np.flatnonzero(flags[numbers]).tolist():
            number, here = numbers[place], value[place, 0]
            if not even[place] or (seen[number] and values[number] != here):
                msg = f"layer {name!r}: input {place} of a masked unit is not one constant; mask "
                msg += "its bias too, or load the pruned module itself"
                raise MaskError(msg)
            values[number], seen[number] = here, True
    return values


def _multiplied(layer: Layer, weight: Flags, bias: Flags) -> Layer:
    if not isinstance(layer, Affine | Conv | BatchNorm):
        return layer
    return replace(
        layer, weight=np.where(weight, layer.weight, 0.0), bias=np.where(bias, layer.bias, 0.0)
    )


def _norms(network: Network) -> list[str]:
    """Batch normalisations, whose channels are masked along with what they normalise."""
    return [node.name for node in network.nodes if isinstance(node.layer, BatchNorm)]


def _owners(units: Units, name: str) -> npt.NDArray[np.int64]:
    """Units of the rows of a layer, or of the channels of a batch normalisation."""
    if name in units.layers:
        return units.layers[name]
    found = units.elements[name]
    return found.reshape(len(found), -1)[:, 0]


def _layer(
    units: Units, names: Mapping[str, str] | None, name: str, *, also: Sequence[str] = ()
) -> str:
    names = {} if names is None else require(names, Mapping, "names", MaskError)
    layer = names.get(name, name)
    if layer not in units.layers and layer not in also:
        msg = f"no Affine or Conv layer {layer!r}; there are {list(units.layers)}; pass names= "
        msg += "where modules are called otherwise"
        raise MaskError(msg)
    return layer


def _indices(given: npt.ArrayLike, what: str) -> npt.NDArray[np.int64]:
    """One row of whole numbers, none of them twice."""
    row = as_numbers(given, what, MaskError)
    whole = np.asarray(given).dtype.kind in "iu" or not row.size
    if row.ndim != 1 or not whole or np.unique(row).size != row.size:
        msg = f"{what} must be whole numbers in one row, none twice, not {given!r}"
        raise MaskError(msg)
    return np.asarray(given).astype(np.int64)


def _numbers(units: Units, layer: str, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    width = len(units.layers[layer])
    if ((indices < 0) | (indices >= width)).any():
        msg = f"layer {layer!r}: removed units must be whole numbers 0 to {width - 1}"
        raise MaskError(msg)
    found = units.layers[layer][indices]
    if (found < 0).any():
        stuck = indices[np.flatnonzero(found < 0)[0]]
        why = units.reasons.get(layer, "is joined with values that stay whole")
        msg = f"layer {layer!r}: unit {stuck} cannot be removed, the layer {why}"
        raise MaskError(msg)
    return found


def _mask(network: Network, units: Units, removed: Flags, method: str) -> Mask:
    """Mask of all groups that lose something."""
    kept = {
        name: ~removed[units.layers[name]]
        for name in prunable_layers(network)
        if removed[units.layers[name]].any()
    }
    return Mask.from_kept(network, kept, method=method)


def _no_tiles(mask: Mask) -> None:
    tiled = [name for name, layer in mask.layers.items() if layer.unit == "tile"]
    if tiled:
        msg = f"layers {tiled} hold masks of tiles: only whole units have indices here"
        raise MaskError(msg)
