"""Results as JSON, out and in, and as cells of a notebook: one writer and one reader for all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

import numpy as np

from mipnet.errors import QueryError
from mipnet.search.card import card


class Record:
    """Base of the frozen dataclasses that answer questions.

    JSON holds every field, and infinite numbers as ``{"float": "inf"}``; what is read back has to
    fit the annotations of the fields.
    """

    #: Version of the JSON, and properties that are written for other readers.
    FORMAT: ClassVar[int] = 1
    DERIVED: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, fit for strict JSON."""
        derived = {name: encoded(getattr(self, name)) for name in self.DERIVED}
        whole: dict[str, Any] = encoded(self)
        return {"format": self.FORMAT, **whole, **derived}

    def to_json(self) -> str:
        """JSON text; infinite numbers become ``{"float": "inf"}``."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """Build the object from what :meth:`to_dict` returned.

        Raises
        ------
        QueryError
            When the data are no object of this class and format.
        """
        try:
            version = plain["format"]
            if version != cls.FORMAT:
                msg = f"format {version!r}, not {cls.FORMAT}"
                raise ValueError(msg)
            skipped = {"format", *cls.DERIVED}
            own = {name: value for name, value in plain.items() if name not in skipped}
            found: Self = decoded(cls, own)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"not a {cls.__name__}: {error}"
            raise QueryError(msg) from error
        return found

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        QueryError
            When the text is no object of this class and format.
        """
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            msg = f"not a {cls.__name__}: {error}"
            raise QueryError(msg) from error
        return cls.from_dict(plain)

    def _repr_html_(self) -> str:
        return card(self, {name: getattr(self, name) for name in self.DERIVED})


def encoded(value: Any) -> Any:
    """Plain data with infinite and NaN numbers in a form JSON allows."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: encoded(getattr(value, name)) for name in _annotations(type(value))}
    if isinstance(value, dict):
        return {str(key): encoded(v) for key, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return encoded(value.tolist())
    if isinstance(value, list | tuple):
        return [encoded(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}
    return value


def decoded(kind: Any, value: Any) -> Any:
    """Object of an annotated type from plain data.

    Raises
    ------
    TypeError, ValueError
        When the data do not fit the type.
    """
    if isinstance(value, dict) and set(value) == {"float"}:
        value = float(value["float"])
    origin, parts = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        [kind] = (part for part in parts if part is not NoneType)
        found = None if value is None and NoneType in parts else decoded(kind, value)
    elif is_dataclass(kind):
        found = _object(kind, value)
    elif origin is tuple:
        found = tuple(decoded(parts[0], v) for v in _checked(list, value))
    elif origin is np.ndarray:
        found = np.array([decoded(float, v) for v in _checked(list, value)], dtype=np.float64)
    elif origin is dict:
        found = {key: decoded(parts[1], v) for key, v in _checked(dict, value).items()}
    elif origin is Literal and value not in parts:
        msg = f"{value!r} is none of {', '.join(map(str, parts))}"
        raise ValueError(msg)
    elif origin is Literal or kind is Any:
        found = value
    else:
        found = float(_checked((int, float), value)) if kind is float else _checked(kind, value)
    return found


def _object(kind: Any, value: Any) -> Any:
    plain, hints = _checked(dict, value), _annotations(kind)

    def entries() -> Iterator[tuple[str, Any]]:
        for name, entry in plain.items():
            if name not in hints:
                msg = f"{kind.__name__} has no {name!r}"
                raise ValueError(msg)
            try:
                yield name, decoded(hints[name], entry)
            except (TypeError, ValueError, ArithmeticError) as error:
                msg = f"{name}: {error}"
                raise ValueError(msg) from error

    return kind(**dict(entries()))


def _checked(kind: Any, value: Any) -> Any:
    known = kind if isinstance(kind, tuple) else (kind,)
    # A bool is an int to Python.
    if type(value) not in known:
        msg = f"expected {' or '.join(k.__name__ for k in known)}, found {value!r:.40}"
        raise TypeError(msg)
    return value


@cache
def _annotations(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
