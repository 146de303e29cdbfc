"""Three answers to "what did the mask save", and rankings under several energy tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Savings:
    """Shares saved by a mask, each of what was there before.

    Attributes
    ----------
    ideal : float
        MACs whose weight is gone.
    tile_quantised : float
        Compute cycles: folds come whole.
    after_memory : float
        Cycles with memory stalls.
    bandwidth : float
        DRAM bytes per cycle of ``after_memory``.
    """

    ideal: float
    tile_quantised: float
    after_memory: float
    bandwidth: float


def saved(before: float, after: float) -> float:
    """Share of ``before`` that is gone; 0 of nothing."""
    return 1.0 - after / before if before else 0.0


@dataclass(frozen=True)
class Ranking:
    """Order of some choices by energy, under several tables.

    Attributes
    ----------
    choices : tuple of str
    energies : mapping of str to tuple of float
        Energy of every choice, by table, in the unit of the table.
    """

    choices: tuple[str, ...]
    energies: Mapping[str, tuple[float, ...]]

    @property
    def orders(self) -> dict[str, tuple[str, ...]]:
        """Choices by table, least energy first; ties in the order of ``choices``."""
        return {
            table: tuple(
                self.choices[i] for i in sorted(range(len(values)), key=values.__getitem__)
            )
            for table, values in self.energies.items()
        }

    @property
    def agree(self) -> bool:
        """Whether all tables give one order."""
        return len(set(self.orders.values())) <= 1

    @property
    def stability(self) -> float:
        """Kendall's tau between the orders of two tables, the least over all pairs."""
        places = [
            [order.index(choice) for choice in self.choices] for order in self.orders.values()
        ]
        return min((kendall(a, b) for a, b in combinations(places, 2)), default=1.0)

    def __str__(self) -> str:
        lines = [f"{table}: {' < '.join(order)}" for table, order in self.orders.items()]
        verdict = "the tables agree" if self.agree else "the tables disagree"
        return "\n".join([*lines, f"{verdict} (least Kendall tau {self.stability:.2f})"])


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's tau of two sequences without ties; 1 for fewer than two entries."""
    pairs = list(combinations(range(len(a)), 2))
    if not pairs:
        return 1.0
    signs = [_sign(a[i] - a[j]) * _sign(b[i] - b[j]) for i, j in pairs]
    return sum(signs) / len(pairs)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
