"""What a value of a plan must be, as type hints: conversion, and words for messages."""

from __future__ import annotations

import os
import reprlib
import types
from collections.abc import Iterable, Mapping
from datetime import date, time
from pathlib import Path
from types import GenericAlias
from typing import Any, Literal, Union, get_args, get_origin

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "true or false",
    dict: "a table without dates",
    Path: "the name of a file",
    Any: "a value other than a date",
}
#: What the values of a TOML document can be held against.
_PLAIN = frozenset(_WORDS)
#: Numbers of TOML have 64 bits; the standard parser takes more.
_LARGEST = 2**63


def convert(value: Any, hint: Any, folder: Path) -> Any:
    """Return a TOML value as the type a hint asks for.

    Parameters
    ----------
    value : object
    hint : type
        ``int``, ``float``, ``str``, ``bool``, ``dict``, ``Path`` (an existing file, whose name
        may hold ``$VARIABLES``), a literal, a union, ``tuple[x, ...]``.
    folder : Path
        Files are relative to it.

    Raises
    ------
    TypeError
        When it does not fit; the message follows the name of the key.
    """
    for option in _options(hint):
        if _fits(value, option):
            return _converted(value, option, folder)
    wanted = " or ".join(_words(option) for option in _options(hint))
    msg = f"must be {wanted}, not {reprlib.repr(value)}"
    raise TypeError(msg)


def list_of(hint: Any) -> Any:
    """Return what the entries of a list have to be; None where no list is welcome."""
    found = (get_args(option)[0] for option in _options(hint) if get_origin(option) is tuple)
    return next(found, None)


def plain(hint: Any) -> Any:
    """Return the part of a hint a TOML value can fulfil; None where there is none.

    ``object`` is taken for anything, sequences for lists.

    Examples
    --------
    >>> from collections.abc import Sequence
    >>> plain(str | Path | Sequence[int] | None)
    str | pathlib.Path | tuple[int, ...]
    >>> plain(types.ModuleType) is None
    True
    """
    found: Any = None
    for option in _options(hint):
        kept = _plain(option)
        if kept is Any:
            return Any
        if kept is not None:
            found = kept if found is None else found | kept
    return found


def _plain(option: Any) -> Any:
    if option is object:
        return Any
    if option in _PLAIN or get_origin(option) is Literal:
        return option
    origin = get_origin(option)
    if not isinstance(origin, type) or not issubclass(origin, Iterable):
        return None
    if issubclass(origin, Mapping):
        return dict
    inner = plain(get_args(option)[0])
    return None if inner is None else GenericAlias(tuple, (inner, ...))


def _options(hint: Any) -> tuple[Any, ...]:
    several = get_origin(hint) in {Union, types.UnionType}
    options = get_args(hint) if several else (hint,)
    return tuple(option for option in options if option is not types.NoneType)


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return not _dated(value)
    if get_origin(hint) is Literal:
        return any(value == word and type(value) is type(word) for word in get_args(hint))
    if get_origin(hint) is tuple:
        inner = _options(get_args(hint)[0])
        return isinstance(value, list) and all(any(_fits(v, i) for i in inner) for v in value)
    if hint in {float, int}:
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST
        return whole or (hint is float and isinstance(value, float))
    if hint is dict:
        return isinstance(value, dict) and not _dated(value)
    return isinstance(value, str if hint is Path else hint)


def _dated(value: Any) -> bool:
    """Whether a table holds dates or times, which options have no use for."""
    if isinstance(value, dict | list):
        return any(map(_dated, value.values() if isinstance(value, dict) else value))
    return isinstance(value, date | time)


def _converted(value: Any, hint: Any, folder: Path) -> Any:
    if get_origin(hint) is tuple:
        return tuple(convert(v, get_args(hint)[0], folder) for v in value)
    if hint is Path:
        path = folder / Path(os.path.expandvars(value)).expanduser()
        if not path.is_file():
            if path.is_dir():
                msg = f"{value!r} is a folder, not a file (looked at {path})"
                raise TypeError(msg)
            unset = "$" in str(path)
            remedy = "set the variable in its name" if unset else f"looked for {path}"
            msg = f"{value!r} does not exist ({remedy})"
            raise TypeError(msg)
        return path
    return float(value) if hint is float else value


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(repr(word) for word in get_args(hint))}"
    if get_origin(hint) is tuple:
        inner = " or ".join(_words(option) for option in _options(get_args(hint)[0]))
        return f"a list of which every entry is {inner}"
    return _WORDS.get(hint, str(hint))
