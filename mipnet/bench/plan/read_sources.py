"""Data and networks of a plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mipnet.bench import data_sources
from mipnet.bench.data import DATA, Data, Raw, split
from mipnet.bench.plan import checks
from mipnet.bench.plan.check import Check, Faults, Table
from mipnet.bench.plan.checks import named, positive
from mipnet.bench.plan.model import NetworkSpec
from mipnet.bench.provenance import file_hash
from mipnet.bench.registry import unknown_name
from mipnet.errors import MipnetError
from mipnet.network.readers import load


def read_data(faults: Faults, document: dict[str, Any]) -> dict[str, Data]:
    """Read the data sets of a plan: its ``[data.NAME]``, and sources networks name directly."""
    found: dict[str, Data] = {}
    names: set[str] = set()
    for table in faults.tables(document, "data"):
        name = str(table.path[1])
        names.add(name)
        loaded = _data(table)
        if loaded is not None:
            found[name] = loaded
    for place, name in _named_data(document):
        if name in DATA and name not in names:
            names.add(name)
            loaded = _loaded(partial(faults.add, place), name, DATA[name])
            if loaded is not None:
                found[name] = loaded
    return found


def _loaded(
    fault: Callable[[str], None],
    name: str,
    source: Callable[[], Raw],
    test: float | None = None,
    seed: int = 0,
) -> Data | None:
    """Load and split a data set; what goes wrong in it, or in somebody else's code, is a fault."""
    try:
        return split(source(), name, test=test, seed=seed)
    except MipnetError as error:
        fault(f"data {name!r}: {error}")
    except Exception as error:
        fault(f"data {name!r}: {type(error).__name__}: {error}")
    return None


def _named_data(document: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every ``data = "..."`` of networks and problems."""
    for section in ("networks", "problems"):
        entries = document.get(section)
        rows = enumerate(entries) if isinstance(entries, list) else ()
        for key, row in entries.items() if isinstance(entries, dict) else rows:
            if isinstance(row, dict) and isinstance(row.get("data"), str):
                yield (section, key, "data"), row["data"]


def _data(table: Table) -> Data | None:
    before = len(table.faults.found)
    source = table.take("source", str, None, check=named("data source", tuple(DATA)))
    file = table.take("file", Path, None)
    test = table.take("test", float, None, check=_test)
    seed = table.take("seed", int, 0, check=checks.seed)
    task = table.take("task", Literal["classification", "regression"], None)
    domain = table.take("domain", tuple[float, ...], None, check=_domain)
    scale = table.take("scale", float, 1.0, check=positive)
    if table.meant("source") == table.meant("file"):
        table.fault("give either source or file")
    table.close()
    for key in ("task", "domain", "scale"):
        if "source" in table.values and key in table.values:
            table.fault(f"{key} belongs to data of a file; a source has its own", key)
    if len(table.faults.found) > before or (source is None and file is None):
        return None
    if file is None:
        return _loaded(table.fault, source, DATA[source], test, seed)
    given = partial(data_sources.from_file, file, task, domain, scale)
    return _loaded(table.fault, file.name, given, test, seed)


def _test(value: float) -> str:
    good = 0.0 < value < math.inf and (value < 1.0 or value == int(value))
    return "" if good else f"must be a share below 1 or a number of rows, not {value!r}"


def _domain(value: tuple[float, ...]) -> str:
    good = len(value) == 2 and -math.inf < value[0] < value[1] < math.inf
    return "" if good else f"must be two finite numbers, the smaller one first, not {list(value)}"


def read_networks(
    faults: Faults, document: dict[str, Any], data: Mapping[str, Data]
) -> tuple[NetworkSpec, ...]:
    """Networks of a plan; several files or seeds make several networks."""
    specs: dict[str, NetworkSpec] = {}
    contents: dict[str, tuple[str, int]] = {}
    for table in faults.tables(document, "networks"):
        found = list(_network(table, data))
        if not found or (table.meant("data") and found[0].data is None):
            # What is wrong with it has been said; nothing follows from what it lacks.
            faults.bare.update({str(table.path[1]), *(spec.name for spec in found)})
        for spec in found:
            if spec.name in specs:
                table.fault(f"two networks are called {spec.name!r}; rename the table or the file")
            specs[spec.name] = spec
            known_as, line = contents.setdefault(_content(spec, data), (spec.name, table.line))
            if known_as != spec.name:
                message = f"network {spec.name!r} is the same as {known_as!r} (line {line})"
                table.fault(f"{message}: leave one out")
    return tuple(specs.values())


def _content(spec: NetworkSpec, data: Mapping[str, Data]) -> str:
    """Return what makes a network another one than those beside it."""
    own = data[spec.data].fingerprint if spec.data and spec.data in data else spec.data
    made = spec.hidden, sorted(spec.training.items())
    return repr((file_hash(spec.file) if spec.file else made, own))


def _network(table: Table, data: Mapping[str, Data]) -> Iterator[NetworkSpec]:
    name = str(table.path[1])
    files = table.several("file", Path, ())
    widths = table.take("hidden", tuple[int, ...] | int, (), check=_widths, each=_width)
    seeds = table.several("seeds", int, (0,), check=checks.seed)
    training = take_training(table, {"dtype": (Literal["float32", "float64"], None)})
    source = data_name(table, data)
    trained = table.meant("hidden")
    if trained == table.meant("file"):
        table.fault("give either file, or hidden (widths of the hidden layers) and data")
    elif trained and not table.meant("data"):
        table.fault("a network that is trained needs data")
    table.close()
    if not trained:
        extra = sorted({*training} | ({"seeds"} & set(table.values)))
        if extra:
            table.fault(f"{', '.join(extra)} belong to networks that are trained", extra[0])
        for file in files:
            label = name if len(files) == 1 else f"{name}-{file.stem}"
            spec = _of_file(table, label, file, source)
            message = "" if source is None else unequal(spec, source, data[source])
            if message:
                table.fault(message, "data")
            yield spec
        return
    if source is None or not widths:
        return
    own = data[source]
    size = own.inputs.shape[1], _outputs(own)
    for seed in seeds:
        label = name if len(seeds) == 1 else f"{name}-{seed}"
        hidden = (widths,) if isinstance(widths, int) else widths
        yield NetworkSpec(label, None, hidden, {**training, "seed": seed}, source, *size)


def take_training(table: Table, others: Mapping[str, tuple[Any, Check | None]]) -> dict[str, Any]:
    """Take what sets a training; keys that are not given are left out."""
    hints: dict[str, tuple[Any, Check | None]] = {
        "epochs": (int, lambda n: "" if n >= 0 else f"must be a number from 0 on, not {n!r}"),
        "lr": (float, positive),
        "batch_size": (int, positive),
        **others,
    }
    found = {key: table.take(key, hint, None, check=c) for key, (hint, c) in hints.items()}
    return {key: value for key, value in found.items() if value is not None}


def _widths(value: int | tuple[int, ...]) -> str:
    if isinstance(value, int):
        return _width(value)
    return "" if value else "must list at least one width"


def _width(value: int) -> str:
    return "" if value >= 1 else f"must list widths from 1 on, not {value!r}"


def _outputs(data: Data) -> int:
    """Count the outputs of a network trained on a data set."""
    targets = data.targets[data.train]
    if data.task == "classification":
        return len(np.unique(targets))
    return 1 if targets.ndim == 1 else int(targets.shape[1])


def _of_file(table: Table, label: str, file: Path, source: str | None) -> NetworkSpec:
    """Network of a file, which has to be one."""
    try:
        network = load(file)
    except (MipnetError, OSError, ValueError) as error:
        table.fault(f"file holds no network: {error}", *table.place("file", file, Path))
        return NetworkSpec(label, file=file, data=source)
    size = network.n_inputs, network.n_outputs
    return NetworkSpec(label, file, (), {}, source, *size)


def unequal(spec: NetworkSpec, name: str, data: Data) -> str:
    """Say that a data set has other inputs than a network; empty where they agree."""
    features = data.inputs.shape[1]
    if spec.n_inputs in {None, features}:
        return ""
    return f"data {name!r} has {features} features, network {spec.name!r} takes {spec.n_inputs}"


def data_name(table: Table, data: Mapping[str, Data]) -> str | None:
    """Take a data set by name; one that failed to load has been reported."""
    name: str | None = table.take("data", str, None)
    if name is None or name in data:
        return name
    declared = {path[1] for path in table.faults.lines if path[:1] == ("data",) and len(path) > 1}
    if name not in declared and name not in DATA and "data" not in table.faults.broken:
        known = tuple(sorted({*data, *DATA}))
        table.fault(f"data names an {unknown_name('data set', name, known)}", "data")
    return None
