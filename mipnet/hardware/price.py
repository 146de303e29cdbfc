"""Energy of counted events under a table."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.hardware.costs import GemmCosts, freeze
from mipnet.hardware.energy import EnergyTable
from mipnet.hardware.machine import Memory

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Energies:
    """Energy by component, arrays of the shape of the counts.

    Attributes
    ----------
    table : EnergyTable
    mac : array of float64
        MACs whose weight is not a known zero. NaN, and so is the total, under a table without a
        MAC of this precision.
    registers : array of float64
        One read and one write of a local register per MAC of the array.
    hops : array of float64
        One operand word and one partial sum (os: two operand words) to the neighbouring PE per
        MAC of the array.
    mux : array of float64
        Choosing inputs under N:M masks.
    sram : array of float64
        Buffer accesses for the array, and those that fill buffers from DRAM and empty them.
    dram : array of float64
    leakage : array of float64
        Per PE and cycle.
    unpriced : tuple of str
        Components that happened and that the table does not price; they count as 0, but for
        ``mac``.
    """

    table: EnergyTable
    mac: Floats
    registers: Floats
    hops: Floats
    mux: Floats
    sram: Floats
    dram: Floats
    leakage: Floats
    unpriced: tuple[str, ...]

    def __post_init__(self) -> None:
        freeze(self)

    @property
    def total(self) -> Floats:
        """Sum of the components."""
        return np.asarray(sum(getattr(self, name) for name in COMPONENTS))

    def parts(self) -> dict[str, float]:
        """Sum over all GEMMs, by component."""
        return {name: float(np.sum(getattr(self, name))) for name in COMPONENTS}


COMPONENTS = tuple(f.name for f in fields(Energies) if f.name not in {"table", "unpriced"})


def price(costs: GemmCosts, table: EnergyTable, memory: Memory, *, stationary: bool) -> Energies:
    r"""Energy of counted events.

    .. math:: E = n_{MAC} e_{MAC} + n_{reg} e_{reg} + n_{hop} e_{hop} + n_{mux} e_{mux}
              + \sum_{level} n_{access} e_{access} + R C \, \mathrm{cycles} \, e_{leak}

    Parameters
    ----------
    costs : GemmCosts
    table : EnergyTable
    memory : Memory
        Capacities set the energy of a buffer access.
    stationary : bool
        Whether partial sums travel (ws and is) or operands alone (os).
    """
    bits = costs.precision
    unpriced: list[str] = [] if table.prices(bits.name) else ["mac"]

    def each(kind: str, width: int, count: Any, **how: Any) -> Any:
        energy = table.word(kind, width, **how)
        if energy is None:
            if np.any(count):
                unpriced.append(kind)
            return 0.0 * count
        return energy * count

    held = bits.weights if stationary else bits.partial_sums
    register = each("register", held, costs.macs)
    register = register + each("register", bits.partial_sums, costs.macs, direction="write")
    hops = each("hop", bits.inputs, costs.macs)
    hops = hops + each("hop", bits.partial_sums if stationary else bits.weights, costs.macs)
    mux, leakage = table.each("mux"), table.each("leakage")
    chosen = costs.macs.astype(np.float64) * (costs.choices - 1)
    if mux is None and np.any(chosen):
        unpriced.append("mux")
    if leakage is None:
        unpriced.append("leakage")
    return Energies(
        table=table,
        mac=np.multiply(
            math.nan if unpriced[:1] == ["mac"] else table.mac(bits.name),
            costs.active_macs,
            dtype=np.float64,
        ),
        registers=register,
        hops=hops,
        mux=np.multiply(mux or 0.0, chosen, dtype=np.float64),
        sram=_sram(costs, table, memory),
        dram=_dram(costs, table),
        leakage=np.multiply(costs.cells * (leakage or 0.0), costs.cycles, dtype=np.float64),
        unpriced=tuple(dict.fromkeys(unpriced)),
    )


def _sram(costs: GemmCosts, table: EnergyTable, memory: Memory) -> Floats:
    """Every word from DRAM is written to a buffer first, every result is read out of one."""
    bits = costs.precision
    inputs, weights, outputs = memory.input_bytes, memory.weight_bytes, memory.output_bytes
    sums = costs.partial_sum_reads + costs.dram_partial_sums
    moves = (
        (costs.input_reads, costs.dram_input_reads, bits.inputs, inputs),
        (costs.weight_reads, costs.dram_weight_reads, bits.weights, weights),
        (sums, sums, bits.partial_sums, outputs),
        (costs.result_writes, costs.result_writes, bits.outputs, outputs),
    )
    total = np.zeros(np.shape(costs.macs))
    for read, written, width, capacity in moves:
        total += read * (table.word("sram", width, capacity=capacity) or 0.0)
        total += written * (table.word("sram", width, capacity=capacity, direction="write") or 0.0)
    return total


def _dram(costs: GemmCosts, table: EnergyTable) -> Floats:
    bits = costs.precision
    total = np.zeros(np.shape(costs.macs))
    for count, width, direction in (
        (costs.dram_input_reads, bits.inputs, "read"),
        (costs.dram_weight_reads, bits.weights, "read"),
        (costs.index_bytes * (8 / bits.weights), bits.weights, "read"),
        (costs.dram_partial_sums, bits.partial_sums, "read"),
        (costs.dram_partial_sums, bits.partial_sums, "write"),
        (costs.result_writes, bits.outputs, "write"),
    ):
        total += count * (table.word("dram", width, direction=direction) or 0.0)
    return total
