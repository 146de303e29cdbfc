"""A report: results, what is asked of them, and the forms it takes."""

from __future__ import annotations

import html
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mipnet import __version__
from mipnet.bench.comparison import Comparison, compare
from mipnet.bench.errors import StoreError
from mipnet.bench.problems.base import STATUSES
from mipnet.bench.registry import unknown_name
from mipnet.bench.report import comparison, page, tables
from mipnet.bench.report.grid import grid, series_order, with_series
from mipnet.bench.report.metrics import METRICS, written
from mipnet.bench.report.payload import SPARE, columns_of, embedded, items_of, series_of
from mipnet.bench.report.summary import baseline_of, fidelity_of
from mipnet.bench.report.table import Table
from mipnet.bench.store.files import timestamp, write_bytes
from mipnet.bench.store.schema import CELLS
from mipnet.bench.store.tables import Results, load

if TYPE_CHECKING:
    import pandas as pd

#: Bytes a page must not exceed.
MOST_BYTES = 8_000_000
#: Columns a part of the results may be chosen by.
CHOICES = (
    *("network", "problem", "instance", "kind", "method", "pruning", "keep", "mask_seed"),
    *("formulation", "bounds", "solver", "seed", "status"),
)


@dataclass(frozen=True, eq=False)
class Report:
    """Results as a page, tables and figures.

    Made by :func:`build_report`.

    Attributes
    ----------
    results : Results
        All of the run; ``cells`` of the report are the part asked for.
    source : str
        Folder, as commands name it.
    cells : DataFrame
        With the columns ``series`` and ``item``.
    title : str
    chosen : mapping of str to tuple of str
        Columns and the values that were asked for.
    before : Results or None
        Run this one is compared with.
    before_source : str
    """

    results: Results
    source: str
    cells: pd.DataFrame
    title: str
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    before: Results | None = None
    before_source: str = ""

    @cached_property
    def series(self) -> tuple[str, ...]:
        """Labels of the series in their order."""
        return series_order(self.cells)

    @cached_property
    def comparison(self) -> Comparison | None:
        """Both runs cell by cell, where there are two."""
        return None if self.before is None else compare(self.before, self.results)

    def without(self, hidden: Sequence[str]) -> Report:
        """Return the report without some series; everything is computed anew for the rest."""
        for name in hidden:
            if name not in self.series:
                raise StoreError(unknown_name("series", name, self.series))
        kept = self.cells[~self.cells["series"].isin(hidden)]
        if not len(kept):
            msg = "every series is hidden; show at least one"
            raise StoreError(msg)
        return replace(self, cells=kept)

    def table(self, name: str = "summary", **options: Any) -> Table:
        """One of the tables ``summary``, ``pareto``, ``sizes``, ``progress``, ``open``, ``cells``.

        Parameters
        ----------
        name : str
        **options
            ``metric``, ``shift``, ``baseline`` as for
            :func:`~mipnet.bench.report.summary.summary`.

        Raises
        ------
        StoreError
            When there is no such table, series or metric.
        """
        return tables.table(self.cells, name, **options)

    def figure(self, name: str = "pareto", **options: Any) -> Any:
        """One of the figures of the page, drawn by matplotlib.

        Parameters
        ----------
        name : {"pareto", "profile", "cactus", "clocks", "spread", "pairs"}
        **options
            As for :func:`~mipnet.bench.report.figures.figure`.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingPackageError
            Without matplotlib.
        """
        from mipnet.bench.report.figures import figure

        return figure(self.cells, name, **options)

    def html(self, place: Path | str | None = None) -> str:
        """Return the page; below :data:`MOST_BYTES`.

        Parameters
        ----------
        place : path, optional
            Folder it will lie in, from which links to logs lead; the results folder when absent.

        Raises
        ------
        StoreError
            When there are so many cells that they do not fit even without their details.
        """
        for spare in range(len(SPARE) + 1):
            text = self._html(spare, place)
            if len(text.encode()) < MOST_BYTES:
                return text
        msg = (
            f"{len(self.cells)} cells do not fit a page of {MOST_BYTES // 10**6} MB: report on a "
            "part of them, by --where"
        )
        raise StoreError(msg)

    def write(self, path: Path | str) -> Path:
        """Write the page, whole or not at all."""
        target = Path(path)
        if target.is_dir():
            msg = f"{target} is a folder; name a file for the report"
            raise StoreError(msg)
        write_bytes(target, self.html(target.parent).encode(), durable=False)
        return target

    def _repr_html_(self) -> str:
        head = f"<p><b>{html.escape(self.title)}</b></p>"
        return head + self.table().text("html")

    def _html(self, spare: int, place: Path | str | None) -> str:
        lines = list(self.results.notes)
        if spare:
            lines.append(
                f"{len(self.cells)} cells: columns of {', '.join(SPARE[:spare])} that no figure "
                "needs are left out of this page; the Parquet tables have them"
            )
        return page.page(
            {
                "title": self.title,
                "subtitle": self._subtitle(),
                "stamp": f"Written {timestamp()} by mipnet {__version__}.",
                "version": __version__,
                "facts": page.facts(self._facts()),
                "notes": page.notes(lines),
                "comparison": ""
                if self.comparison is None
                else comparison.section(self.comparison, self.before_source, self.source),
                "plan": self._plan(),
                "fallback": self.table().text("html"),
                "data": embedded(self._pack(spare) | {"logs": self._way_to_logs(place)}),
            }
        )

    def _pack(self, spare: int) -> dict[str, Any]:
        cells, results = self.cells, self.results
        columns = columns_of(cells, self.series, spare)
        return {
            "count": len(cells),
            "columns": columns,
            "series": series_of(cells),
            "baseline": self.series.index(baseline_of(cells, self.series)),
            "fidelity": fidelity_of(cells),
            "items": items_of(cells),
            "networks": _seen(cells["network"]),
            "problems": _seen(cells["problem"]),
            "statuses": list(STATUSES),
            "metrics": {m.name: [m.heading, m.kind, m.formula] for m in METRICS.values()},
            "schema": [[c.name, c.group, c.meaning] for c in CELLS if c.name in columns],
            "missing": 0 if self.chosen else results.missing,
            "folder": self.source,
            "records": bool(results.plan.get("tasks")),
            "command": self._flags(),
            "build": f"mipnet report build {' '.join(self._flags())} -o report.html",
        }

    def _way_to_logs(self, place: Path | str | None) -> str:
        if place is None or not Path(self.source).is_dir():
            return ""
        try:
            way = os.path.relpath(self.source, place)
        except ValueError:
            # Another drive.
            return ""
        return "".join(f"{quote(part)}/" for part in Path(way).parts)

    def _flags(self) -> list[str]:
        flags = [shlex.quote(self.source)]
        if self.before is not None:
            flags += ["--against", shlex.quote(self.before_source)]
        for name, values in self.chosen.items():
            flags += [p for v in values for p in ("--where", shlex.quote(f"{name}={v}"))]
        return flags

    def _subtitle(self) -> str:
        about = str(self.results.plan.get("description") or "")
        parts = [f"{k} {', '.join(v)}" for k, v in self.chosen.items()]
        if self.before is not None:
            parts.append(f"{self.source} beside {self.before_source}")
        return ". ".join(p for p in (about, "; ".join(parts)) if p)

    def _facts(self) -> list[tuple[str, str]]:
        cells = self.cells
        whole = grid(cells)
        solved = float(cells["solved"].mean())
        days = sorted({str(v)[:10] for v in cells["started"].dropna()})
        processors = _seen(cells["cpu"])
        found = [
            (written(len(cells), "count"), "cells"),
            (written(solved, "share"), "answered"),
            (str(len(whole.series)), "series"),
            (str(cells["network"].nunique()), "networks"),
            (str(cells["problem"].nunique()), "problems"),
            (_duration(float(cells["total_s"].sum())), "of searching"),
        ]
        if days:
            found.append((days[0] if len(days) == 1 else f"{days[0]} – {days[-1]}", "begun"))
        if len(processors) == 1:
            found.append((processors[0], "processor"))
        return found

    def _plan(self) -> str:
        plan = {k: v for k, v in self.results.plan.items() if k != "tasks"}
        text = json.dumps(plan, indent=2, ensure_ascii=False) if plan else ""
        own = Path(self.source) / "plan.toml"
        as_written = own.read_text(encoding="utf-8", errors="replace") if own.is_file() else ""
        return page.folded("The plan", as_written) + page.folded("The plan, resolved", text)


def build_report(
    results: Results | Path | str,
    *,
    where: Mapping[str, str | Sequence[str]] | None = None,
    against: Results | Path | str | None = None,
    title: str | None = None,
) -> Report:
    """Make a report of results, of a part of them, or of two runs side by side.

    Parameters
    ----------
    results : path or Results
        Folder of results, finished or not, or what :func:`mipnet.bench.load` returned.
    where : mapping, optional
        Column to value, or values, of the cells to keep: :data:`CHOICES`.
    against : path or Results, optional
        Another run; its series are drawn beside those of the first.
    title : str, optional
        Name of the plan when absent.

    Returns
    -------
    Report

    Raises
    ------
    StoreError
        When a folder holds no results, or no cell is left.
    MissingPackageError
        Without pandas and pyarrow.
    """
    import pandas as pd

    found = results if isinstance(results, Results) else load(results)
    source = _name_of(results, found)
    chosen = {k: (v,) if isinstance(v, str) else tuple(v) for k, v in (where or {}).items()}
    cells = chosen_cells(found.cells, chosen)
    before = against if isinstance(against, Results) or against is None else load(against)
    before_source = "" if before is None else _name_of(against, before)
    if before is not None:
        sides = _sides(before_source, source)
        both = [
            chosen_cells(before.cells, chosen).assign(side=sides[0]),
            cells.assign(side=sides[1]),
        ]
        cells = pd.concat(both, ignore_index=True)
    name = str(found.plan.get("name") or Path(source).name)
    return Report(
        results=found,
        source=source,
        cells=with_series(cells),
        title=title or (name if before is None else f"{name}, two runs"),
        chosen=chosen,
        before=before,
        before_source=before_source,
    )


def chosen_cells(cells: pd.DataFrame, where: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Cells whose columns have one of the values asked for.

    Raises
    ------
    StoreError
        When a column cannot be chosen by, a value does not occur, or nothing is left.
    """
    kept = cells
    for name, values in where.items():
        if name not in CHOICES:
            raise StoreError(unknown_name("column", name, CHOICES))
        texts = cells[name].map(_text, na_action="ignore").fillna("")
        known = tuple(sorted(set(texts)))
        for value in values:
            if value not in known:
                raise StoreError(unknown_name(name, value, known))
        kept = kept[texts.loc[kept.index].isin(values)]
    if not len(kept):
        msg = "no cell is left to report on: " + (
            "nothing fits all of " + ", ".join(f"{k}={'|'.join(v)}" for k, v in where.items())
            if where
            else "none is finished yet"
        )
        raise StoreError(msg)
    return kept


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _name_of(given: Any, results: Results) -> str:
    if isinstance(given, Path | str):
        return Path(given).as_posix()
    return f"results/{results.plan.get('name', 'NAME')}"


def _sides(first: str, second: str) -> tuple[str, str]:
    """Short names of two runs."""
    names = Path(first).name, Path(second).name
    return names if names[0] != names[1] else (first, second)


def _seen(column: pd.Series[Any]) -> list[str]:
    return [str(v) for v in column.dropna().unique()]


def _duration(seconds: float) -> str:
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g}\u2009{unit}"
    return f"{seconds:.3g}\u2009s"
