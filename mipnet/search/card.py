"""Results in a notebook: a frame, a status, facts and a table, all text escaped.

Colours of text and background are those of the notebook, so that dark and light ones can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any

import numpy as np

from mipnet.clocks import Clocks

#: Rows of a table, and characters of an entry, that are shown.
_ROWS, _CHARACTERS = 12, 80
#: Colours of a status that can be told from white and from black.
_COLOURS = {
    "#1a9850": {"robust", "unsat", "optimal", "complete", "none", "excluded"},
    "#e0433a": {"witness", "sat", "misclassified"},
}
_OPEN = "#c77d00"
_FRAME = "border:1px solid rgba(128,128,128,.4);border-radius:4px;padding:.5em .8em;"
_CELL = "padding:.1em .8em .1em 0;text-align:left;vertical-align:top;"


def card(record: Any, derived: Mapping[str, Any]) -> str:
    """HTML of a result.

    Parameters
    ----------
    record : dataclass
        Its ``status`` becomes the heading, other fields a list, and its tuples of dataclasses
        tables.
    derived : mapping of str to object
        Shown like fields.
    """
    values = {f.name: getattr(record, f.name) for f in fields(record)} | dict(derived)
    status = values.pop("status", None)
    name = escape(type(record).__name__)
    parts = [f'<div style="{_FRAME}display:inline-block;max-width:100%;overflow-x:auto">']
    parts.append(f"<div><strong>{name}</strong> {_status(status)}</div>")
    facts = [(name, text) for name, value in values.items() if (text := _text(value))]
    parts += _table((), facts)
    for name, value in values.items():
        if _is_table(value):
            shown = value[:_ROWS]
            head = [f.name for f in fields(value[0]) if not _any_nested(shown, f.name)]
            rows = [[_cell(getattr(entry, column)) for column in head] for entry in shown]
            parts.append(f'<div style="margin-top:.5em"><em>{escape(name)}</em></div>')
            parts += _table(head, rows)
            if len(value) > _ROWS:
                parts.append(f"<div>and {len(value) - _ROWS} more</div>")
    return "".join([*parts, "</div>"])


def _status(status: Any) -> str:
    if status is None:
        return ""
    colour = next((c for c, names in _COLOURS.items() if status in names), _OPEN)
    return f'<strong style="color:{colour}">{escape(str(status))}</strong>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield '<table style="border:none;margin:.3em 0;background:transparent">'
    if head:
        yield _row("th", head)
    yield from (_row("td", row) for row in rows)
    yield "</table>"


def _row(tag: str, cells: Sequence[str]) -> str:
    inside = "".join(f'<{tag} style="{_CELL}">{escape(cell)}</{tag}>' for cell in cells)
    return f'<tr style="background:transparent">{inside}</tr>'


def _is_table(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and is_dataclass(value[0])


def _any_nested(entries: Sequence[Any], name: str) -> bool:
    """Whether a column holds objects, which have no short text."""
    return any(is_dataclass(getattr(entry, name)) for entry in entries)


def _cell(value: Any) -> str:
    return str(len(value)) if _is_table(value) else _text(value)


def _text(value: Any) -> str:
    """Short text of a value; empty for what is absent, and for tables."""
    if value is None or (isinstance(value, tuple | str | dict) and not value) or _is_table(value):
        return ""
    if isinstance(value, Clocks):
        value = {name: seconds for name, seconds in vars(value).items() if seconds}
    if isinstance(value, Mapping):
        text = ", ".join(f"{name} {_text(v)}" for name, v in value.items())
    elif isinstance(value, np.ndarray):
        start = ", ".join(f"{v:.6g}" for v in value.reshape(-1)[:4].tolist())
        text = f"[{start}{', ...' if value.size > 4 else ''}] ({value.size} values)"
    else:
        text = f"{value:.6g}" if isinstance(value, float) else str(value).split("\n", 1)[0]
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 3] + "..."
