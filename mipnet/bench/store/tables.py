"""Parquet tables: written whole, read back as DataFrames, brought up to date when they are old."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mipnet.bench.errors import StoreError
from mipnet.bench.problems.base import SOLVED
from mipnet.bench.store.collect import Collection, gather
from mipnet.bench.store.demo_tables import is_demo, read_demo
from mipnet.bench.store.files import write_bytes
from mipnet.bench.store.folder import PLAN, SOURCE, read_plan
from mipnet.bench.store.schema import SCHEMA, TABLES, Column
from mipnet.bench.tasks import FOLDERS
from mipnet.errors import MissingPackageError

if TYPE_CHECKING:
    import pandas as pd

#: Key of the metadata of a table.
METADATA = b"mipnet.bench"
#: Those of pyarrow are also one of these.
_ARROW_ERRORS = (OSError, ValueError, TypeError, KeyError, NotImplementedError, OverflowError)


@dataclass(frozen=True, eq=False)
class Results:
    """Tables of one plan.

    Attributes
    ----------
    cells : DataFrame
        One row for each cell; columns as in :data:`~mipnet.bench.store.schema.CELLS`.
    trajectories : DataFrame
        Incumbent and bound over time, by cell and solve.
    artefacts : DataFrame
        Networks and masks.
    hardware : DataFrame
        Masks on systolic arrays.
    plan : dict
        Resolved plan; empty where only tables were found.
    missing : int
        Cells of the plan that are not done.
    notes : tuple of str
        What was left out or set aside, and what cells disagree about.
    schema : int
        Version the tables had before they were brought up to date.
    """

    cells: pd.DataFrame
    trajectories: pd.DataFrame
    artefacts: pd.DataFrame
    hardware: pd.DataFrame
    plan: Mapping[str, Any] = field(default_factory=dict)
    missing: int = 0
    notes: tuple[str, ...] = ()
    schema: int = SCHEMA


def collect(folders: Sequence[Path | str], output: Path | str | None = None) -> Results:
    """Make the tables of one or several results folders.

    Parameters
    ----------
    folders : sequence of path
        Several are shards of one plan that were run apart.
    output : path, optional
        Folder of the tables ``cells.parquet``, ``trajectories.parquet``, ``artefacts.parquet``
        and ``hardware.parquet``; the only folder when absent.

    Returns
    -------
    Results

    Raises
    ------
    StoreError
        When a folder holds no results, or the folders belong to different plans; without output
        for several.
    MissingPackageError
        Without pandas and pyarrow.
    """
    places = [Path(folder) for folder in folders]
    if output is None and len(places) != 1:
        msg = "say where the tables of several folders go"
        raise StoreError(msg)
    found = gather(places)
    target = places[0] if output is None else Path(output)
    stamp = _stamp(target) if output is None or target in places else ""
    frames = {}
    for name, columns in TABLES.items():
        metadata = {
            "schema": SCHEMA,
            "table": name,
            "stamp": stamp,
            "plan": found.plan,
            "missing": found.missing,
            "notes": found.notes,
        }
        table = _arrow(found.tables[name], columns, metadata)
        write_bytes(target / f"{name}.parquet", _parquet(table))
        frames[name] = _frame(table)
    return _results(found, frames)


def load(folder: Path | str) -> Results:
    """Read results as DataFrames; nothing on the disk is changed.

    Parameters
    ----------
    folder : path
        A results folder (finished or not: what is there is read), a folder of collected tables,
        or what ``mipnet demo`` wrote.

    Returns
    -------
    Results
        Tables of older schema versions are brought up to date: columns they lack are missing
        values.

    Raises
    ------
    StoreError
        When it holds none of these, or tables of a newer release.
    MissingPackageError
        Without pandas and pyarrow.
    """
    place = Path(folder)
    tables = place / "cells.parquet"
    if os.path.lexists(place / PLAN) or ((place / SOURCE).exists() and not tables.exists()):
        read_plan(place)
        notes = []
        try:
            if tables.exists() and _metadata(tables).get("stamp") == _stamp(place):
                return _read_tables(place)
        except StoreError as error:
            # What the tables were made of is here.
            notes.append(f"left out: {error}")
        found = gather([place], move=False)
        found.notes[:0] = notes
        frames = {n: _frame(_arrow(found.tables[n], c, {})) for n, c in TABLES.items()}
        return _results(found, frames)
    if tables.exists():
        return _read_tables(place)
    if is_demo(place):
        old = read_demo(place)
        frames = {
            name: _frame(_arrow(old.get(name, []), columns, {})) for name, columns in TABLES.items()
        }
        return _bundle(frames, plan={"name": "demo"}, schema=1)
    if any((place / name).is_dir() for name in FOLDERS.values()):
        # Says how a lost plan is made anew.
        read_plan(place)
    msg = f"{place} holds no results of mipnet bench: neither {PLAN} nor cells.parquet"
    raise StoreError(msg)


def _results(found: Collection, frames: Mapping[str, pd.DataFrame]) -> Results:
    return _bundle(frames, plan=found.plan, missing=found.missing, notes=tuple(found.notes))


def _bundle(frames: Mapping[str, pd.DataFrame], **others: Any) -> Results:
    return Results(
        cells=frames["cells"],
        trajectories=frames["trajectories"],
        artefacts=frames["artefacts"],
        hardware=frames["hardware"],
        **others,
    )


def _read_tables(folder: Path) -> Results:
    """Tables of a folder, brought up to date."""
    _, parquet = _pyarrow()
    frames, about = {}, _metadata(folder / "cells.parquet")
    version = about.get("schema", 0)
    if version > SCHEMA:
        msg = (
            f"{folder}: the tables have schema version {version}, this release reads up to "
            f"{SCHEMA}; install a newer mipnet"
        )
        raise StoreError(msg)
    for name, columns in TABLES.items():
        path = folder / f"{name}.parquet"
        if not path.exists():
            frames[name] = _frame(_arrow([], columns, {}))
            continue
        try:
            frames[name] = _frame(_complete(parquet.read_table(path), columns))
        except _ARROW_ERRORS as error:
            raise StoreError(_unreadable(path, error)) from error
    cells = frames["cells"]
    answered = cells["status"].isin(SOLVED).astype(cells["solved"].dtype)
    frames["cells"] = cells.assign(solved=cells["solved"].fillna(answered))
    return _bundle(
        frames,
        plan=about.get("plan", {}),
        missing=about.get("missing", 0),
        notes=tuple(about.get("notes", ())),
        schema=version,
    )


def _metadata(path: Path) -> dict[str, Any]:
    _, parquet = _pyarrow()
    try:
        found = parquet.read_schema(path).metadata or {}
        about = json.loads(found.get(METADATA, b"{}"))
    except (*_ARROW_ERRORS, RecursionError) as error:
        raise StoreError(_unreadable(path, error)) from error
    if not isinstance(about, dict) or "schema" not in about:
        msg = f"{path} was not written by mipnet bench: it names no schema version"
        raise StoreError(msg)
    wanted = {"schema": int, "stamp": str, "plan": dict, "missing": int, "notes": list}
    for name, kind in wanted.items():
        if name in about and not isinstance(about[name], kind):
            raise StoreError(_unreadable(path, f"its {name} is no {kind.__name__}"))
    return about


def _unreadable(path: Path, why: object) -> str:
    return f"{path} is no readable table ({why}); collect the results again"


def _arrow(rows: list[dict[str, Any]], columns: Sequence[Column], metadata: Any) -> Any:
    """Table with exactly these columns, and those only some hardware models know."""
    arrow, _ = _pyarrow()
    types = _types(arrow)
    arrays = []
    for column in columns:
        values = [row.get(column.name) for row in rows]
        if column.type == "int":
            values = [None if v is None else int(v) for v in values]
        arrays.append(arrow.array(values, type=types[column.type], from_pandas=True))
    names = [column.name for column in columns]
    fields = [arrow.field(c.name, types[c.type]) for c in columns]
    if names and names[-1] == "array_options":
        for extra in sorted({k for row in rows for k in row} - set(names)):
            values = [row.get(extra) for row in rows]
            if all(v is None or isinstance(v, int | float) for v in values):
                arrays.append(arrow.array(values, type=arrow.float64(), from_pandas=True))
                fields.append(arrow.field(extra, arrow.float64()))
    about = {METADATA: json.dumps(metadata).encode()} if metadata else None
    return arrow.Table.from_arrays(arrays, schema=arrow.schema(fields, metadata=about))


def _complete(table: Any, columns: Sequence[Column]) -> Any:
    """Add the columns a table of an older release lacks, with missing values.

    Columns of another type are converted where no value changes, else refused.
    """
    arrow, _ = _pyarrow()
    types = _types(arrow)
    for column in columns:
        kind, at = types[column.type], table.schema.get_field_index(column.name)
        if at < 0:
            table = table.append_column(column.name, arrow.nulls(table.num_rows, kind))
            continue
        stored = table.schema.field(at).type
        if stored != kind:
            inner = stored.value_type if arrow.types.is_dictionary(stored) else stored
            if column.type == "str" and str(inner) not in {"string", "large_string", "null"}:
                # A number would become text without a word.
                msg = f"column {column.name!r} holds {stored}"
                raise TypeError(msg)
            table = table.set_column(at, column.name, table.column(at).cast(kind))
    known = [column.name for column in columns]
    extra = [name for name in table.column_names if name not in known]
    for name in extra:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table.column(at).cast(arrow.float64()))
    return table.select([*known, *extra])


def _types(arrow: Any) -> dict[str, Any]:
    return {
        "str": arrow.string(),
        "int": arrow.int64(),
        "float": arrow.float64(),
        "bool": arrow.bool_(),
        "floats": arrow.list_(arrow.float64()),
    }


def _frame(table: Any) -> pd.DataFrame:
    """DataFrame in which whole numbers and flags may be missing."""
    import pandas as pd

    arrow, _ = _pyarrow()
    own = {arrow.int64(): pd.Int64Dtype(), arrow.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=own.get)
    return frame


def _parquet(table: Any) -> bytes:
    _, parquet = _pyarrow()
    stream = io.BytesIO()
    parquet.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def _stamp(folder: Path) -> str:
    """Return what changes with every record that is written or taken away."""
    count = newest = 0
    for name in ("artefacts", "costs", "cells"):
        if (folder / name).is_dir():
            with os.scandir(folder / name) as entries:
                for entry in entries:
                    if entry.name.endswith(".json") and not entry.name.startswith("."):
                        count += 1
                        # A link may lead nowhere.
                        dangling = entry.is_symlink() and not Path(entry.path).exists()
                        at = entry.stat(follow_symlinks=not dangling).st_mtime_ns
                        newest = max(newest, at)
    plan = folder / PLAN
    return f"{count} {newest} {plan.stat().st_mtime_ns if plan.exists() else 0}"


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pandas as pd
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        package = "pandas" if "pandas" in str(error) else "pyarrow"
        raise MissingPackageError(package, "tables of results", "bench") from error
    del pd
    return pa, parquet
