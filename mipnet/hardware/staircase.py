"""Width against cycles: a staircase whose edges are the widths worth pruning to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.errors import QueryError
from mipnet.hardware.apply import prune
from mipnet.hardware.costs import freeze
from mipnet.hardware.counts import LARGEST, located, total
from mipnet.hardware.evaluate import Shapes, evaluate_shapes
from mipnet.hardware.gemm import Gemm, Workload
from mipnet.hardware.machine import Machine, whole
from mipnet.hardware.units import group_units, kept_units
from mipnet.pruning import LayerMask

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Staircase:
    """Cycles of a workload for every width of one unit group.

    Attributes
    ----------
    group : str
    machine : Machine
    widths : array of int64
        1 to the number of units, of which the first ones are kept.
    cycles : array of int64
        Of the whole workload, memory stalls included.
    """

    group: str
    machine: Machine
    widths: Ints
    cycles: Ints

    def __post_init__(self) -> None:
        freeze(self)

    @property
    def steps(self) -> Ints:
        """Widths worth pruning to: one unit more would cost more cycles. The full width is last."""
        edge = np.append(self.cycles[1:] > self.cycles[:-1], True)
        return np.asarray(self.widths[edge])

    def best_width(self, width: int) -> int:
        """Largest width that costs no more cycles than the given one.

        Raises
        ------
        QueryError
            When there is no such width.
        """
        width = whole("width", width)
        if width > self.widths[-1]:
            msg = f"group {self.group!r} has 1 to {self.widths[-1]} units, not {width}"
            raise QueryError(msg)
        same = self.cycles <= self.cycles[width - self.widths[0]]
        return int(self.widths[same].max())

    def __str__(self) -> str:
        steps = ", ".join(map(str, self.steps.tolist()[-12:]))
        return f"{self.group} on {self.machine}: widths worth pruning to: {steps}"


def staircase(workload: Workload, group: str, machine: Machine) -> Staircase:
    """Cycles of a workload as one unit group shrinks.

    Raises
    ------
    QueryError
        When there is no such group.
    """
    groups = group_units(workload)
    if group not in groups:
        msg = f"no unit group {group!r}; groups with removable units: {list(groups)}"
        raise QueryError(msg)
    units = groups[group]
    widths = np.arange(1, units + 1)
    if any(gemm.blocks > 1 for gemm in workload.rows):
        return Staircase(group, machine, widths, _one_by_one(workload, group, units, machine))
    cycles = np.zeros(units, np.int64)
    for i, gemm in enumerate(workload.rows):
        sides = {"m": int(workload.m[i]), "k": gemm.k, "n": gemm.n, "count": int(workload.count[i])}
        unique = int(workload.unique[i])
        own = {"k": gemm.inputs, "n": gemm.outputs, "count": gemm.repeats}
        left = {
            side: size // units * widths if own.get(side) == group else np.array([size])
            for side, size in sides.items()
        }
        m, k, n, count = np.broadcast_arrays(*left.values())
        shapes = Shapes.whole(m, k, n, count, -(-unique * k // gemm.k))
        ones = np.ones_like(k)
        with located(lambda _, gemm=gemm: gemm.name):  # type: ignore[misc]
            costs = evaluate_shapes(shapes, machine.rows * ones, machine.columns * ones, machine)
        cycles += _within(costs.cycles, int(cycles.max()), group)
    return Staircase(group, machine, widths, cycles)


def _within(cycles: Ints, before: int, group: str) -> Ints:
    """Cycles to add, or a QueryError when the sum is beyond 64 bits."""
    if int(cycles.max()) + before > LARGEST:
        msg = f"staircase of group {group!r}: the cycles of the whole workload are beyond exact "
        msg += "64-bit counts; give fewer GEMMs, or a smaller batch"
        raise QueryError(msg)
    return cycles


def _one_by_one(workload: Workload, group: str, units: int, machine: Machine) -> Ints:
    """Cycles of every width where blocks end up with shapes of their own."""
    touched = kept_units(workload, {group: LayerMask(np.array([], int), units)}).flags
    changes = [not touched.keys().isdisjoint(_groups(gemm)) for gemm in workload.rows]
    other = prune(workload, None, machine).costs(machine).cycles[~np.array(changes)]
    part = workload.part(np.flatnonzero(changes))
    masks = (LayerMask(np.arange(width), units) for width in range(1, units + 1))
    costs = (prune(part, {group: mask}, machine).costs(machine) for mask in masks)
    cycles = [total(other) + total(found.cycles) for found in costs]
    return _within(np.array(cycles, dtype=object), 0, group).astype(np.int64)


def _groups(gemm: Gemm) -> set[str | None]:
    return {gemm.inputs, gemm.outputs, gemm.repeats}
