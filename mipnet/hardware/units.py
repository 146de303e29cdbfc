"""What masks of whole units leave: units that go along with others, and sizes of GEMMs.

The K inputs and N outputs of a GEMM belong to unit groups, in order and in equal shares. A layer of
several diagonal blocks (a grouped or depthwise convolution) has K B inputs and N B outputs, of
which block b multiplies its own K by its own N.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.hardware.gemm import Gemm, Workload
from mipnet.pruning import LayerMask

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def group_units(workload: Workload) -> dict[str, int]:
    """Count the units of every unit group of a workload."""
    return {g.outputs: g.units or g.n * g.blocks for g in workload.rows if g.outputs is not None}


@dataclass(frozen=True, eq=False)
class KeptUnits:
    """Units that are left.

    Attributes
    ----------
    flags : mapping of str to array of bool
        By group; groups that are not listed are whole.
    along : mapping of str to int
        Units no mask names that went with others, by group.
    """

    flags: Mapping[str, Flags]
    along: Mapping[str, int]

    def blocks(self, gemm: Gemm) -> tuple[Ints, Ints]:
        """Count the inputs and the outputs left of every block of a GEMM, shape (blocks,) each."""
        found = [
            _words(gemm, group, size, self.flags).sum(axis=1)
            for group, size in ((gemm.inputs, gemm.k), (gemm.outputs, gemm.n))
        ]
        return found[0], found[1]

    def outputs(self, gemm: Gemm) -> Flags:
        """Flag the outputs left of every block of a GEMM, shape (blocks, N)."""
        return _words(gemm, gemm.outputs, gemm.n, self.flags)

    def repeats(self, gemm: Gemm, count: int) -> int:
        """Count the repetitions left of ``count``."""
        if gemm.repeats is None or gemm.repeats not in self.flags:
            return count
        keep = self.flags[gemm.repeats]
        return _share(gemm, gemm.repeats, count, len(keep)) * int(keep.sum())


def kept_units(workload: Workload, masks: Mapping[str, LayerMask]) -> KeptUnits:
    """Units left under masks.

    Blocks take units along: the outputs of a block are constants when none of its inputs is left,
    and its inputs are read by nobody when none of its outputs is. So the channels before, of and
    behind a depthwise convolution go together.

    Raises
    ------
    MaskError
        When there is no such group, or it has another number of units.
    """
    if not masks:
        return KeptUnits({}, {})
    groups = group_units(workload)
    for name, mask in masks.items():
        if name not in groups:
            msg = f"no unit group {name!r}; groups with removable units: {list(groups)}"
            raise MaskError(msg)
        if mask.width != groups[name]:
            msg = f"group {name!r} has {groups[name]} units, the mask has {mask.width}"
            raise MaskError(msg)
    flags = {name: mask.keep for name, mask in masks.items()}
    blocked = [g for g in workload.rows if g.blocks > 1 and (g.inputs in groups or g.outputs)]
    if blocked:
        flags = {n: flags.get(n, np.ones(units, bool)) for n, units in groups.items()}
        while _spread(workload, blocked, flags):
            pass
    lost = {
        name: int((keep < masks[name].keep).sum() if name in masks else (~keep).sum())
        for name, keep in flags.items()
    }
    kept = {name: keep for name, keep in flags.items() if name in masks or lost[name]}
    return KeptUnits(kept, {name: count for name, count in lost.items() if count})


def _spread(workload: Workload, blocked: list[Gemm], flags: dict[str, Flags]) -> bool:
    """Take units along through every layer of blocks once; whether any went."""
    read: dict[str, Flags] = {}
    changed = False
    for gemm in blocked:
        fed, wanted = (
            np.asarray(_words(gemm, group, size, flags).any(axis=1))
            for group, size in ((gemm.inputs, gemm.k), (gemm.outputs, gemm.n))
        )
        if gemm.outputs is not None:
            changed |= _lose(flags, gemm.outputs, _units(flags[gemm.outputs], fed, gemm.n))
        if gemm.inputs in flags:
            keep = flags[gemm.inputs]
            used = read.get(gemm.inputs, np.zeros_like(keep))
            read[gemm.inputs] = used | _units(keep, wanted, gemm.k)
    for gemm in workload.rows:
        whole = (gemm.inputs if gemm.blocks == 1 else None, gemm.repeats)
        read |= {group: flags[group] for group in whole if group in read}
    for group, used in read.items():
        changed |= _lose(flags, group, used)
    return changed


def _lose(flags: dict[str, Flags], group: str, some: Flags) -> bool:
    """Keep only some units of a group; whether that takes any."""
    left = flags[group] & some
    changed = bool((left != flags[group]).any())
    flags[group] = left
    return changed


def _units(keep: Flags, blocks: Flags, size: int) -> Flags:
    """Units of which any word lies in the given blocks of so many words."""
    return np.asarray(np.repeat(blocks, size).reshape(len(keep), -1).any(axis=1))


def _words(gemm: Gemm, group: str | None, size: int, flags: Mapping[str, Flags]) -> Flags:
    """Words that are left along one side, shape (blocks, size)."""
    if group is None or group not in flags:
        return np.ones((gemm.blocks, size), bool)
    keep = flags[group]
    each = _share(gemm, group, size * gemm.blocks, len(keep))
    return np.repeat(keep, each).reshape(gemm.blocks, size)


def _share(gemm: Gemm, group: str | None, size: int, units: int) -> int:
    """Words of each unit."""
    each, rest = divmod(size, units) if units else (0, size)
    if rest:
        msg = f"GEMM {gemm.name!r}: {size} is no multiple of the {units} units of group {group!r}"
        raise MaskError(msg)
    return each
