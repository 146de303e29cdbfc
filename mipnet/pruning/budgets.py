"""Budgets in the user's currency: what a network may cost, and the masks that keep to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.budget import check_share, select
from mipnet.pruning.counting import n_macs, n_tiles

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: Sizes that are tried where the smallest network costs too much.
TRIES = 32

#: Small network of the units to keep by layer.
Shrink = Callable[[Mapping[str, Indices]], Network]


@dataclass(frozen=True, eq=False)
class Selection:
    """Units that keep to a budget.

    Attributes
    ----------
    kept : mapping of str to array of int
        By layer.
    requested, reached : float
        In the currency of the budget.
    before : float
        What the network costs unpruned.
    """

    kept: Mapping[str, Indices]
    requested: float
    reached: float
    before: float


class Budget(ABC):
    """What a pruned network may cost at most.

    A budget of another currency is a dataclass with ``amount``, ``currency`` and
    :meth:`measure`.

    Attributes
    ----------
    amount : float
        Largest cost.
    currency : str
        What it counts, for reports.
    """

    currency: ClassVar[str]
    amount: float

    @abstractmethod
    def measure(self, network: Network) -> float:
        """Cost of a compacted network."""

    def describe(self) -> dict[str, Any]:
        """Budget as plain values, for the provenance of a mask."""
        return {"currency": self.currency, "amount": self.amount}

    def choose(
        self, network: Network, scores: Mapping[str, Array], scope: str, shrink: Shrink
    ) -> Selection:
        """Remove units, lowest scores first, until what is left keeps to the budget.

        As few as it takes where the cost falls with every unit: sizes are bisected. Other costs,
        such as unstable neurons, may rise in between, so that some larger network would do, too.
        Where the smallest network costs too much, other sizes are tried, :data:`TRIES` at most.

        Parameters
        ----------
        network : Network
            Before pruning.
        scores : mapping of str to array, shape (units,)
        scope : {"layer", "global"}
            Whether all layers keep the same fraction, or all units compete.
        shrink : callable
            Compacted network for units kept by layer.

        Raises
        ------
        MaskError
            When no network was found that leaves a unit in every layer and costs so little.
        """
        self.check()
        before = self.measure(network)
        steps = _steps(scores, scope)

        def of(step: int) -> Selection:
            kept = select(scores, steps[step], scope)
            return Selection(kept, self.amount, self.measure(shrink(kept)), before)

        whole = of(0)
        if whole.reached <= self.amount:
            return whole
        low, high, best = 0, len(steps) - 1, of(len(steps) - 1)
        if best.reached > self.amount:
            low, high, best = self._between(of, len(steps), best)
        while high - low > 1:
            middle = of(step := (low + high) // 2)
            if middle.reached <= self.amount:
                best, high = middle, step
            else:
                low = step
        return best

    def _between(
        self, of: Callable[[int], Selection], steps: int, fewest: Selection
    ) -> tuple[int, int, Selection]:
        """First size that keeps to the budget, from the largest on, and the one tried before."""
        inner = max(0, steps - 2)
        tried = np.linspace(1, inner, min(TRIES, inner)).round().astype(int)
        low, least = 0, fewest.reached
        for step in tried.tolist():
            found = of(step)
            if found.reached <= self.amount:
                return low, step, found
            low, least = step, min(least, found.reached)
        every = tried.size == inner
        wish = f"a budget of {self.amount:g} {self.currency}"
        msg = (
            f"{wish} cannot be reached"
            if every
            else f"no network along the order of the scores was found within {wish}"
        )
        msg += f": with one unit left in every layer there are {fewest.reached:g}; of "
        msg += f"{'all' if every else f'{tried.size + 2} of'} {steps} sizes along this order the "
        msg += f"best has {least:g}; raise the budget, or take another method or scope"
        raise MaskError(msg)

    def check(self) -> None:
        """Raise MaskError unless the amount is a number from 0 on."""
        amount = self.amount
        number = isinstance(amount, int | float | np.number) and not isinstance(amount, bool)
        if not number or not 0 <= amount < np.inf:
            msg = f"a budget of {self.currency} is a number from 0 on, not {amount!r}"
            raise MaskError(msg)


@dataclass(frozen=True)
class Keep(Budget):
    """Fraction of units to keep, in [0, 1]; rounding as in :func:`mipnet.pruning.budget.count`.

    Parameters
    ----------
    amount : float
        0 removes every removable unit and leaves a constant network.
    """

    amount: float
    currency = "kept units"

    def check(self) -> None:
        """Raise MaskError unless the amount is a fraction in [0, 1]."""
        check_share(self.amount)

    def measure(self, network: Network) -> float:
        """Not a property of the network alone.

        Raises
        ------
        MaskError
            Always: the fraction is taken of the units of the mask.
        """
        msg = f"a fraction of units cannot be measured on {network!r}"
        raise MaskError(msg)

    def choose(
        self, network: Network, scores: Mapping[str, Array], scope: str, shrink: Shrink
    ) -> Selection:
        """See :meth:`Budget.choose`."""
        del network, shrink
        kept = select(scores, self.amount, scope)
        total = sum(values.size for values in scores.values())
        reached = sum(units.size for units in kept.values()) / total if total else 1.0
        return Selection(kept, float(self.amount), reached, 1.0)


@dataclass(frozen=True)
class Parameters(Budget):
    """Stored weights, biases and the like, zeros included."""

    amount: float
    currency = "parameters"

    def measure(self, network: Network) -> float:
        """See :meth:`Budget.measure`."""
        return network.n_parameters


@dataclass(frozen=True)
class Macs(Budget):
    """Multiplications by a weight for one input."""

    amount: float
    currency = "MACs"

    def measure(self, network: Network) -> float:
        """See :meth:`Budget.measure`."""
        return n_macs(network)


@dataclass(frozen=True)
class Tiles(Budget):
    """Tiles of weights that are not zero throughout.

    Parameters
    ----------
    amount : float
    tile : int or (int, int)
        Inputs and outputs of a tile: the sides of the array.
    """

    amount: float
    tile: int | tuple[int, int] = 16
    currency = "tiles"

    def measure(self, network: Network) -> float:
        """See :meth:`Budget.measure`."""
        return n_tiles(network, self.tile)

    def describe(self) -> dict[str, Any]:
        """See :meth:`Budget.describe`."""
        return {**super().describe(), "tile": self.tile}


def as_budget(budget: object, keep: float | None = None) -> Budget | None:
    """One budget out of the two ways to give it; None where there is none.

    Raises
    ------
    MaskError
        When the budget is neither a number nor a :class:`Budget`.
    """
    if budget is None:
        return None if keep is None else Keep(keep)
    if isinstance(budget, Budget):
        return budget
    if isinstance(budget, bool) or not isinstance(budget, int | float | np.number):
        msg = "a budget is a fraction of units or a Budget, such as Parameters(1000), not "
        msg += f"{type(budget).__name__}; targets go with the data: data=(X, y), or y="
        raise MaskError(msg)
    return Keep(float(budget))


def _steps(scores: Mapping[str, Array], scope: str) -> list[float]:
    """Fractions to keep at which one more unit goes, falling, from 1 to one unit in every layer."""
    widths = [values.size for values in scores.values() if values.size]
    least, sizes = (len(widths), [sum(widths)]) if scope == "global" else (1, sorted(set(widths)))
    found = {k / size for size in sizes for k in range(least, size + 1)}
    return sorted(found | {1.0}, reverse=True)
