"""Data and networks of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mipnet.bench import data_sources
from mipnet.bench.data import DATA, Data, split
from mipnet.bench.plan.check import Faults, Table
from mipnet.bench.plan.model import NetworkSpec
from mipnet.bench.registry import unknown_name
from mipnet.errors import MipnetError


def read_data(faults: Faults, document: dict[str, Any]) -> dict[str, Data]:
    """Read the data sets of a plan: its ``[data.NAME]``, and sources networks name directly."""
    found: dict[str, Data] = {}
    declared = faults.tables(document, "data")
    for table in declared:
        loaded = _data(table)
        if loaded is not None:
            found[str(table.path[1])] = loaded
    names = {str(table.path[1]) for table in declared}
    for place, name in _named_data(document):
        if name in DATA and name not in names | set(found):
            try:
                found[name] = split(DATA[name](), name)
            except MipnetError as error:
                faults.add(place, f"data {name!r}: {error}")
                names.add(name)
    return found


def _named_data(document: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every ``data = "..."`` of networks and problems."""
    for section in ("networks", "problems"):
        entries = document.get(section)
        rows = enumerate(entries) if isinstance(entries, list) else ()
        for key, row in entries.items() if isinstance(entries, dict) else rows:
            if isinstance(row, dict) and isinstance(row.get("data"), str):
                yield (section, key, "data"), row["data"]


def _data(table: Table) -> Data | None:
    known = tuple(DATA)
    source = table.take(
        "source",
        str,
        None,
        check=lambda n: "" if n in DATA else f"names an {unknown_name('data source', n, known)}",
    )
    file = table.take("file", Path, None)
    test = table.take("test", float, None)
    seed = table.take("seed", int, 0)
    task = table.take("task", str, None, check=_task)
    domain = table.take("domain", tuple[float, ...], None)
    scale = table.take("scale", float, 1.0)
    table.close()
    if ("source" in table.values) == ("file" in table.values):
        table.fault("give either source or file")
        return None
    if source is None and file is None:
        return None
    try:
        if file is not None:
            pair = None if domain is None else (domain[0], domain[-1])
            raw = data_sources.from_file(file, task, pair, scale)
        else:
            raw = DATA[source]()
        return split(raw, source or file.name, test=test, seed=seed)
    except MipnetError as error:
        table.fault(str(error))
        return None


def _task(name: str) -> str:
    known = ("classification", "regression")
    return "" if name in known else f"must be one of {', '.join(known)}, not {name!r}"


def read_networks(
    faults: Faults, document: dict[str, Any], data: Mapping[str, Data]
) -> tuple[NetworkSpec, ...]:
    """Networks of a plan; several files or seeds make several networks."""
    specs: list[NetworkSpec] = []
    for table in faults.tables(document, "networks"):
        specs += _network(table, data)
    return tuple(specs)


def _network(table: Table, data: Mapping[str, Data]) -> Iterator[NetworkSpec]:
    name = str(table.path[1])
    files = table.several("file", Path, ())
    hidden = table.take("hidden", tuple[int, ...] | int, ())
    seeds = table.several("seeds", int, (0,))
    hints: dict[str, Any] = {"epochs": int, "lr": float, "batch_size": int, "dtype": str}
    training = {k: table.take(k, hint, None) for k, hint in hints.items()}
    training = {k: value for k, value in training.items() if value is not None}
    source = data_name(table, data)
    table.close()
    trained = "hidden" in table.values
    if trained == ("file" in table.values):
        table.fault("give either file, or hidden (widths of the hidden layers) and data")
        return
    if trained and source is None and "data" not in table.values:
        table.fault("a network that is trained needs data")
        return
    if not trained:
        extra = sorted({*training} | ({"seeds"} & set(table.values)))
        if extra:
            table.fault(f"{', '.join(extra)} belong to networks that are trained", extra[0])
        for file in files:
            label = name if len(files) == 1 else f"{name}-{file.stem}"
            yield NetworkSpec(label, file=file, data=source)
        return
    widths = (hidden,) if isinstance(hidden, int) else hidden
    if not widths or min(widths) < 1:
        table.fault(f"hidden must list widths from 1 on, not {hidden!r}", "hidden")
        return
    for seed in seeds:
        label = name if len(seeds) == 1 else f"{name}-{seed}"
        yield NetworkSpec(label, hidden=widths, training={**training, "seed": seed}, data=source)


def data_name(table: Table, data: Mapping[str, Data]) -> str | None:
    """Take a data set by name; one that failed to load has been reported."""
    name: str | None = table.take("data", str, None)
    if name is None or name in data:
        return name
    declared = {path[1] for path in table.faults.lines if path[:1] == ("data",) and len(path) > 1}
    if name not in declared and name not in DATA:
        known = tuple(sorted({*data, *DATA}))
        table.fault(f"data names an {unknown_name('data set', name, known)}", "data")
    return None
