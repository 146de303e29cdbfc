"""Named things that a plan may use, filed by a decorator: problem kinds, solvers, data sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Generic, TypeVar

from mipnet.errors import QueryError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Names and what stands behind them.

    Parameters
    ----------
    what : str
        What is filed here, for error messages: ``"problem kind"``.
    check : callable, optional
        Returns what is wrong with a new entry; it is refused at import, not at use.
    """

    def __init__(self, what: str, check: Callable[[T], list[str]] | None = None) -> None:
        self.what = what
        self._check = check
        self._entries: dict[str, T] = {}

    def file(self, name: str, entry: T) -> None:
        """File an entry.

        Raises
        ------
        TypeError
            When the name is taken or the entry lacks a part.
        """
        faults = self._check(entry) if self._check else []
        if name in self._entries:
            faults.append("uses a taken name")
        if faults:
            msg = f"{self.what} {name!r} {'; '.join(faults)}"
            raise TypeError(msg)
        self._entries[name] = entry

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise QueryError(self.unknown(name))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def unknown(self, name: object) -> str:
        """Say that there is no such entry, and what there is."""
        return unknown_name(self.what, name, tuple(self))


def unknown_name(what: str, name: object, known: tuple[str, ...]) -> str:
    """Sentence about a name that does not exist, with the nearest one that does.

    Parameters
    ----------
    what : str
        Kind of thing: ``"key"``.
    name : object
    known : tuple of str
    """
    near = get_close_matches(str(name), known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown {what} {name!r}{hint}; known: {', '.join(known) or 'none'}"
