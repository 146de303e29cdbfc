"""The tables of a report by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mipnet.bench.errors import StoreError
from mipnet.bench.registry import unknown_name
from mipnet.bench.report.summary import (
    FIDELITY,
    NETWORK,
    PROGRAM,
    PROGRESS,
    pareto,
    sizes,
    summary,
    unsettled,
)
from mipnet.bench.report.table import Table

if TYPE_CHECKING:
    import pandas as pd

#: Tables by name and caption.
TABLES = {
    "summary": "Series: times, scores and sizes",
    "pareto": "Fidelity, time and cycles",
    "sizes": "Sizes of networks and programs",
    "progress": "On the way to the answer",
    "open": "Cells without an answer",
    "cells": "Cells",
}
_SUMMARY = (
    *("series", "cells", "solved", "limits", "failed", "sgm", "par2", "par10", "contribution"),
    *("ratio", "ratio_low", "ratio_high", "p", "wins", "ties", "losses", *FIDELITY, "regret"),
    *("spread", "size_binaries", "cycles"),
)
_OPEN = (
    *("status", "series", "network", "problem", "instance", "seed", "reason", "total_s"),
    *("time_limit", "gap"),
)
_CELLS = (
    *("network", "problem", "instance", "seed", "series", "status", "total_s", "gap", "nodes"),
    *("size_binaries", "regret"),
)


def table(cells: pd.DataFrame, name: str, **options: Any) -> Table:
    """Table of a report.

    Parameters
    ----------
    cells : DataFrame
        With the columns of :func:`~mipnet.bench.report.grid.with_series`.
    name : str
        One of :data:`TABLES`.
    **options
        ``metric``, ``shift`` and ``baseline`` of the tables that have them.

    Raises
    ------
    StoreError
        When there is no such table.
    """
    if name not in TABLES:
        raise StoreError(unknown_name("table", name, tuple(TABLES)))
    caption = TABLES[name]
    if name == "summary":
        return Table.of(summary(cells, **options).reset_index(), _SUMMARY, caption)
    if name == "progress":
        frame = summary(cells, **options).reset_index()
        return Table.of(frame, ("series", "cells", *PROGRESS, "nodes"), caption)
    if name == "pareto":
        options.pop("baseline", None)
        frame = pareto(cells, **options)
        return Table.of(frame, ("network", "series", "fidelity", "seconds", "cycles"), caption)
    frames = {
        "sizes": (sizes, ("network", "series", *NETWORK[4:], *PROGRAM)),
        "open": (unsettled, _OPEN),
        "cells": (lambda frame: frame, _CELLS),
    }
    make, names = frames[name]
    return Table.of(make(cells), names, caption)
