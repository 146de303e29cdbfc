"""Lines of the keys of a TOML document, which the standard parser does not tell."""

from __future__ import annotations

#: Keys and list positions that lead to a value.
Path = tuple[str | int, ...]

_BLANK = " \t"
_SPACE = " \t\r\n"
_VALUE_ENDS = ",]}#\r\n"
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}
_HEX = {"x": 2, "u": 4, "U": 8}


def line_numbers(text: str) -> dict[Path, int]:
    r"""Line of every key, table and list element of a TOML document.

    Parameters
    ----------
    text : str
        A document :func:`tomllib.loads` accepts; anything else gives arbitrary lines.

    Returns
    -------
    dict of tuple to int
        Keys and list positions from the root, to the line (from 1) where the value's key, header
        or first character stands. The second entry of ``[[masks]]`` is ``("masks", 1)``.

    Examples
    --------
    >>> line_numbers("a = 1\n[[b]]\nc = [1,\n 2]")
    {('a',): 1, ('b',): 2, ('b', 0): 2, ('b', 0, 'c'): 3, ('b', 0, 'c', 0): 3, ('b', 0, 'c', 1): 4}
    """
    return _Scanner(text).document()


class _Scanner:
    """One pass over a document."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}

    @property
    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def peek(self, size: int = 1) -> str:
        return self.text[self.at : self.at + size]

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while True:
            self.skip(_SPACE, comments=True)
            if self.at >= len(self.text):
                return self.found
            if self.peek() == "[":
                table = self.header()
            else:
                self.pair(table)

    def skip(self, characters: str, *, comments: bool = False) -> None:
        while self.at < len(self.text):
            if self.peek() in characters:
                self.at += 1
            elif comments and self.peek() == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return

    def header(self) -> Path:
        double = self.peek(2) == "[["
        line = self.line
        self.at += 2 if double else 1
        keys = self.keys()
        self.skip(_BLANK)
        self.at += 2 if double else 1
        path = self.resolve(keys, line)
        if double:
            index = self.counts.get(path, 0)
            self.counts[path] = index + 1
            path = (*path, index)
        self.found.setdefault(path, line)
        return path

    def resolve(self, keys: list[str], line: int) -> Path:
        """Path of a header; an array of tables on the way means its latest table."""
        path: Path = ()
        for i, key in enumerate(keys):
            path = (*path, key)
            self.found.setdefault(path, line)
            if i < len(keys) - 1 and path in self.counts:
                path = (*path, self.counts[path] - 1)
        return path

    def keys(self) -> list[str]:
        parts = []
        while True:
            self.skip(_BLANK)
            parts.append(self.key())
            self.skip(_BLANK)
            if self.peek() != ".":
                return parts
            self.at += 1

    def key(self) -> str:
        if self.peek() in "\"'":
            return self.string()
        start = self.at
        while self.peek() and self.peek() not in " \t.=]\r\n":
            self.at += 1
        return self.text[start : self.at]

    def pair(self, table: Path) -> None:
        line = self.line
        path = table
        for key in self.keys():
            path = (*path, key)
            self.found.setdefault(path, line)
        self.at += 1  # the sign of equality
        self.skip(_BLANK)
        self.value(path)

    def value(self, path: Path) -> None:
        first = self.peek()
        if not first:
            return
        if first in "\"'":
            self.string()
        elif first == "[":
            self.array(path)
        elif first == "{":
            self.inline(path)
        else:
            while self.peek() and self.peek() not in _VALUE_ENDS:
                self.at += 1

    def array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while True:
            self.skip(_SPACE + ",", comments=True)
            if self.peek() in {"]", ""}:
                self.at += 1
                return
            self.found[(*path, index)] = self.line
            self.value((*path, index))
            index += 1

    def inline(self, path: Path) -> None:
        self.at += 1
        while True:
            self.skip(_SPACE + ",", comments=True)
            if self.peek() in {"}", ""}:
                self.at += 1
                return
            self.pair(path)

    def string(self) -> str:
        quote = self.peek()
        long = self.peek(3) == 3 * quote
        mark = 3 * quote if long else quote
        self.at += len(mark)
        start, parts = self.at, []
        while self.at < len(self.text):
            if self.peek(len(mark)) == mark:
                # Up to two quotes may stand right before the closing three.
                while long and self.text[self.at + 3 : self.at + 4] == quote:
                    self.at += 1
                break
            if quote == '"' and self.peek() == "\\":
                parts.append(self.text[start : self.at] + self.escape())
                start = self.at
            else:
                self.at += 1
        parts.append(self.text[start : self.at])
        self.at += len(mark)
        return "".join(parts)

    def escape(self) -> str:
        letter = self.text[self.at + 1 : self.at + 2]
        digits = _HEX.get(letter, 0)
        self.at += 2 + digits
        if digits:
            return chr(int(self.text[self.at - digits : self.at], 16))
        return _ESCAPES.get(letter, letter)
