"""The energy tables of one result: the one asked for, those compared with, and one more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from mipnet.hardware.energy import EnergyTable, energy_table, energy_tables, pricing

TableLike = str | os.PathLike[str] | EnergyTable
#: Tables that rankings are repeated under: the first that is not there yet and knows the precision.
SECOND_TABLES = ("relative_eyeriss", "horowitz45", "relative_maestro")


def compared(
    first: TableLike, more: TableLike | Sequence[TableLike], precision: str
) -> tuple[EnergyTable, ...]:
    """Tables under names of their own, the first one first; at least two know the precision.

    Parameters
    ----------
    first : str, path or EnergyTable
    more : table or sequence of tables
        Equal tables are one. Those of one name are told apart as ``name (file)``.
    precision : str

    Raises
    ------
    ReadError
        When a table cannot be read.
    """
    listed = (more,) if isinstance(more, str | os.PathLike | EnergyTable) else more
    tables: list[EnergyTable] = []
    for table in map(energy_table, (first, *listed)):
        if table not in tables:
            tables.append(table)
    for other in map(energy_table, SECOND_TABLES):
        named = any(table.name == other.name for table in tables)
        enough = sum(table.prices(precision) for table in tables) > 1
        if not named and not enough and other.prices(precision):
            tables.append(other)
    return _named_apart(tables)


def _named_apart(tables: Sequence[EnergyTable]) -> tuple[EnergyTable, ...]:
    names = [table.name for table in tables]
    used = {name for name in names if names.count(name) == 1}
    found = []
    for table in tables:
        if names.count(table.name) > 1:
            label = next(label for label in _labels(table) if label not in used)
            used.add(label)
            found.append(replace(table, name=label))
        else:
            found.append(table)
    return tuple(found)


def _labels(table: EnergyTable) -> Iterator[str]:
    if table.path is None:
        yield table.name
    else:
        yield f"{table.name} ({Path(table.path).name})"
        yield f"{table.name} ({table.path})"
    yield from (f"{table.name} ({i})" for i in count(2))


def table_notes(tables: Sequence[EnergyTable], precision: str) -> list[str]:
    """Say which tables know no MAC of the precision, and which are not those they are named as."""
    notes = []
    for table in tables:
        if not table.prices(precision):
            notes.append(
                f"energy table {table.name!r} has no MAC of precision {precision!r}: no energy "
                f"and no ranking under it; {', '.join(pricing(precision)) or 'no shipped table'} "
                "can price it"
            )
        if table.path is not None and table.name in energy_tables():
            notes.append(
                f"energy table {table.name!r} is the file {table.path}, not the shipped table"
            )
    return notes
