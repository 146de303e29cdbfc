"""Results as text and as cells of a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mipnet.hardware.result import HardwareCost, LayerCost

#: GEMMs shown in a notebook; more are counted.
ROWS = 60

HEADINGS = ("GEMM", "M x K x N", "cycles", "stalls", "util.", "SRAM words", "DRAM bytes", "energy")
#: Ideal, tile-quantised and after-memory saving, shown under a mask.
SAVINGS = ("ideal", "tiles", "memory")


def headings(result: HardwareCost) -> tuple[str, ...]:
    """Columns of the table of GEMMs."""
    return HEADINGS if result.masks is None else (*HEADINGS, *SAVINGS)


def row(layer: LayerCost, columns: int) -> tuple[str, ...]:
    """Cells of one GEMM, before and after where they differ."""
    old, new = layer.before, layer.after
    cells = (
        layer.name,
        _change(_size(layer.size_before), _sizes(layer.parts)),
        _change(f"{old.cycles:,}", f"{new.cycles:,}"),
        _change(f"{old.stall_cycles:,}", f"{new.stall_cycles:,}"),
        _change(f"{old.utilization:.1%}", f"{new.utilization:.1%}"),
        _change(f"{old.sram_reads + old.sram_writes:,}", f"{new.sram_reads + new.sram_writes:,}"),
        _change(f"{old.dram_bytes:,}", f"{new.dram_bytes:,}"),
        _change(_energy(layer.energy_before, 4), _energy(layer.energy, 4)),
        f"{layer.savings.ideal:.1%}",
        f"{layer.savings.tile_quantised:.1%}",
        f"{layer.savings.after_memory:.1%}",
    )
    return cells[:columns]


def facts(result: HardwareCost) -> dict[str, str]:
    """Totals and what they rest on, one line each."""
    old, new, saving = result.before, result.after, result.savings
    memory = result.machine.memory
    limit = "none" if memory.bandwidth is None else f"{memory.bandwidth:g} bytes per cycle"
    lines = {
        "machine": str(result.machine),
        "bandwidth": limit,
        "MACs": _change(f"{old.macs:,}", f"{new.macs:,}"),
        "cycles": _change(f"{old.cycles:,}", f"{new.cycles:,}"),
        "stalls": _change(f"{old.stall_cycles:,}", f"{new.stall_cycles:,}"),
        "utilization": _change(f"{old.utilization:.2%}", f"{new.utilization:.2%}"),
        "mapping": _change(f"{old.mapping_efficiency:.2%}", f"{new.mapping_efficiency:.2%}"),
        "SRAM words": _change(
            f"{old.sram_reads:,} read, {old.sram_writes:,} written",
            f"{new.sram_reads:,} read, {new.sram_writes:,} written",
        ),
        "DRAM bytes": _change(
            f"{old.dram_read_bytes:,} read, {old.dram_write_bytes:,} written",
            f"{new.dram_read_bytes:,} read, {new.dram_write_bytes:,} written",
        ),
        "maps, indices": f"{new.index_bytes:,} bytes",
    }
    for first, second in zip(result.energies_before, result.energies, strict=True):
        table = second.table
        value = _change(_energy(first.total.sum(), 5), _energy(second.total.sum(), 5))
        without = f" (not priced: {', '.join(second.unpriced)})" if second.unpriced else ""
        lines[f"energy, {table.name}"] = f"{value} {table.unit}{without}"
    for table_name, order in result.ranking.orders.items():
        lines[f"dataflows, {table_name}"] = " < ".join(order)
    if result.masks is not None:
        lines["saved"] = (
            f"ideal {saving.ideal:.1%}, tile-quantised {saving.tile_quantised:.1%}, after memory "
            f"{saving.after_memory:.1%} (at {saving.bandwidth:g} bytes per cycle)"
        )
    for group, packing in result.packings.items():
        lines[f"packing, {group}"] = str(packing)
    for i, note in enumerate(result.notes):
        lines[f"note {i + 1}"] = note
    return lines


def text(result: HardwareCost) -> str:
    """Totals as lines of text."""
    lines = facts(result)
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def html(result: HardwareCost) -> str:
    """GEMMs and totals as tables, with the roofline."""
    layers = result.layers[:ROWS]
    more = len(result.workload) - len(layers)
    rest = f"<p>{more} more GEMMs</p>" if more > 0 else ""
    unit = result.tables[0].unit
    names = headings(result)
    heads = [f"energy {unit}" if name == "energy" else name for name in names]
    totals = [(escape(name), escape(value)) for name, value in facts(result).items()]
    return (
        f"<div><p>{escape(result.source)} on {escape(str(result.machine))}</p>"
        + plain_table([row(layer, len(names)) for layer in layers], heads)
        + rest
        + plain_table(totals, (), escaped=True)
        + result.roofline.svg()
        + "</div>"
    )


def plain_table(
    rows: Sequence[Sequence[str]], heads: Sequence[str], *, escaped: bool = False
) -> str:
    """Table in HTML; cells are escaped unless they are already."""

    def cells(values: Sequence[str], tag: str) -> str:
        return "".join(
            f'<{tag} style="text-align:left">{v if escaped else escape(v)}</{tag}>' for v in values
        )

    head = f"<thead><tr>{cells(heads, 'th')}</tr></thead>" if heads else ""
    body = "".join(f"<tr>{cells(values, 'td')}</tr>" for values in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _energy(value: float, digits: int) -> str:
    return "unknown" if isnan(value) else f"{value:.{digits}g}"


def _change(before: str, after: str) -> str:
    return after if before == after else f"{before} → {after}"


def _sizes(parts: Sequence[tuple[int, int, int, int]]) -> str:
    """First two shapes, and how many more there are."""
    more = f" + {len(parts) - 2} other shapes" if len(parts) > 2 else ""
    return " + ".join(map(_size, parts[:2])) + more


def _size(size: tuple[int, int, int, int]) -> str:
    m, k, n, count = size
    return f"{m} x {k} x {n}" + (f", {count} times" if count != 1 else "")
