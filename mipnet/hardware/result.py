"""What a mask costs on a machine: the result of :func:`mipnet.hardware.cost`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from mipnet.errors import MissingPackageError
from mipnet.hardware.apply import Masks, Pruned, Size, prune
from mipnet.hardware.costs import Figures, GemmCosts
from mipnet.hardware.counts import total
from mipnet.hardware.energy import EnergyTable
from mipnet.hardware.gemm import Workload
from mipnet.hardware.machine import DATAFLOWS, Machine
from mipnet.hardware.packing import Packing
from mipnet.hardware.price import Energies, price
from mipnet.hardware.roofline import Roofline, roofline
from mipnet.hardware.savings import Ranking, Savings, saved

#: DRAM bytes per cycle at which savings and roofline are stated for a machine without a limit.
REFERENCE_BANDWIDTH = 16.0


@dataclass(frozen=True)
class LayerCost:
    """One GEMM before and after pruning.

    Attributes
    ----------
    name : str
    size_before : (int, int, int, int)
        M, K, N and repetitions.
    parts : tuple of (int, int, int, int)
        What is left; K counts inputs. Several where masks leave different shapes of the blocks of
        a grouped convolution; one with no repetitions where nothing is left.
    before, after : Figures
    energy_before, energy : float
        Under the first table, in its unit; NaN when it has no MAC of the precision.
    savings : Savings
    """

    name: str
    size_before: Size
    parts: tuple[Size, ...]
    before: Figures
    after: Figures
    energy_before: float
    energy: float
    savings: Savings

    @property
    def size(self) -> Size:
        """M, the largest K and N of the parts, and all repetitions."""
        m, k, n, count = zip(*self.parts, strict=True)
        return m[0], max(k), max(n), sum(count)


@dataclass(frozen=True, eq=False)
class HardwareCost:
    """Cost of a workload, dense and under a mask.

    The totals after pruning are properties of the result itself: :attr:`cycles`, :attr:`macs`,
    :attr:`utilization`, :attr:`sram_reads`, ...

    Attributes
    ----------
    machine : Machine
    workload : Workload
    masks : Mask or mapping or None
    dense, pruned : Pruned
        The GEMMs before and after.
    costs_before, costs : GemmCosts
        Their counts, one entry per GEMM.
    energies_before, energies : tuple of Energies
        One per table; the first is the one asked for.
    packings : mapping of str to Packing
        Tiles that unit masks leave in use if zeros stay in place, and when they are packed.
    notes : tuple of str
        What the figures assume or could not save.
    source : str
        Where the GEMMs came from.
    """

    machine: Machine
    workload: Workload
    masks: Masks
    dense: Pruned
    pruned: Pruned
    costs_before: GemmCosts
    costs: GemmCosts
    energies_before: tuple[Energies, ...]
    energies: tuple[Energies, ...]
    packings: Mapping[str, Packing]
    notes: tuple[str, ...]
    source: str

    @cached_property
    def before(self) -> Figures:
        """Totals before pruning."""
        return self.costs_before.figures()

    @cached_property
    def after(self) -> Figures:
        """Totals after pruning; of the workload itself without a mask."""
        return self.costs.figures()

    @property
    def macs(self) -> int:
        """Multiply-accumulates the array steps through."""
        return self.after.macs

    @property
    def cycles(self) -> int:
        """Cycles, memory stalls included."""
        return self.after.cycles

    @property
    def compute_cycles(self) -> int:
        """Cycles without memory stalls."""
        return self.after.compute_cycles

    @property
    def stall_cycles(self) -> int:
        """Cycles lost to memory."""
        return self.after.stall_cycles

    @property
    def utilization(self) -> float:
        """MACs over rows times columns times cycles."""
        return self.after.utilization

    @property
    def mapping_efficiency(self) -> float:
        """Share of the PEs in use, averaged over the folds."""
        return self.after.mapping_efficiency

    @property
    def sram_reads(self) -> int:
        """Operand words read from the buffers."""
        return self.after.sram_reads

    @property
    def sram_writes(self) -> int:
        """Words written to the output buffer."""
        return self.after.sram_writes

    @property
    def dram_reads(self) -> int:
        """Words read from DRAM."""
        return self.after.dram_reads

    @property
    def dram_writes(self) -> int:
        """Words written to DRAM."""
        return self.after.dram_writes

    @property
    def tables(self) -> tuple[EnergyTable, ...]:
        """Energy tables in use, at least two."""
        return tuple(energies.table for energies in self.energies)

    @property
    def energy(self) -> float:
        """Energy under the first table, in its unit; NaN when it has no MAC of the precision."""
        return float(np.sum(self.energies[0].total))

    @property
    def energy_before(self) -> float:
        """Energy before pruning, under the first table."""
        return float(np.sum(self.energies_before[0].total))

    @property
    def energy_pj(self) -> float | None:
        """Energy in pJ; None when the first table is relative or has no MAC of the precision."""
        return known(self.energy) if self.tables[0].unit == "pJ" else None

    @cached_property
    def _timed(self) -> tuple[Machine, GemmCosts, GemmCosts]:
        """Machine with a bandwidth, and costs before and after on it."""
        if self.machine.memory.bandwidth is not None:
            return self.machine, self.costs_before, self.costs
        memory = replace(self.machine.memory, bandwidth=REFERENCE_BANDWIDTH)
        machine = replace(self.machine, memory=memory)
        before = self.dense.costs(machine)
        return machine, before, before if self.masks is None else self.pruned.costs(machine)

    def _savings(self, index: Any = ...) -> Savings:
        machine, before, after = self._timed
        one, two = self.costs_before, self.costs

        def share(name: str, first: GemmCosts, second: GemmCosts) -> float:
            return saved(
                float(total(getattr(first, name)[index])),
                float(total(getattr(second, name)[index])),
            )

        return Savings(
            ideal=share("active_macs", one, two),
            tile_quantised=share("compute_cycles", one, two),
            after_memory=share("cycles", before, after),
            bandwidth=machine.memory.bandwidth or 0.0,
        )

    @cached_property
    def savings(self) -> Savings:
        """Ideal, tile-quantised and after-memory saving of the whole workload."""
        return self._savings()

    @cached_property
    def layers(self) -> tuple[LayerCost, ...]:
        """One entry per GEMM, in order."""
        old = self.workload
        energy_before, energy = self.energies_before[0].total, self.energies[0].total
        rows = []
        for i, name in enumerate(self.workload.names):
            rows.append(
                LayerCost(
                    name=name,
                    size_before=(int(old.m[i]), int(old.k[i]), int(old.n[i]), int(old.count[i])),
                    parts=self.pruned.sizes(i),
                    before=self.costs_before.figures(i),
                    after=self.costs.figures(i),
                    energy_before=float(energy_before[i]),
                    energy=float(energy[i]),
                    savings=self._savings(i),
                )
            )
        return tuple(rows)

    @cached_property
    def ranking(self) -> Ranking:
        """Dataflows by the energy of this workload, under every table that knows the precision."""
        tables = [table for table in self.tables if table.prices(self.machine.precision.name)]
        energies: dict[str, list[float]] = {table.name: [] for table in tables}
        for dataflow in DATAFLOWS:
            machine = replace(self.machine, dataflow=dataflow)
            costs = self.costs
            if dataflow != self.machine.dataflow:
                costs = prune(self.workload, self.masks, machine).costs(machine)
            for table in tables:
                found = price(costs, table, machine.memory, stationary=machine.stationary)
                energies[table.name].append(float(np.sum(found.total)))
        return Ranking(DATAFLOWS, {name: tuple(values) for name, values in energies.items()})

    @cached_property
    def roofline(self) -> Roofline:
        """Every GEMM under the roof of the machine, before and after pruning."""
        machine, before, after = self._timed
        memory = machine.memory
        rows = range(len(self.workload))
        return roofline(
            self.workload.names,
            tuple(before.figures(i) for i in rows),
            tuple(after.figures(i) for i in rows),
            machine.rows * machine.columns,
            (memory.bandwidth or 0.0) + (memory.write_bandwidth or 0.0),
        )

    def to_frame(self) -> Any:
        """Table of the GEMMs as a pandas DataFrame: ``<figure>_before`` and ``<figure>``.

        Raises
        ------
        MissingPackageError
            When pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            package, purpose, extra = "pandas", "a table of hardware costs", "report"
            raise MissingPackageError(package, purpose, extra) from error
        names = [f.name for f in fields(Figures)]
        columns: dict[str, Any] = {"layer": self.workload.names}
        old = self.workload
        columns |= {"m": old.m, "k_before": old.k, "n_before": old.n, "count_before": old.count}
        sizes = np.array([layer.size for layer in self.layers])
        columns |= {"k": sizes[:, 1], "n": sizes[:, 2], "count": sizes[:, 3]}
        for name in names:
            columns[f"{name}_before"] = getattr(self.costs_before, name)
            columns[name] = getattr(self.costs, name)
        for first, second in zip(self.energies_before, self.energies, strict=True):
            column = f"energy_{second.table.name}_{second.table.unit}"
            columns[f"{column}_before"], columns[column] = first.total, second.total
        return pd.DataFrame(columns).set_index("layer")

    def to_dict(self) -> dict[str, Any]:
        """Plain data: totals after pruning at the top, then machine, energies and GEMMs.

        An energy that a table cannot price is None; ``energy_table_path`` and ``path`` name the
        file of a table that does not come with mipnet.
        """
        machine = self.machine
        memory = asdict(machine.memory)
        report: dict[str, Any] = {
            **{name: getattr(self.after, name) for name in ("cycles", "macs", "utilization")},
            **asdict(self.after),
            "energy_pj": self.energy_pj,
            "energy": known(self.energy),
            "energy_unit": self.tables[0].unit,
            "energy_table": self.tables[0].name,
            "energy_table_path": self.tables[0].path,
            "array": machine.array,
            "dataflow": machine.dataflow,
            "mode": machine.mode,
            "edge_aware": machine.edge_aware,
            "precision": machine.precision.name,
            "memory": memory,
            "energies": [_energies(e) for e in self.energies],
            "ranking": {"energy": self.ranking.energies, "order": self.ranking.orders},
            "rankings_agree": self.ranking.agree,
            "notes": list(self.notes),
            "source": self.source,
        }
        if self.masks is not None:
            report["before"] = {**asdict(self.before), "energy": known(self.energy_before)}
            report["savings"] = asdict(self.savings)
        report["layers"] = [_layer(layer) for layer in self.layers]
        return report

    def to_json(self) -> str:
        """JSON text of :meth:`to_dict`."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def __str__(self) -> str:
        from mipnet.hardware.report import text

        return text(self)

    def _repr_html_(self) -> str:
        from mipnet.hardware.report import html

        return html(self)


def known(energy: float) -> float | None:
    """Energy, or None where a table does not know the precision."""
    return None if math.isnan(energy) else energy


def _energies(energies: Energies) -> dict[str, Any]:
    return {
        "table": energies.table.name,
        "path": energies.table.path,
        "unit": energies.table.unit,
        "total": known(float(np.sum(energies.total))),
        "parts": {name: known(value) for name, value in energies.parts().items()},
        "unpriced": list(energies.unpriced),
    }


def _layer(layer: LayerCost) -> dict[str, Any]:
    names = ("m", "k", "n", "count")
    return {
        "name": layer.name,
        **dict(zip(names, layer.size, strict=True)),
        "parts": [dict(zip(names, part, strict=True)) for part in layer.parts],
        **asdict(layer.after),
        "energy": known(layer.energy),
        "before": {
            **dict(zip(names, layer.size_before, strict=True)),
            **asdict(layer.before),
            "energy": known(layer.energy_before),
        },
        "savings": asdict(layer.savings),
    }
