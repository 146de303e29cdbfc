"""A property: which input boxes, and which output clauses in each, count as a counterexample."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from mipnet.errors import ReadError, RegionError
from mipnet.network.layers.base import Array
from mipnet.region import Box
from mipnet.search.goal import Clause, Stack
from mipnet.search.vnnlib.exact import Range, nearest
from mipnet.search.vnnlib.formula import Comparison, Junction, Reader
from mipnet.search.vnnlib.normal import Normal, normalise
from mipnet.search.vnnlib.syntax import Group, Text, Token, shown

_NAME = re.compile(r"([XY])_(0|[1-9][0-9]{0,8})", re.ASCII)
#: Commands that ask nothing of the network.
_IGNORED = frozenset(
    {"set-logic", "set-info", "set-option", "check-sat", "get-model", "get-value", "exit", "echo"}
)


@dataclass(frozen=True, eq=False)
class Case:
    """One box of inputs and its clauses.

    Attributes
    ----------
    changes : dict of int to Range
        Bounds in which the box differs from the base of the property.
    clauses : sequence of tuple of Comparison
        The property is violated where all comparisons of a clause hold.
    """

    changes: dict[int, Range]
    clauses: Sequence[tuple[Comparison, ...]]


@dataclass(frozen=True, eq=False)
class Property:
    """What a VNN-LIB file asks for: an input of some case that satisfies one of its clauses.

    Attributes
    ----------
    source : str
    n_inputs, n_outputs : int
    base : tuple of Range
        Bounds of every input.
    cases : tuple of Case
        None of them empty; without a case nothing can violate the property.
    """

    source: str
    n_inputs: int
    n_outputs: int
    base: tuple[Range, ...]
    cases: tuple[Case, ...]

    @cached_property
    def _ends(self) -> Array:
        return np.array([r.ends() for r in self.base]).reshape(-1, 4)

    def ranges(self, case: Case) -> list[Range]:
        """Exact bounds of every input in a case."""
        return [case.changes.get(i, r) for i, r in enumerate(self.base)]

    def region(self, case: Case, dtype: str = "float64") -> Box:
        """Box of a case: proofs cover the decimals of the file, witnesses lie within them.

        Parameters
        ----------
        case : Case
        dtype : {"float32", "float64"}
            Witnesses are kept to the values of this type in every input that has one in range.

        Raises
        ------
        RegionError
            When a bound is too large for a float.
        """
        ends = self._ends.copy()
        for i, changed in case.changes.items():
            ends[i] = changed.ends()
        low, high, inner_low, inner_high = ends.T
        if dtype == "float32":
            inner_low, inner_high = _single(inner_low, inner_high)
        return Box(low, high, inner=(inner_low, inner_high))

    def stack(self, clauses: Sequence[tuple[Comparison, ...]], first: int = 0) -> Stack:
        """Clauses in floats, rounded so that nothing that satisfies them is left out."""
        return Stack(tuple(self._clause(c, first + k) for k, c in enumerate(clauses)))

    def _clause(self, comparisons: tuple[Comparison, ...], k: int) -> Clause:
        if not comparisons:
            # Every point of the box is a counterexample.
            return Clause(f"clause {k}", np.zeros((1, self.n_outputs)), np.zeros(1))
        rows = [c.row(self.n_outputs) for c in comparisons]
        name = f"clause {k} (line {comparisons[0].line})"
        return Clause(name, np.array([r for r, _ in rows]), np.array([d for _, d in rows]))

    def texts(self, case: Case, point: Array) -> list[str] | None:
        """Decimals of a point that lie in the box exactly; None where an input has none."""
        texts = [r.text(float(v)) for r, v in zip(self.ranges(case), point, strict=True)]
        return None if None in texts else [t for t in texts if t is not None]

    @staticmethod
    def margin(clause: tuple[Comparison, ...], outputs: Array) -> tuple[bool, float]:
        """Whether outputs satisfy a clause, and its smallest left side; both exact."""
        flat = np.asarray(outputs, dtype=np.float64).reshape(-1)
        if not np.isfinite(flat).all():
            return False, -np.inf
        exact = [Fraction(v) for v in flat.tolist()]
        smallest = min((c.margin(exact) for c in clause), default=Fraction(0))
        return all(c.holds(exact) for c in clause), nearest(smallest)


def _single(low: Array, high: Array) -> tuple[Array, Array]:
    """Outermost float32 values between two ends, where there are some; else the ends."""
    with np.errstate(over="ignore"):
        below, above = high.astype(np.float32), low.astype(np.float32)
    above = np.where(above < low, np.nextafter(above, np.float32(np.inf)), above)
    below = np.where(below > high, np.nextafter(below, np.float32(-np.inf)), below)
    fits = np.isfinite(above) & np.isfinite(below) & (above <= below)
    return np.where(fits, above, low), np.where(fits, below, high)


def read_property(path: str | os.PathLike[str]) -> Property:
    """Read a VNN-LIB 1.0 file, ``.vnnlib`` or ``.vnnlib.gz``.

    Raises
    ------
    ReadError
        When the file is missing or damaged. Malformed text is a ``VnnlibError`` with line and
        column.
    UnsupportedError
        When constraints are no bounds of one input and no comparisons of outputs; all are listed.
    RegionError
        When an input has no bounds.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as stream:
            data = stream.read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        msg = f"{name}: cannot be read: {reason}"
        raise ReadError(msg) from error
    # Characters that are no UTF-8 may stand in comments; elsewhere they are no valid symbol.
    return parse_property(data.decode("utf-8-sig", errors="replace"), name)


def parse_property(text: str, source: str = "vnnlib") -> Property:
    """Read the text of a VNN-LIB 1.0 file.

    Parameters
    ----------
    text : str
    source : str
        Name for messages.

    Raises
    ------
    VnnlibError, UnsupportedError, RegionError
        See :func:`read_property`.

    Examples
    --------
    >>> found = parse_property('''
    ... (declare-const X_0 Real) (declare-const Y_0 Real)
    ... (assert (and (>= X_0 0) (<= X_0 0.5)))
    ... (assert (or (<= Y_0 (- 1)) (>= Y_0 1e3)))''')
    >>> found.n_inputs, len(found.cases[0].clauses)
    (1, 2)
    """
    place = Text(source, text)
    reader = Reader(place)
    formulas: list[Junction] = []
    declared: dict[str, dict[int, int]] = {"X": {}, "Y": {}}
    for command in place.commands():
        head = command.head
        if head == "assert":
            if len(command.items) != 2:
                raise place.error(command.at, "'assert' takes one formula")
            formulas.append(reader.formula(command.items[1]))
        elif head in {"declare-const", "declare-fun"}:
            _declare(command, place, reader, declared)
        elif head not in _IGNORED:
            what = f"unknown command {shown(head)}" if head else "expected a command"
            if head in {"vnnlib-version", "declare-network"}:
                what = f"{shown(head)} belongs to VNN-LIB 2; version 1.0 is read"
            raise place.error(command.at, what)
    n_inputs, n_outputs = (_counted(kind, found, place) for kind, found in declared.items())
    normal = normalise(formulas, place)
    base = tuple(normal.base.get(i, Range()) for i in range(n_inputs))
    _check_bounds(normal, base, source)
    cases = tuple(Case(changes, clauses) for changes, clauses in normal.boxes)
    return Property(source, n_inputs, n_outputs, base, cases)


def _counted(kind: str, found: dict[int, int], place: Text) -> int:
    """Count names, from their indices and places; none may be missing in between."""
    missing = next((i for i in range(len(found)) if i not in found), None)
    if not found:
        raise place.error(0, f"declares no {kind}_0")
    if missing is not None:
        last = max(found)
        raise place.error(found[last], f"{kind}_{last} is declared, {kind}_{missing} is not")
    return len(found)


def _declare(
    command: Group, place: Text, reader: Reader, declared: dict[str, dict[int, int]]
) -> None:
    parts = command.items[1:]
    if command.head == "declare-fun" and len(parts) == 3:
        arguments = parts.pop(1)
        if not isinstance(arguments, Group) or arguments.items:
            raise place.error(command.at, "functions with arguments are not read")
    if len(parts) != 2 or not all(isinstance(part, Token) for part in parts):
        raise place.error(command.at, f"{command.head!r} takes a name and a type")
    name, kind = (part.text for part in parts if isinstance(part, Token))
    match = _NAME.fullmatch(name)
    if match is None:
        raise place.error(parts[0].at, f"{shown(name)} is no name such as X_0 or Y_0")
    if kind != "Real":
        raise place.error(parts[1].at, f"type {shown(kind)} of {name}; Real is read")
    letter, index = match[1], int(match[2])
    if name in reader.names:
        raise place.error(parts[0].at, f"{name} is declared twice")
    declared[letter][index] = parts[0].at
    reader.names[name] = index if letter == "X" else -1 - index


def _check_bounds(normal: Normal, base: tuple[Range, ...], source: str) -> None:
    """Refuse boxes that leave an input without bounds."""
    loose = [i for i, r in enumerate(base) if r.lower is None or r.upper is None]
    for changes, _ in normal.boxes:
        for i in loose:
            found = changes.get(i, base[i])
            missing = [
                side
                for side, end in (("lower", found.lower), ("upper", found.upper))
                if end is None
            ]
            if missing:
                msg = f"{source}: input X_{i} has no {' and no '.join(missing)} bound"
                raise RegionError(msg)
