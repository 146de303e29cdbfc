"""Tokens and nested lists of an SMT-LIB text, read without recursion.

VNN-LIB is a subset of SMT-LIB 2 (Barrett, Fontaine, Tinelli, The SMT-LIB Standard 2.6, chapter 3):
parenthesised lists of symbols and numbers, comments from ``;`` to the end of the line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from mipnet.errors import ReadError

#: White space matches nothing and is skipped; a lone ``"`` or ``|`` is one that never ends.
_TOKEN = re.compile(r'[()]|;[^\n]*|"[^"]*"|\|[^|]*\||["|]|[^\s()";|]+')


class VnnlibError(ReadError):
    """A property file is malformed.

    Attributes
    ----------
    line, column : int
        Where, counted from 1.
    """

    def __init__(self, source: str, line: int, column: int, message: str) -> None:
        self.line, self.column = line, column
        super().__init__(f"{source}:{line}:{column}: {message}")


# Not frozen: there are millions of these, and freezing triples the time to make one.
@dataclass(slots=True, eq=False)
class Token:
    """A symbol or number, and its offset in the text."""

    text: str
    at: int


@dataclass(slots=True, eq=False)
class Group:
    """A parenthesised list, and the offset of its parenthesis."""

    items: list[Token | Group]
    at: int

    @property
    def head(self) -> str:
        """First symbol; empty when there is none."""
        first = self.items[0] if self.items else None
        return first.text if isinstance(first, Token) else ""


Expression = Token | Group


@dataclass(frozen=True)
class Text:
    """The text of a property.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    text : str
    """

    name: str
    text: str

    @cached_property
    def _ends(self) -> list[int]:
        return [match.start() for match in re.finditer("\n", self.text)]

    def line(self, at: int) -> int:
        """Line of an offset, from 1."""
        return bisect_right(self._ends, at - 1) + 1

    def error(self, at: int, message: str) -> VnnlibError:
        """Error at an offset."""
        line = self.line(at)
        begin = self._ends[line - 2] + 1 if line > 1 else 0
        return VnnlibError(self.name, line, at - begin + 1, message)

    def commands(self) -> Iterator[Group]:
        """Top-level lists, one after the other.

        Raises
        ------
        VnnlibError
            When parentheses, strings or quoted symbols do not match.
        """
        open_groups: list[Group] = []
        for match in _TOKEN.finditer(self.text):
            token, at = match.group(), match.start()
            first = token[0]
            if first == "(":
                open_groups.append(Group([], at))
            elif first == ")":
                if not open_groups:
                    raise self.error(at, "')' without '('")
                done = open_groups.pop()
                if open_groups:
                    open_groups[-1].items.append(done)
                else:
                    yield done
            elif token in {'"', "|"}:
                raise self.error(at, f"{token} is never closed")
            elif first != ";":
                if not open_groups:
                    raise self.error(at, f"expected '(', found {shown(token)}")
                open_groups[-1].items.append(Token(token, at))
        if open_groups:
            raise self.error(open_groups[0].at, "'(' is never closed")


def shown(text: str) -> str:
    """Text of a token, short enough for a message."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
