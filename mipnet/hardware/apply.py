"""What masks leave of a workload."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.hardware.costs import GemmCosts
from mipnet.hardware.counts import located
from mipnet.hardware.evaluate import Shapes, evaluate_kept, evaluate_shapes
from mipnet.hardware.gemm import Gemm, Workload
from mipnet.hardware.machine import Machine
from mipnet.hardware.masks import ElementMask, NMMask, TileMask
from mipnet.hardware.units import KeptUnits, kept_units
from mipnet.pruning import LayerMask, Mask

Ints = npt.NDArray[np.int64]
WeightMask = TileMask | NMMask | ElementMask
AnyMask = LayerMask | WeightMask
Masks = Mask | Mapping[str, AnyMask | Iterable[AnyMask]] | None
Size = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Pruned:
    """A workload under masks.

    A GEMM is one part, or several where masks leave different shapes of its blocks.

    Attributes
    ----------
    shapes : Shapes
        What is left of every part; sides of 1 where nothing is.
    present : array of bool
        Parts that are left.
    first : array of int64, shape (gemms,)
        First part of every GEMM.
    tiles : mapping of int to TileMask
        Parts whose zero tiles are skipped.
    patterns : mapping of int to NMMask
        Parts whose PEs choose their inputs.
    units : KeptUnits
        Units that are left.
    notes : tuple of str
        What a mask could not save on this machine.
    workload : Workload
        Before the masks.
    """

    shapes: Shapes
    present: npt.NDArray[np.bool_]
    first: Ints
    tiles: Mapping[int, TileMask]
    patterns: Mapping[int, NMMask]
    units: KeptUnits
    notes: tuple[str, ...]
    workload: Workload

    def costs(self, machine: Machine) -> GemmCosts:
        """Costs of what is left, one entry per GEMM.

        Raises
        ------
        CountError
            When figures of a GEMM, which it names, are beyond 64 bits.
        """
        with located(self._name):
            return self._costs(machine)

    def _name(self, part: int) -> str:
        return self.workload.names[int(np.searchsorted(self.first, part, side="right")) - 1]

    def _costs(self, machine: Machine) -> GemmCosts:
        whole = np.ones_like(self.shapes.m)
        costs = evaluate_shapes(
            self.shapes, machine.rows * whole, machine.columns * whole, machine
        ).present(self.present)
        for index, mask in self.tiles.items():
            row = Shapes(*(value[[index]] for value in vars(self.shapes).values()))
            with located(lambda _, index=index: index):  # type: ignore[misc]
                costs = costs.put(index, evaluate_kept(row, mask, machine))
        stalls = costs.stall_cycles.copy()
        for index, pattern in self.patterns.items():
            with located(lambda _, index=index: index):  # type: ignore[misc]
                denser = self._as_denser(index, pattern, machine)
            found = denser - costs.compute_cycles[index]
            stalls[index] = min(stalls[index], found)
        return replace(costs, stall_cycles=stalls).summed(self.first)

    def sizes(self, index: int) -> tuple[Size, ...]:
        """M, K, N and repetitions of the parts of a GEMM; K counts inputs.

        One with no repetitions when nothing is left.
        """
        end = self.first[index + 1] if index + 1 < len(self.first) else len(self.present)
        parts = range(int(self.first[index]), int(end))
        left = [part for part in parts if self.present[part]]
        columns = (self.shapes.m, self.shapes.inputs, self.shapes.n, self.shapes.count)
        m, k, n = (int(column[parts[0]]) for column in columns[:3])
        found = [tuple(int(column[part]) for column in columns) for part in left]
        return tuple(found) or ((m, k, n, 0),)  # type: ignore[arg-type]

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
    """Masks of whole units, by group; tiles are none."""
    return {name: m for name, m in _listed(masks) if isinstance(m, LayerMask) and m.tile is None}


def prune(workload: Workload, masks: Masks, machine: Machine) -> Pruned:
    """Apply masks to a workload.

    Parameters
    ----------
    workload : Workload
    masks : Mask, or mapping of name to mask(s)
        Unit masks by unit group, weight masks by GEMM or block.
    machine : Machine

    Raises
    ------
    MaskError
        When a mask names nothing, or does not fit what it names.
    """
    first = np.arange(len(workload))
    if masks is None:
        sides = (workload.m, workload.k, workload.n, workload.count, workload.unique)
        shapes = Shapes.whole(*sides)
        return Pruned(shapes, first >= 0, first, {}, {}, KeptUnits({}, {}), (), workload)
    units = kept_units(workload, unit_masks(masks))
    parts = list(
        _parts(workload, units, _weight_masks(workload, masks, machine.array), machine.array)
    )
    owners, rows = np.array([p.owner for p in parts]), np.array([p.sides for p in parts], np.int64)
    present = np.asarray((rows > 0).all(axis=1))
    shapes = Shapes.whole(*np.ascontiguousarray(np.maximum(rows, 1).T))
    columns = {name: value.copy() for name, value in vars(shapes).items()}
    tiles: dict[int, TileMask] = {}
    patterns: dict[int, NMMask] = {}
    notes: list[str] = []
    for i, part in enumerate(parts):
        mask = part.mask
        if mask is None or not present[i]:
            continue
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
    notes += [
        f"{count} unit(s) of group {name!r} go along with others: their block of a grouped layer "
        "is left without inputs or without outputs"
        for name, count in units.along.items()
    ]
    return Pruned(
        shapes=Shapes(**columns),
        present=present,
        first=np.searchsorted(owners, first),
        tiles=tiles,
        patterns=patterns,
        units=units,
        notes=tuple(dict.fromkeys(filter(None, notes))),
        workload=workload,
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """Equal blocks of a GEMM: sizes (M, K, N, repetitions, different inputs) and weight mask."""

    owner: int
    sides: tuple[int, int, int, int, int]
    mask: WeightMask | None


def _parts(
    workload: Workload,
    units: KeptUnits,
    masks: Mapping[tuple[int, int | None], WeightMask],
    array: str,
) -> Iterator[_Part]:
    """Parts of all GEMMs in order; equal blocks under equal masks are one."""
    masked = {index for index, _ in masks}
    columns = (workload.m.tolist(), workload.count.tolist(), workload.unique.tolist())
    for i, (gemm, m, count, unique) in enumerate(zip(workload.rows, *columns, strict=True)):
        ks, ns = (sides.tolist() for sides in units.blocks(gemm))
        each = units.repeats(gemm, count) // gemm.blocks
        found: dict[object, tuple[int, int, int, WeightMask | None]] = {}
        for block, (k, n) in enumerate(zip(ks, ns, strict=True)):
            mask = masks.get((i, block), masks.get((i, None))) if i in masked else None
            if mask is not None and k and n:
                name = gemm.name if (i, None) in masks else f"{gemm.name}[{block}]"
                _check_fit(name, mask, gemm, (k, n), array)
            key = (k, n, _key(mask))
            times = found[key][2] if key in found else 0
            found[key] = (k, n, times + each, mask)
        for k, n, times, mask in found.values():
            yield _Part(i, (m, k, n, times, -(-unique * k // gemm.k)), mask)


def _key(mask: WeightMask | None) -> object:
    """Equal for masks that cost the same."""
    if isinstance(mask, TileMask):
        return mask.shape, mask.tile_map, mask.keep.tobytes()
    if isinstance(mask, ElementMask):
        return mask.kept, mask.compressed
    return mask


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
    units = [name for name, mask in pairs if isinstance(mask, LayerMask) and mask.tile is None]
    twice = {name for name in units if units.count(name) > 1}
    if twice:
        msg = f"two unit masks of group(s) {sorted(twice)}; combine them into one"
        raise MaskError(msg)
    return pairs


def _weight_masks(
    workload: Workload, masks: Masks, array: str
) -> dict[tuple[int, int | None], WeightMask]:
    """Weight masks by GEMM and block; all blocks of a GEMM are None."""
    units = unit_masks(masks)
    named = [(name, mask) for name, mask in _listed(masks) if mask is not units.get(name)]
    places = {gemm.name: i for i, gemm in enumerate(workload.rows)} if named else {}
    found: dict[tuple[int, int | None], WeightMask] = {}
    for name, listed in named:
        mask, place = _place(workload, places, name, listed, array)
        twice = place in found or (place[1] is not None and (place[0], None) in found)
        if twice or (place[1] is None and any(index == place[0] for index, _ in found)):
            msg = f"GEMM {name!r} has two weight masks; combine them into one"
            raise MaskError(msg)
        found[place] = mask
    return found


def _place(
    workload: Workload, places: Mapping[str, int], name: str, mask: AnyMask, array: str
) -> tuple[WeightMask, tuple[int, int | None]]:
    """Weight mask, in the terms of hardware, and GEMM and block that it names."""
    block: int | None = None
    index = places.get(name)
    if index is None and (match := re.fullmatch(r"(.+)\[(\d+)\]", str(name))):
        index, block = places.get(match[1]), int(match[2])
    if index is None or (block is not None and block >= workload.rows[index].blocks):
        msg = f"no GEMM {name!r} for its {type(mask).__name__}; GEMMs: {list(places)}"
        raise MaskError(msg)
    gemm = workload.rows[index]
    if not gemm.weights:
        msg = f"GEMM {name!r} multiplies activations: it has no weights to mask"
        raise MaskError(msg)
    if isinstance(mask, LayerMask):
        mask = _as_tiles(name, mask, gemm, array)
    if isinstance(mask, NMMask):
        return mask, (index, block)
    if block is None and gemm.blocks > 1:
        msg = f"GEMM {name!r} has {gemm.blocks} blocks with weights of their own; give each a mask "
        msg += f"under its name, {name + '[0]'!r} to {f'{name}[{gemm.blocks - 1}]'!r}"
        raise MaskError(msg)
    if gemm.count > gemm.blocks:
        msg = f"GEMM {name!r} is repeated {gemm.count // gemm.blocks} times with other weights; "
        msg += "give each repetition a GEMM and a mask of its own"
        raise MaskError(msg)
    return mask, (index, block)


def _as_tiles(name: str, units: LayerMask, gemm: Gemm, array: str) -> TileMask:
    """Folds that the tiles of a pruning mask leave empty."""
    try:
        mask = TileMask.from_units(units, None if units.shape else (gemm.k, gemm.n))
    except MaskError as error:
        msg = f"GEMM {name!r}: {error}"
        raise MaskError(msg) from error
    return mask if mask.size == array else mask.retile(array)


def _check_fit(name: str, mask: WeightMask, gemm: Gemm, sides: tuple[int, int], array: str) -> None:
    if isinstance(mask, TileMask) and mask.size != array:
        msg = f"GEMM {name!r}: tiles of {mask.size} do not match the {array} array; use "
        msg += f"array={mask.size}, or mask.retile({array!r})"
        raise MaskError(msg)
    if not isinstance(mask, NMMask) and mask.shape != sides:
        k, n = sides
        was = f" ({gemm.k}x{gemm.n} before its unit masks)" if sides != (gemm.k, gemm.n) else ""
        msg = f"GEMM {name!r}: the mask is {mask.shape[0]}x{mask.shape[1]}, the weights are "
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
