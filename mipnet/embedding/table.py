"""Rows of inputs: one for each copy of a network, with columns by place or by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyomo.core.base.indexed_component import IndexedComponent
from pyomo.core.base.indexed_component_slice import IndexedComponent_slice

from mipnet.embedding.inputs import flatten, is_pandas
from mipnet.errors import EmbeddingError

#: Types that stand for a missing value.
_EMPTY = {"NoneType", "NAType", "NaTType"}
#: Names listed in a message.
_LISTED = 5


@dataclass(frozen=True, eq=False)
class Table:
    """Inputs of several copies of a network.

    Attributes
    ----------
    labels : list
        One for each row; all different.
    rows : list
        Inputs of each copy.
    """

    labels: list[Any]
    rows: list[Any]


def names_of(network: Any, columns: Sequence[Any] | None) -> list[Any] | None:
    """Names of the inputs: those given, or those a fitted scikit-learn estimator remembers."""
    if columns is not None:
        return list(columns)
    known = getattr(network, "feature_names_in_", None)
    return None if known is None else list(known)


def read(inputs: Any, shape: tuple[int, ...], names: list[Any] | None) -> Table | Any:
    """Tell one set of inputs from many, and put columns in the order of their names.

    Many are: a DataFrame; an array, list or indexed component with one axis more than an input of
    the network, or with the flattened input on its second axis.

    Parameters
    ----------
    inputs : anything :class:`mipnet.NetworkBlock` takes, or many of them
    shape : tuple of int
        Of one input.
    names : list, optional
        Names of the flattened input. DataFrames, Series, mappings and components indexed by them
        are put in their order.

    Returns
    -------
    Table, or the inputs of one copy

    Raises
    ------
    EmbeddingError
        When a column is missing or unknown, a cell is empty, or a label occurs twice.
    """
    size = math.prod(shape)
    if names is not None and len(names) != size:
        msg = f"{len(names)} names of columns for {size} inputs of the network"
        raise EmbeddingError(msg)
    if is_pandas(inputs) and inputs.ndim == 2:
        return _of_frame(inputs, names)
    depth = _depth(inputs)
    count = sum(1 for _ in flatten(inputs)) if depth > 1 else 0
    many = depth == len(shape) + 1 or (depth == 2 and count > size and count % size == 0)
    if depth < 2 or not many:
        return _by_name(inputs, names)
    if isinstance(inputs, IndexedComponent):
        return _of_component(inputs, names)
    rows = [_by_name(row, names) for row in inputs]
    return Table(list(range(len(rows))), rows)


def _depth(inputs: Any) -> int:
    """Count the axes."""
    if isinstance(inputs, np.ndarray):
        return inputs.ndim
    if isinstance(inputs, IndexedComponent):
        return int(inputs.dim()) if inputs.is_indexed() else 0
    if isinstance(inputs, list | tuple):
        return 1 + (_depth(inputs[0]) if inputs else 0)
    listed = isinstance(inputs, Mapping | IndexedComponent_slice) or is_pandas(inputs)
    return 1 if listed else 0


def _of_frame(frame: Any, names: list[Any] | None) -> Table:
    labels = frame.index.tolist()
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        msg = f"the row label {twice!r} occurs more than once; reset_index() gives each its own"
        raise EmbeddingError(msg)
    columns = frame.columns.tolist()
    place = _places(columns, names)
    cells = frame.to_numpy(dtype=object)[:, place]
    for row, label in enumerate(labels):
        for at, cell in zip(place, cells[row], strict=True):
            if _empty(cell):
                msg = f"row {label!r}, column {columns[at]!r} is empty; give a number, a variable "
                raise EmbeddingError(msg + "or an expression")
    return Table(labels, [list(row) for row in cells])


def _empty(cell: Any) -> bool:
    """Whether a cell holds no value: None, NaN, or one of the marks of pandas for them."""
    return type(cell).__name__ in _EMPTY or (isinstance(cell, float) and math.isnan(cell))


def _of_component(component: Any, names: list[Any] | None) -> Table:
    """Rows by the first part of the index."""
    groups: dict[Any, dict[Any, Any]] = {}
    for index, member in component.items():
        key = index[1] if len(index) == 2 else index[1:]
        groups.setdefault(index[0], {})[key] = member
    return Table(list(groups), [_by_name(row, names, loose=True) for row in groups.values()])


def _by_name(inputs: Any, names: list[Any] | None, *, loose: bool = False) -> Any:
    """Put the inputs of one copy in the order of the names, where they are named at all."""
    if is_pandas(inputs):
        inputs = dict(zip(inputs.index.tolist(), inputs.tolist(), strict=True))
    elif isinstance(inputs, IndexedComponent) and inputs.is_indexed() and names is not None:
        if set(inputs) != set(names):
            return inputs
        return [inputs[name] for name in names]
    if not isinstance(inputs, Mapping) or names is None:
        return list(inputs.values()) if loose else inputs
    if loose and set(inputs) != set(names):
        return list(inputs.values())
    keys = list(inputs)
    return [inputs[keys[at]] for at in _places(keys, names)]


def _places(columns: list[Any], names: list[Any] | None) -> list[int]:
    """Place of every name among the columns.

    Raises
    ------
    EmbeddingError
        When names are missing, occur twice, or are not those of the network.
    """
    if names is None:
        return list(range(len(columns)))
    missing = [name for name in names if name not in columns]
    others = [name for name in columns if name not in names]
    twice = [name for name in names if columns.count(name) > 1]
    for what, found in (("missing", missing), ("unknown", others), ("given twice", twice)):
        if found:
            listed = ", ".join(map(repr, found[:_LISTED]))
            more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
            msg = f"columns {what}: {listed}{more}; the network takes {names[:_LISTED]}"
            raise EmbeddingError(msg + ("..." if len(names) > _LISTED else ""))
    return [columns.index(name) for name in names]
