"""What a program may hold beside rows, bounds and integers, described for any solver.

Some solvers branch on SOS1 sets, indicator constraints or complementarity conditions themselves,
and some take nonlinear expressions. A :class:`Constructs` says which columns are concerned; turning
it into the constructs of a modelling language is up to whoever hands the program over, and who
cannot has to refuse the program (:meth:`Constructs.summary` says why).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from formulations.definition import Definition
from formulations.expression import AffineForm

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]


def _none(width: int) -> Index:
    return np.zeros((0, width), dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Constructs:
    """Conditions that no linear row expresses.

    Attributes
    ----------
    sos1 : array of int32, shape (n, 2)
        Pairs of columns at most one of which is not zero.
    complementary : array of int32, shape (n, 2)
        Pairs of columns that are both at least zero, and whose product is zero.
    indicators : array of int32, shape (n, 3)
        Binary column, value, column: where the binary has that value, the last column is zero.
    expressions : tuple of Definition
        Columns that are names of expressions, not variables, in the order of their definition.
    """

    sos1: Index = field(default_factory=lambda: _none(2))
    complementary: Index = field(default_factory=lambda: _none(2))
    indicators: Index = field(default_factory=lambda: _none(3))
    expressions: tuple[Definition, ...] = ()

    def __bool__(self) -> bool:
        return any(self._counts())

    def _counts(self) -> tuple[int, int, int, int]:
        named = sum(d.columns.size for d in self.expressions)
        return len(self.sos1), len(self.complementary), len(self.indicators), named

    def summary(self) -> str:
        """Say what there is, as in ``"12 SOS1 sets, 3 nonlinear expressions"``."""
        kinds = ("SOS1 set", "complementarity condition", "indicator constraint")
        names = (*kinds, "nonlinear expression")
        counts = zip(self._counts(), names, strict=True)
        return ", ".join(f"{n} {name}{'s' * (n != 1)}" for n, name in counts if n)

    @property
    def named(self) -> Index:
        """Columns that are names of expressions."""
        columns = [d.columns for d in self.expressions]
        return np.concatenate(columns) if columns else np.zeros(0, dtype=np.int32)

    def joined(self, other: Constructs) -> Constructs:
        """All conditions of both."""
        return Constructs(
            np.concatenate([self.sos1, other.sos1]),
            np.concatenate([self.complementary, other.complementary]),
            np.concatenate([self.indicators, other.indicators]),
            self.expressions + other.expressions,
        )

    def violation(self, values: Array) -> float:
        """Largest absolute violation of a condition at a column vector."""
        return max((float(w.max()) for w in self._violations(values) if w.size), default=0.0)

    def _violations(self, values: Array) -> Iterator[Array]:
        for pairs in (self.sos1, self.complementary):
            yield np.abs(values[pairs]).min(axis=1, initial=np.inf)
        yield np.maximum(-values[self.complementary], 0.0).reshape(-1)
        binary, value, column = self.indicators.T
        holds = np.abs(values[binary] - value) < 0.5
        yield np.where(holds, np.abs(values[column]), 0.0)
        for definition in self.expressions:
            yield np.abs(values[definition.columns] - definition.evaluate(values))


class Separator(Protocol):
    """A family of valid rows, too many to write down, of which violated ones can be found.

    Leaving any of them out never changes what a program means, only how tight it is.
    """

    def separate(self, values: Array) -> tuple[AffineForm, Array]:
        """Rows ``form <= side`` that a column vector violates most.

        Parameters
        ----------
        values : array, shape (n_columns,)

        Returns
        -------
        AffineForm, n rows
        array, shape (n,)
            Their upper sides.
        """

    def renamed(self, columns: Index) -> Separator:
        """Return the family over other columns: ``columns[j]`` in place of ``j``."""


def joined(parts: Iterable[Constructs]) -> Constructs:
    """All conditions of all parts."""
    total = Constructs()
    for part in parts:
        total = total.joined(part)
    return total
