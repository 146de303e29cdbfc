"""Hardware arrays of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mipnet.bench.array_cost import array_faults, array_keys
from mipnet.bench.plan.check import Faults, Table
from mipnet.bench.plan.model import ArraySpec
from mipnet.bench.plan.types import convert, plain
from mipnet.bench.provenance import file_hash
from mipnet.bench.registry import unknown_name


def read_arrays(faults: Faults, document: dict[str, Any]) -> tuple[ArraySpec, ...]:
    """Arrays of a plan; several data flows make several."""
    specs: list[ArraySpec] = []
    contents: dict[str, tuple[str, int]] = {}
    for row in faults.rows(document, "hardware"):
        known = {spec.name for spec in specs}
        found = _arrays(row)
        for spec in found:
            if spec.name in known:
                row.fault(f"two arrays are called {spec.name!r}; give them name = ...")
        for spec in found:
            files = {role: file_hash(path) for role, path in spec.files.items()}
            content = repr((sorted(spec.options.items()), files))
            known_as, line = contents.setdefault(content, (spec.name, row.line))
            if known_as != spec.name:
                row.fault(f"array {spec.name!r} is the same as {known_as!r} (line {line})")
        specs += found
    return tuple(specs)


def _arrays(row: Table) -> list[ArraySpec]:
    """Arrays of one table; none where a value does not fit."""
    before = len(row.faults.found)
    name = row.take("name", str, "")
    hints = {key: plain(hint) for key, hint in array_keys().items() if plain(hint) is not None}
    flows = row.several("dataflow", hints.pop("dataflow"), ("ws",))
    options: dict[str, Any] = {"array": row.take("array", hints.pop("array"))}
    options |= {key: row.take(key, hint, None) for key, hint in hints.items()}
    options = {key: row.values[key] for key, value in options.items() if value is not None}
    row.close()
    files = _files(row, options)
    several = isinstance(row.values.get("dataflow"), list)
    for i, flow in enumerate(flows):
        chosen = {**options, **files, "dataflow": flow}
        for key, message in array_faults(chosen):
            row.fault(message, *((key, i) if key == "dataflow" and several else (key,)))
    if len(row.faults.found) > before:
        return []
    from mipnet.hardware.machine import sides

    # However it is written, it is one size.
    size = options["array"] = "x".join(map(str, sides(options["array"])))
    return [
        ArraySpec(
            f"{name}-{flow}" if name and several else name or f"{size}-{flow}",
            {**options, "dataflow": flow},
            files,
        )
        for flow in flows
    ]


def _files(row: Table, options: dict[str, Any]) -> dict[str, Path]:
    """Take an energy table that is a file out of the options: its content counts, not its name."""
    from mipnet.hardware import energy_tables

    beside = row.values.get("compare", ())
    for i, name in enumerate(beside if isinstance(beside, list) else [beside] if beside else ()):
        if isinstance(name, str) and name not in energy_tables():
            message = f"compare names an {unknown_name('energy table', name, energy_tables())}"
            row.fault(message, *(("compare", i) if isinstance(beside, list) else ("compare",)))
            options.pop("compare", None)
    table = options.get("energy_table")
    if table is None or table in energy_tables():
        return {}
    del options["energy_table"]
    try:
        return {"energy_table": convert(table, Path, row.faults.folder)}
    except TypeError as error:
        known = ", ".join(energy_tables())
        row.fault(f"energy_table names no table ({known}) and no file: {error}", "energy_table")
        return {}
