"""Reading tables of a plan against types, collecting every fault with its line."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from mipnet.bench.errors import Fault
from mipnet.bench.plan.lines import Path as KeyPath
from mipnet.bench.registry import unknown_name

#: Stands for the default of a key that must be given.
REQUIRED: Any = object()

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "true or false",
    dict: "a table",
    Path: "the name of a file",
    Any: "a value",
}


class Faults:
    """What is wrong with a document, gathered instead of raised.

    Parameters
    ----------
    lines : mapping
        Line of every key, from :func:`~mipnet.bench.plan.lines.line_numbers`.
    folder : Path
        Files of the plan are relative to it.
    """

    def __init__(self, lines: Mapping[KeyPath, int], folder: Path) -> None:
        self.lines = lines
        self.folder = folder
        self.found: list[Fault] = []

    def add(self, path: KeyPath, message: str) -> None:
        """Note a fault at the nearest line known for a key."""
        while path and path not in self.lines:
            path = path[:-1]
        self.found.append(Fault(self.lines.get(path, 0), message))

    def table(self, document: Mapping[str, Any], key: str) -> Table:
        """Section ``[key]``, empty when absent."""
        values = document.get(key, {})
        if not isinstance(values, dict):
            self.add((key,), f"{key} must be a table: write [{key}]")
            values = {}
        return Table(self, (key,), values, f"[{key}]")

    def tables(self, document: Mapping[str, Any], key: str) -> list[Table]:
        """Sections ``[key.NAME]``."""
        entries = document.get(key, {})
        if not isinstance(entries, dict):
            self.add((key,), f"{key} must hold tables: write [{key}.NAME]")
            return []
        found = []
        for name, values in entries.items():
            if isinstance(values, dict):
                found.append(Table(self, (key, name), values, f"[{key}.{name}]"))
            else:
                self.add((key, name), f"[{key}] {name} must be a table: write [{key}.{name}]")
        return found

    def rows(self, document: Mapping[str, Any], key: str) -> list[Table]:
        """Sections ``[[key]]``."""
        rows = document.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.add((key,), f"{key} must be a list of tables: write [[{key}]]")
            return []
        return [Table(self, (key, i), row, f"[[{key}]]") for i, row in enumerate(rows)]


class Table:
    """One table of a plan; keys are taken one by one, those left over are unknown.

    Parameters
    ----------
    faults : Faults
    path : tuple
        Where the table stands.
    values : mapping
    name : str
        As the file writes it, for messages: ``[limits]``.
    """

    def __init__(self, faults: Faults, path: KeyPath, values: Mapping[str, Any], name: str) -> None:
        self.faults = faults
        self.path = path
        self.values = values
        self.name = name
        self._known: list[str] = []

    def fault(self, message: str, *key: str | int) -> None:
        """Note a fault of the table, or of one of its keys."""
        self.faults.add((*self.path, *key), f"{self.name}: {message}")

    def take(
        self,
        key: str,
        hint: Any,
        default: Any = REQUIRED,
        *,
        check: Callable[[Any], str] | None = None,
    ) -> Any:
        """Value of a key, converted; the default when it is absent or wrong.

        Parameters
        ----------
        key : str
        hint : type
            What it must be: ``int``, ``float``, ``str``, ``bool``, ``dict``, ``Path`` (an
            existing file, whose name may hold ``$VARIABLES``), a union, ``tuple[x, ...]``.
        default : object
            :data:`REQUIRED` makes absence a fault.
        check : callable, optional
            Says what is wrong with a value of the right type; empty when nothing is.
        """
        self._known.append(key)
        if key not in self.values:
            if default is REQUIRED:
                self.fault(f"{key!r} is missing")
            return None if default is REQUIRED else default
        try:
            value = convert(self.values[key], hint, self.faults.folder)
        except TypeError as error:
            self.fault(f"{key} {error}", key)
            return None if default is REQUIRED else default
        wrong = check(value) if check else ""
        if wrong:
            self.fault(f"{key} {wrong}", key)
            return None if default is REQUIRED else default
        return value

    def several(
        self,
        key: str,
        hint: Any,
        default: Any = REQUIRED,
        *,
        check: Callable[[Any], str] | None = None,
    ) -> tuple[Any, ...]:
        """Values of a key that may hold one value or a list; wrong ones are left out."""
        self._known.append(key)
        if key not in self.values:
            if default is REQUIRED:
                self.fault(f"{key!r} is missing")
                return ()
            return tuple(default)
        given = self.values[key]
        single = not isinstance(given, list)
        kept = []
        for i, entry in enumerate([given] if single else given):
            place = (key,) if single else (key, i)
            try:
                value = convert(entry, hint, self.faults.folder)
            except TypeError as error:
                self.fault(f"{key} {error}", *place)
                continue
            wrong = check(value) if check else ""
            if wrong:
                self.fault(f"{key} {wrong}", *place)
            else:
                kept.append(value)
        if not single and not given:
            self.fault(f"{key} is an empty list", key)
        return tuple(dict.fromkeys(kept)) if all(_hashable(v) for v in kept) else tuple(kept)

    def table(self, key: str) -> Table | None:
        """Table below this one; None when absent or no table."""
        self._known.append(key)
        if key not in self.values:
            return None
        if not isinstance(self.values[key], dict):
            self.fault(f"{key} must be a table, not {self.values[key]!r}", key)
            return None
        return Table(self.faults, (*self.path, key), self.values[key], f"{self.name} {key}")

    def close(self) -> None:
        """Every key not asked for is unknown."""
        for key in self.values:
            if key not in self._known:
                self.fault(unknown_name("key", key, tuple(self._known)), key)


def convert(value: Any, hint: Any, folder: Path) -> Any:
    """Return a TOML value as the type a hint asks for.

    Parameters
    ----------
    value : object
    hint : type
    folder : Path
        Files are relative to it.

    Raises
    ------
    TypeError
        When it does not fit; the message follows the name of the key.
    """
    options = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
    for option in options:
        if option is not types.NoneType and _fits(value, option):
            return _converted(value, option, folder)
    wanted = " or ".join(_words(o) for o in options if o is not types.NoneType)
    msg = f"must be {wanted}, not {value!r}"
    raise TypeError(msg)


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return isinstance(value, list) and all(_fits(v, inner) for v in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str if hint is Path else hint)


def _converted(value: Any, hint: Any, folder: Path) -> Any:
    if get_origin(hint) is tuple:
        return tuple(_converted(v, get_args(hint)[0], folder) for v in value)
    if hint is Path:
        path = folder / Path(os.path.expandvars(value)).expanduser()
        if not path.is_file():
            unset = "$" in str(path)
            hint = "set the variable in its name" if unset else f"looked for {path}"
            msg = f"{value!r} does not exist ({hint})"
            raise TypeError(msg)
        return path
    return float(value) if hint is float else value


def _words(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return "a list of which every entry is " + _words(get_args(hint)[0])
    return _WORDS.get(hint, str(hint))


def _hashable(value: Any) -> bool:
    return not isinstance(value, dict | list)
