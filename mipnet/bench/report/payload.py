"""The data of a report as compact JSON: text once, numbers to six digits, constants once."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mipnet.bench.report.grid import ITEM, series_order
from mipnet.bench.store.schema import CELLS

if TYPE_CHECKING:
    import pandas as pd

#: Columns that stay in the tables: too large, or of no use to a reader.
LEFT_OUT = frozenset({"point", "pair", "subject", "question", "plan"})
#: Groups given up, one after the other, when a report would grow above its limit.
SPARE = ("provenance", "network", "clocks", "size")
#: Of those, what figures and tables need.
NEEDED = frozenset(
    (
        *("artefact", "accuracy", "agreement", "r2", "units", "parameters", "nonzeros"),
        *("total_s", "attack_s", "bound_s", "build_s", "solve_s", "check_s", "cpu_s"),
        *("prune_s", "compact_s", "finetune_s", "size_unstable", "size_binaries", "size_rows"),
        *("size_nonzeros", "m_min", "m_median", "m_max"),
    )
)
#: Colours of the style sheet beside the one of unpruned networks (0) and of controls (9).
COLOURS = range(1, 9)
CONTROL = 9


def columns_of(
    cells: pd.DataFrame, series: tuple[str, ...], spare: int = 0
) -> dict[str, dict[str, Any]]:
    """Columns of the cells, packed.

    Parameters
    ----------
    cells : DataFrame
        With the columns of :func:`~mipnet.bench.report.grid.with_series`.
    series : tuple of str
    spare : int
        How many groups of :data:`SPARE` are left out, but for what is needed.
    """
    given_up = set(SPARE[:spare])
    numbers = {name: k for k, name in enumerate(series)}
    found: dict[str, dict[str, Any]] = {
        "series": {"v": cells["series"].map(numbers).tolist()},
        "item": {"v": cells["item"].tolist()},
    }
    for column in CELLS:
        if column.name in LEFT_OUT or (column.group in given_up and column.name not in NEEDED):
            continue
        packed = _packed(cells[column.name], column.type)
        if packed is not None:
            found[column.name] = packed
    return found


def _packed(column: Any, kind: str) -> dict[str, Any] | None:
    """Return ``{"c": value}``, ``{"d": texts, "v": codes}``, ``{"v": numbers}``, or None."""
    if column.isna().all():
        return None
    values: list[Any]
    if kind == "float":
        values = [_short(v) for v in column.to_numpy(dtype=np.float64, na_value=np.nan).tolist()]
    else:
        values = list(column.astype(object).where(column.notna(), None))
    first = values[0]
    if all(value == first for value in values):
        return {"c": first}
    if kind != "str":
        return {"v": values}
    codes: dict[str, int] = {}
    numbers = [-1 if v is None else codes.setdefault(v, len(codes)) for v in values]
    return {"d": list(codes), "v": numbers}


def _short(value: float) -> float | None:
    """Six significant digits; nothing for what JSON has no number for."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.6g}")
    return int(short) if short == int(short) and abs(short) < 1e15 else short


def items_of(cells: pd.DataFrame) -> list[list[Any]]:
    """Network, problem, instance and seed of every item, by its number."""
    first = cells.drop_duplicates("item").sort_values("item")
    found: list[list[Any]] = [[] for _ in range(int(first["item"].max()) + 1)]
    parts = first[list(ITEM)].astype(object).where(first[list(ITEM)].notna(), None)
    for number, row in zip(
        first["item"].tolist(), parts.itertuples(index=False, name=None), strict=True
    ):
        found[number] = list(row)
    return found


def series_of(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Name, colour and dash of every series: a colour for a method, a dash for its budget."""
    controls = {"random"}
    colours: dict[str, int] = {}
    dashes: dict[int, int] = {}
    first = cells.drop_duplicates("series").set_index("series")
    several = first["method"].nunique() > 1
    found = []
    for name in series_order(cells):
        method = str(first.loc[name, "method"])
        dense = method == "dense"
        # Where only one method takes part, colours tell what else varies.
        group = method if several else name
        if dense and several:
            colour = 0
        elif method in controls and several:
            colour = CONTROL
        else:
            colour = colours.setdefault(group, COLOURS[len(colours) % len(COLOURS)])
        dash = dashes.get(colour, 0)
        dashes[colour] = dash + 1
        found.append({"name": name, "colour": colour, "dash": dash, "dense": dense})
    return found


def embedded(value: Any) -> str:
    """JSON for a script element: no character of it can end the element or start another."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
