"""What a search looks for: outputs that satisfy all rows of at least one clause."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mipnet.network.layers.base import Array


@dataclass(frozen=True, eq=False)
class Clause:
    """A conjunction of linear inequalities over the flattened outputs.

    Attributes
    ----------
    name : str
    rows : array, shape (r, n_outputs)
    offsets : array, shape (r,)
        The clause is reached where every ``rows @ y + offsets`` is positive (or at least zero,
        as the question says).
    """

    name: str
    rows: Array
    offsets: Array

    def margin(self, outputs: Array) -> Array:
        """Smallest row value at outputs of shape (batch, n_outputs), shape (batch,)."""
        return np.asarray((outputs @ self.rows.T + self.offsets).min(axis=-1))


def beats(k: int, rivals: list[int], n_outputs: int) -> Clause:
    """Output ``k`` exceeds every rival."""
    rows = np.zeros((len(rivals), n_outputs))
    rows[:, k] = 1.0
    rows[np.arange(len(rivals)), rivals] = -1.0
    return Clause(f"class {k}", rows, np.zeros(len(rivals)))


@dataclass(frozen=True, eq=False)
class Stack:
    """The rows of several clauses, one under the other.

    Attributes
    ----------
    clauses : tuple of Clause
    """

    clauses: tuple[Clause, ...]

    @property
    def rows(self) -> Array:
        """All rows, shape (total, n_outputs)."""
        return np.concatenate([c.rows for c in self.clauses])

    @property
    def offsets(self) -> Array:
        """All offsets, shape (total,)."""
        return np.concatenate([c.offsets for c in self.clauses])

    @property
    def starts(self) -> list[int]:
        """First row of every clause."""
        sizes = [len(c.rows) for c in self.clauses]
        return [int(s) for s in np.cumsum([0, *sizes[:-1]])]

    def split(self, values: Array) -> list[Array]:
        """Values of all rows (last axis), clause by clause."""
        ends = [s + len(c.rows) for s, c in zip(self.starts, self.clauses, strict=True)]
        return [values[..., s:e] for s, e in zip(self.starts, ends, strict=True)]

    def tightest(self, upper: Array) -> Array:
        """Smallest upper bound of any row of each clause, shape (..., clauses)."""
        return np.stack([part.min(axis=-1) for part in self.split(upper)], axis=-1)
