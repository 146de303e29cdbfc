"""Reading tables of a plan against types, collecting every fault with its line."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mipnet.bench.errors import Fault
from mipnet.bench.plan.lines import Path as KeyPath
from mipnet.bench.plan.types import convert, list_of
from mipnet.bench.registry import unknown_name

#: Stands for the default of a key that must be given.
REQUIRED: Any = object()
#: Says what is wrong with a value; empty when nothing is.
Check = Callable[[Any], str]


class Faults:
    """What is wrong with a document, gathered instead of raised.

    Parameters
    ----------
    lines : mapping
        Line of every key, from :func:`~mipnet.bench.plan.lines.line_numbers`.
    folder : Path
        Files of the plan are relative to it.

    Attributes
    ----------
    bare : set of str
        Networks that are declared, but faulty: what follows from that is not said again.
    broken : set of str
        The same for whole sections.
    """

    def __init__(self, lines: Mapping[KeyPath, int], folder: Path) -> None:
        self.lines = lines
        self.folder = folder
        self.found: list[Fault] = []
        self.bare: set[str] = set()
        self.broken: set[str] = set()

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
            self.broken.add(key)
            return []
        found = []
        for name, values in entries.items():
            if isinstance(values, dict):
                found.append(Table(self, (key, name), values, f"[{key}.{name}]"))
            else:
                self.add((key, name), f"[{key}] {name} must be a table: write [{key}.{name}]")
                self.broken.add(key)
        return found

    def rows(self, document: Mapping[str, Any], key: str) -> list[Table]:
        """Sections ``[[key]]``."""
        rows = document.get(key, [])
        if not isinstance(rows, list):
            self.add((key,), f"{key} must be a list of tables: write [[{key}]]")
            return []
        tables = []
        for i, row in enumerate(rows):
            if isinstance(row, dict):
                tables.append(Table(self, (key, i), row, f"[[{key}]]"))
            else:
                message = f"{key} must be a list of tables, not {reprlib.repr(row)}"
                self.add((key, i), f"{message}: write [[{key}]]")
        return tables


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
        self._missing: list[str] = []

    def fault(self, message: str, *key: str | int) -> None:
        """Note a fault of the table, or of one of its keys."""
        self.faults.add((*self.path, *key), f"{self.name}: {message}")

    def take(
        self,
        key: str,
        hint: Any,
        default: Any = REQUIRED,
        *,
        check: Check | None = None,
        each: Check | None = None,
        unique: bool = False,
    ) -> Any:
        """Value of a key, converted; the default when it is absent or wrong.

        Parameters
        ----------
        key : str
        hint : type
            What it must be, see :func:`~mipnet.bench.plan.types.convert`.
        default : object
            :data:`REQUIRED` makes absence a fault.
        check : callable, optional
            Says what is wrong with a value of the right type; empty when nothing is.
        each : callable, optional
            The same for every entry of a list.
        unique : bool
            Whether an entry may stand in a list only once.
        """
        usual = None if default is REQUIRED else default
        if not self._asked(key, default):
            return usual
        given = self.values[key]
        entry = list_of(hint)
        if isinstance(given, list) and entry is not None:
            # Entry by entry, so that each wrong one is told on its line.
            found = [self._converted(v, entry, each, key, i) for i, v in enumerate(given)]
            if not all(good for good, _ in found):
                return usual
            if unique:
                self._once(key, found)
        good, value = self._converted(given, hint, check, key)
        return value if good else usual

    def several(
        self, key: str, hint: Any, default: Any = REQUIRED, *, check: Check | None = None
    ) -> tuple[Any, ...]:
        """Values of a key that may hold one value or a list; wrong ones are left out."""
        if not self._asked(key, default):
            return () if default is REQUIRED else tuple(default)
        given = self.values[key]
        if not isinstance(given, list):
            good, value = self._converted(given, hint, check, key)
            return (value,) if good else ()
        if not given:
            self.fault(f"{key} is an empty list", key)
        found = [self._converted(value, hint, check, key, i) for i, value in enumerate(given)]
        return self._once(key, found)

    def table(self, key: str) -> Table | None:
        """Table below this one; None when absent or no table."""
        self._known.append(key)
        if key not in self.values:
            return None
        if not isinstance(self.values[key], dict):
            self.fault(f"{key} must be a table, not {reprlib.repr(self.values[key])}", key)
            return None
        return Table(self.faults, (*self.path, key), self.values[key], f"{self.name} {key}")

    def place(self, key: str, value: Any, hint: Any = Any) -> tuple[str | int, ...]:
        """Where a value stands: the key, and the position where it comes from a list."""
        given = self.values.get(key)
        for i, entry in enumerate(given if isinstance(given, list) else ()):
            with suppress(TypeError):
                if convert(entry, hint, self.faults.folder) == value:
                    return key, i
        return (key,)

    def meant(self, key: str) -> bool:
        """Whether a key is there, if misspelt; to be asked when all keys have been taken."""
        return key in self.values or key in self._misspelt()

    @property
    def line(self) -> int:
        """Where the table stands in the file."""
        return self.faults.lines.get(self.path, 0)

    @property
    def lacks(self) -> bool:
        """Whether a key that has to be given is missing."""
        return bool(self._missing)

    def close(self) -> None:
        """Every key not asked for is unknown; keys that are missing are told."""
        for key in self._left_over():
            self.fault(unknown_name("key", key, tuple(self._known)), key)
        misspelt = self._misspelt()
        for key in self._missing:
            if key not in misspelt:
                self.fault(f"{key!r} is missing")

    def _once(self, key: str, found: list[tuple[bool, Any]]) -> tuple[Any, ...]:
        """Good entries of a list, each once; what stands there twice is noted."""
        kept: list[Any] = []
        for i, (good, value) in enumerate(found):
            if good and value in kept:
                self.fault(f"{key} names {self.values[key][i]!r} twice", key, i)
            elif good:
                kept.append(value)
        return tuple(kept)

    def _asked(self, key: str, default: Any) -> bool:
        """Take note of a key; whether it is there."""
        self._known.append(key)
        if key not in self.values and default is REQUIRED:
            self._missing.append(key)
        return key in self.values

    def _converted(
        self, value: Any, hint: Any, check: Check | None, key: str, *place: int
    ) -> tuple[bool, Any]:
        """Whether a value is good, and the value converted; what is wrong is noted."""
        try:
            found = convert(value, hint, self.faults.folder)
            wrong = check(found) if check else ""
        except TypeError as error:
            found, wrong = None, str(error)
        if wrong:
            self.fault(f"{key} {wrong}", key, *place)
        return not wrong, found

    def _left_over(self) -> Iterator[str]:
        return (key for key in self.values if key not in self._known)

    def _misspelt(self) -> set[str]:
        """Keys that those left over were meant to be."""
        return {k for key in self._left_over() for k in get_close_matches(key, self._known, n=1)}
