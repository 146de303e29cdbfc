"""What masks leave of a workload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.hardware.costs import GemmCosts
from mipnet.hardware.evaluate import Shapes, evaluate_kept, evaluate_shapes
from mipnet.hardware.gemm import Gemm, Workload
from mipnet.hardware.machine import Machine
from mipnet.hardware.masks import ElementMask, NMMask, TileMask
from mipnet.pruning import LayerMask, Mask

Ints = npt.NDArray[np.int64]
WeightMask = TileMask | NMMask | ElementMask
AnyMask = LayerMask | WeightMask
Masks = Mask | Mapping[str, AnyMask | Iterable[AnyMask]] | None


@dataclass(frozen=True, eq=False)
class Pruned:
    """A workload under masks.

    Attributes
    ----------
    shapes : Shapes
        What is left of every GEMM; sides of 1 where nothing is.
    present : array of bool
        GEMMs that are left.
    tiles : mapping of int to TileMask
        GEMMs whose zero tiles are skipped.
    patterns : mapping of int to NMMask
        GEMMs whose PEs choose their inputs.
    notes : tuple of str
        What a mask could not save on this machine.
    """

    shapes: Shapes
    present: npt.NDArray[np.bool_]
    tiles: Mapping[int, TileMask]
    patterns: Mapping[int, NMMask]
    notes: tuple[str, ...]

    def costs(self, machine: Machine) -> GemmCosts:
        """Costs of what is left."""
        whole = np.ones_like(self.shapes.m)
        costs = evaluate_shapes(
            self.shapes, machine.rows * whole, machine.columns * whole, machine
        ).present(self.present)
        for index, mask in self.tiles.items():
            row = Shapes(*(value[[index]] for value in vars(self.shapes).values()))
            costs = costs.put(index, evaluate_kept(row, mask, machine))
        stalls = costs.stall_cycles.copy()
        for index, pattern in self.patterns.items():
            found = self._as_denser(index, pattern, machine) - costs.compute_cycles[index]
            stalls[index] = min(stalls[index], found)
        return replace(costs, stall_cycles=stalls)

    def _as_denser(self, index: int, pattern: NMMask, machine: Machine) -> int:
        """Least cycles with the pattern taken for a denser one, which it is as well.

        Its folds need more inputs each: the first one may have to wait longer.
        """
        patterns = [NMMask(n, pattern.m) for n in range(pattern.n, pattern.m + 1)]
        sides = (getattr(self.shapes, s)[index] for s in ("m", "inputs", "n", "count", "unique"))
        whole = Shapes.whole(*(np.full(len(patterns), side) for side in sides))
        columns = {name: value.copy() for name, value in vars(whole).items()}
        for i, denser in enumerate(patterns):
            _patterned(columns, i, denser, machine)
        ones = np.ones(len(patterns), np.int64)
        rows, wide = machine.rows * ones, machine.columns * ones
        return int(evaluate_shapes(Shapes(**columns), rows, wide, machine).cycles.min())


def unit_masks(masks: Masks) -> dict[str, LayerMask]:
    """Masks of whole units, by group."""
    return {name: m for name, m in _listed(masks) if isinstance(m, LayerMask)}


def prune(workload: Workload, masks: Masks, machine: Machine) -> Pruned:
    """Apply masks to a workload.

    Parameters
    ----------
    workload : Workload
    masks : Mask, or mapping of name to mask(s)
        Unit masks by unit group, weight masks by GEMM.
    machine : Machine

    Raises
    ------
    MaskError
        When a mask names nothing, or does not fit what it names.
    """
    weight_masks: dict[str, WeightMask] = {}
    for name, mask in _listed(masks):
        if isinstance(mask, LayerMask):
            continue
        if name in weight_masks:
            msg = f"GEMM {name!r} has two weight masks; combine them into one"
            raise MaskError(msg)
        weight_masks[name] = mask
    _check_names(workload, weight_masks)
    left = _shrunk(workload, unit_masks(masks))
    present = (left.m > 0) & (left.k > 0) & (left.n > 0) & (left.count > 0)
    shapes = Shapes.whole(
        *(np.maximum(side, 1) for side in (left.m, left.k, left.n, left.count, left.unique))
    )
    columns = {name: value.copy() for name, value in vars(shapes).items()}
    tiles: dict[int, TileMask] = {}
    patterns: dict[int, NMMask] = {}
    notes: list[str] = []
    names = {name: i for i, name in enumerate(workload.names)} if weight_masks else {}
    for name, mask in weight_masks.items():
        i = names[name]
        if not present[i]:
            continue
        _check_fit(workload.rows[i], mask, int(left.k[i]), int(left.n[i]), machine)
        if isinstance(mask, TileMask):
            present[i] = mask.kept_tiles > 0
            notes.append(_tiled(columns, i, mask, machine))
            if machine.skips_tiles and present[i] and not mask.keep.all():
                tiles[i] = mask
        elif isinstance(mask, NMMask):
            notes.append(_patterned(columns, i, mask, machine))
            if machine.nm_support:
                patterns[i] = mask
        else:
            stored, index = mask.storage(machine.precision.weights)
            columns["active"][i] = columns["m"][i] * mask.kept
            columns["stored"][i], columns["index_bytes"][i] = stored, index
    return Pruned(
        Shapes(**columns), present, tiles, patterns, tuple(dict.fromkeys(filter(None, notes)))
    )


def _listed(masks: Masks) -> list[tuple[str, AnyMask]]:
    if masks is None:
        return []
    named: object = masks.layers if isinstance(masks, Mask) else masks
    if not isinstance(named, Mapping):
        msg = f"masks come as mipnet.Mask or as a mapping of names to masks, not {type(masks)!r}"
        raise MaskError(msg)
    pairs: list[tuple[str, AnyMask]] = []
    for name, value in named.items():
        listed: tuple[object, ...] = tuple(value) if isinstance(value, list | tuple) else (value,)
        for mask in listed:
            if not isinstance(mask, LayerMask | TileMask | NMMask | ElementMask):
                msg = f"{name!r}: {type(mask).__name__} is no mask; use LayerMask (units), "
                msg += "TileMask, NMMask or ElementMask"
                raise MaskError(msg)
            pairs.append((name, mask))
    units = [name for name, mask in pairs if isinstance(mask, LayerMask)]
    twice = {name for name in units if units.count(name) > 1}
    if twice:
        msg = f"two unit masks of group(s) {sorted(twice)}; combine them into one"
        raise MaskError(msg)
    return pairs


def group_units(workload: Workload) -> dict[str, int]:
    """Count the units of every unit group of a workload."""
    return {g.outputs: g.units or g.n for g in workload.rows if g.outputs is not None}


def _shrunk(workload: Workload, units: Mapping[str, LayerMask]) -> Workload:
    """Workload without the removed units; sides may be 0."""
    if not units:
        return workload
    groups = group_units(workload)
    for name, mask in units.items():
        if name not in groups:
            msg = f"no unit group {name!r}; groups with removable units: {list(groups)}"
            raise MaskError(msg)
        if mask.width != groups[name]:
            msg = f"group {name!r} has {groups[name]} units, the mask has {mask.width}"
            raise MaskError(msg)

    def left(size: int, gemm: Gemm, group: str | None) -> int:
        if group is None or group not in units:
            return size
        each, rest = divmod(size, units[group].width)
        if rest:
            msg = f"GEMM {gemm.name!r}: {size} is no multiple of the {units[group].width} units of "
            msg += f"group {group!r}"
            raise MaskError(msg)
        return each * len(units[group].kept)

    rows = []
    batched = zip(workload.count.tolist(), workload.unique.tolist(), strict=True)
    for gemm, (repeats, unique) in zip(workload.rows, batched, strict=True):
        k, n = left(gemm.k, gemm, gemm.inputs), left(gemm.n, gemm, gemm.outputs)
        rows.append((k, n, left(repeats, gemm, gemm.repeats), -(-unique * k // gemm.k)))
    k, n, count, unique = np.array(rows, dtype=np.int64).T
    return Workload(workload.m, k, n, count, unique, workload.gemms)


def _check_names(workload: Workload, masks: Mapping[str, WeightMask]) -> None:
    if not masks:
        return
    known = {gemm.name: gemm for gemm in workload.rows}
    for name, mask in masks.items():
        if name not in known:
            msg = f"no GEMM {name!r} for its {type(mask).__name__}; GEMMs: {list(known)}"
            raise MaskError(msg)
        if not known[name].weights:
            msg = f"GEMM {name!r} multiplies activations: it has no weights to mask"
            raise MaskError(msg)
        if known[name].count > 1 and not isinstance(mask, NMMask):
            msg = f"GEMM {name!r} is repeated {known[name].count} times with other weights; give "
            msg += "each repetition a GEMM and a mask of its own"
            raise MaskError(msg)


def _check_fit(gemm: Gemm, mask: WeightMask, k: int, n: int, machine: Machine) -> None:
    if isinstance(mask, TileMask) and mask.tile != (machine.rows, machine.columns):
        msg = f"GEMM {gemm.name!r}: tiles of {mask.size} do not match the {machine.array} array; "
        msg += f"use array={mask.size}, or mask.retile({machine.array!r})"
        raise MaskError(msg)
    if not isinstance(mask, NMMask) and mask.shape != (k, n):
        was = f" ({gemm.k}x{gemm.n} before its unit masks)" if (k, n) != (gemm.k, gemm.n) else ""
        msg = f"GEMM {gemm.name!r}: the mask is {mask.shape[0]}x{mask.shape[1]}, the weights are "
        msg += f"{k}x{n}{was}; rows are inputs, columns are outputs"
        raise MaskError(msg)


def _tiled(columns: dict[str, Ints], i: int, mask: TileMask, machine: Machine) -> str:
    """Enter a tile mask, and say what the machine cannot make of it."""
    columns["active"][i] = columns["m"][i] * mask.kept_elements
    if not machine.skips_tiles:
        return (
            f"an {machine.dataflow} schedule does not skip zero weight tiles (only their MACs are "
            "gated): use ws, or skip_slices"
        )
    columns["stored"][i] = max(mask.kept_elements, 1)
    return ""


def _patterned(columns: dict[str, Ints], i: int, mask: NMMask, machine: Machine) -> str:
    """Enter an N:M mask, and say what the machine cannot make of it."""
    k, n = int(columns["k"][i]), int(columns["n"][i])
    rows = mask.rows(k)
    columns["active"][i] = columns["m"][i] * rows * n
    if not machine.nm_support:
        return f"the PEs cannot use {mask} indices: only MACs are gated (nm_support)"
    columns["k"][i] = rows
    columns["stored"][i] = rows * n
    columns["index_bytes"][i] = mask.index_bytes(k, n, machine.precision.weights)
    columns["choices"][i] = mask.m if mask.n < mask.m else 1
    return ""
