"""Values of a record against the types of the columns they go to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import PurePath
from typing import Any

from mipnet.bench.store.schema import ARTEFACTS, CELLS, COSTS, TRAJECTORIES, Column, Type

#: What a number of a table can hold exactly.
_WHOLE, _INTEGERS = 2**63, 2**53
_WORDS: Mapping[Type, str] = {
    "str": "a string",
    "int": "a whole number",
    "float": "a finite number",
    "bool": "true or false",
    "floats": "a list of finite numbers",
}


def _types(columns: tuple[Column, ...]) -> dict[str, Type]:
    return {column.name: column.type for column in columns}


_RESULTS: Mapping[str, Mapping[str, Type]] = {
    "solve": _types(CELLS) | {"method": "str"},
    "network": _types(ARTEFACTS),
    "mask": _types(ARTEFACTS),
    "cost": _types(COSTS),
}
#: What rows and later stages read of the keys.
_KEYS: Mapping[str, Mapping[str, Any]] = {
    "solve": {
        **dict.fromkeys(("problem", "instance", "files", "solver", "needs"), dict),
        "data": str | None,
        **dict.fromkeys(("time_limit", "wall", "threads", "memory_mb"), int | float),
    },
    "network": {"needs": dict},
    "mask": {"needs": dict, "options": dict, "finetune": dict | None},
    "cost": {"needs": dict, "array": dict},
}
_PATH = _types(TRAJECTORIES)
_LABELS = _types(CELLS + COSTS)
_PROCESS: Mapping[str, Type] = {
    "seconds": "float",
    "peak_memory_mb": "float",
    "clock_jump_s": "float",
}
_RUN: Mapping[str, Type] = _types(CELLS) | {"id": "str"}
_MACHINE: Mapping[str, Type] = _types(CELLS) | {"memory_mb": "int"}


def wrong_value(record: Mapping[str, Any]) -> str:
    """Say which value of a record cannot go to its column; empty when all can.

    Parameters
    ----------
    record : mapping
        With all its parts, of known kind.

    Returns
    -------
    str
        Naming part, key, type and value of the first one.
    """
    machine = record["run"].get("machine")
    if not isinstance(machine, dict | None):
        return f"run.machine must be a table, not {_short(machine)}"
    result, columns = record["result"], _RESULTS[record["kind"]]
    if record["kind"] == "cost":
        # Further numbers of the hardware model become columns too.
        extra = (n for n, v in result.items() if isinstance(v, int | float) and n not in columns)
        columns = {**dict.fromkeys(extra, "float"), **columns}
    parts = (
        ("result", result, columns),
        ("labels", record["labels"], _LABELS),
        ("process", record["process"], _PROCESS),
        ("run", record["run"], _RUN),
        ("run.machine", machine or {}, _MACHINE),
    )
    found = (_mistyped(name, values, types) for name, values, types in parts)
    missing = (
        f"process.{name} is missing"
        for name in ("seconds", "peak_memory_mb")
        if name not in record["process"]
    )
    return next(chain(*found, missing, _wrong_path(record)), "")


def wrong_key(record: Mapping[str, Any]) -> str:
    """Say which part of the key, or of what later stages read, is missing; empty when none is."""
    key, kind = record["key"], record["kind"]
    for name, wanted in _KEYS[kind].items():
        if not isinstance(key.get(name), wanted):
            return f"key.{name} is missing or of a wrong type"
    needed = key["needs"].get("network", "")
    if not isinstance(needed, str) or (kind != "network" and not needed):
        return "key.needs.network is missing or no string"
    if kind == "solve" and not isinstance(key["solver"].get("name"), str):
        return "key.solver.name is missing or no string"
    if kind in {"network", "mask"} and record["status"] == "optimal":
        file = record["result"].get("file")
        if file is not None and not (isinstance(file, str) and file == PurePath(file).name):
            return f"result.file must be the name of a file, not {_short(file)}"
        files = record["result"].get("files", {})
        if not isinstance(files, dict) or not all(
            isinstance(known, str) and name == PurePath(name).name for name, known in files.items()
        ):
            return f"result.files must be a table of names and hashes, not {_short(files)}"
    return ""


def wrong_provenance(run: Any) -> str:
    """Say what of the file of a run cannot go to the columns of its cells; empty when all can."""
    if not isinstance(run, dict):
        return f"a run is a JSON object, not {type(run).__name__}"
    parts: list[tuple[str, Mapping[str, Any], Mapping[str, Type]]] = [("run", run, {"code": "str"})]
    for name in ("versions", "repository"):
        part = run.get(name)
        if not isinstance(part, dict | None):
            return f"run.{name} must be a table, not {_short(part)}"
        parts.append((f"run.{name}", part or {}, _types(CELLS)))
    return next(chain.from_iterable(_mistyped(*part) for part in parts), "")


def fits(value: Any, kind: Type) -> bool:
    """Whether a JSON value can go to a column of a type; null goes to every one."""
    if value is None:
        return True
    if kind == "floats":
        return isinstance(value, list) and all(v is not None and fits(v, "float") for v in value)
    if kind in {"str", "bool"}:
        return isinstance(value, str if kind == "str" else bool)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, int):
        return abs(value) < (_WHOLE if kind == "int" else _INTEGERS)
    return math.isfinite(value) and (kind == "float" or (value.is_integer() and abs(value) < 2e18))


def _mistyped(part: str, values: Mapping[str, Any], types: Mapping[str, Type]) -> Iterator[str]:
    for name, value in values.items():
        if name in types and not fits(value, types[name]):
            yield f"{part}.{name} must be {_WORDS[types[name]]}, not {_short(value)}"


def _wrong_path(record: Mapping[str, Any]) -> Iterator[str]:
    """Faults of the trajectory: lists of one length, which time goes through."""
    path = record["trajectory"]
    for name, values in path.items():
        kind = _PATH.get(name, "float")
        if not isinstance(values, list):
            yield f"trajectory.{name} must be a list, not {_short(values)}"
        else:
            needed = name in {"seconds", "solve"}
            wrong = [v for v in values if not fits(v, kind) or (needed and v is None)]
            yield from (
                f"trajectory.{name} must hold {_WORDS[kind]} everywhere, not {_short(v)}"
                for v in wrong
            )
    if len({len(values) for values in path.values() if isinstance(values, list)}) > 1:
        yield "the lists of its trajectory differ in length"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
