"""What a pruning method is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.budgets import Budget, Keep
from mipnet.pruning.selection import Units, keep_best, small_network
from mipnet.pruning.units import prunable_layers

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: How often units go again where what was chosen has cost more than the budget after training.
ROUNDS = 10
#: Each of these rounds but the first asks for so much less than the one before.
HASTE = 0.05


@dataclass(frozen=True, eq=False)
class Job:
    """What a method is asked to do.

    Attributes
    ----------
    network : Network
    inputs : array, shape (batch, *input_shape), or None
        Calibration or training inputs; present when the method needs them.
    targets : array, shape (batch, ...), or None
        Labels or regression targets; present when the method trains.
    keep : float or None
        Fraction of units to keep; None leaves it to a method with a rule of its own.
    scope : str
    seed : int
    rng : numpy.random.Generator
        The only source of randomness, seeded with ``seed``.
    budget : Budget, optional
        What the network may cost, in place of ``keep``.
    units : mapping of str to Group or TileGrid, optional
        Units to choose from; groups of neurons and channels when absent.
    """

    network: Network
    inputs: Array | None
    targets: npt.NDArray[Any] | None
    keep: float | None
    scope: str
    seed: int
    rng: np.random.Generator
    budget: Budget | None = None
    units: Units | None = None

    @property
    def asked(self) -> Budget | None:
        """The budget, be it a fraction of units or another one."""
        return self.budget if self.budget or self.keep is None else Keep(self.keep)

    @property
    def examples(self) -> tuple[Array, npt.NDArray[Any]]:
        """Inputs and targets, for methods that train.

        Raises
        ------
        MaskError
            When there are none.
        """
        if self.inputs is None or self.targets is None:
            msg = "training needs inputs and targets: pass data= and y="
            raise MaskError(msg)
        return self.inputs, self.targets

    def select(
        self, scores: Mapping[str, Array], network: Network | None = None
    ) -> dict[str, Indices]:
        """Units of highest score that the budget leaves.

        Units that fall together count with the mean of their scores; those that cannot be removed
        are kept and do not count.

        Parameters
        ----------
        scores : mapping of str to array, shape (width,)
        network : Network, optional
            What the budget is measured on, after pruning, where training has changed the weights.

        Raises
        ------
        MaskError
            When there is no budget, the network costs less already, or no network was found that
            costs so little.
        """
        if self.asked is None:
            msg = "the method has no rule of its own for how much to keep: give keep in [0, 1]"
            raise MaskError(msg)
        whole = self.network if network is None else network
        if self.budget is not None and self.before < self.budget.amount:
            # Weights that a method draws or trains may cost more than those it was given.
            before = self.before if network is None else self.budget.measure(network)
            if before < self.budget.amount:
                msg = f"the network has {before:g} {self.budget.currency}, less than the budget of "
                msg += f"{self.budget.amount:g}: nothing to prune; lower the budget"
                raise MaskError(msg)
        return keep_best(whole, self._units, scores, self.asked, self.scope)

    @cached_property
    def before(self) -> float:
        """What the network given costs, in the currency of the budget."""
        return 0.0 if self.budget is None else self.budget.measure(self.network)

    def settle(
        self,
        kept: Mapping[str, npt.ArrayLike],
        scores: Mapping[str, Array],
        train: Callable[[Mapping[str, npt.ArrayLike]], Network],
    ) -> tuple[Mapping[str, npt.ArrayLike], int]:
        """Train what is kept; while that costs more than the budget, keep less and train again.

        What a network costs may depend on its weights, so that training, or what makes up for
        removed units, can break a budget that held when the units were chosen. Units then go from
        the network that training made, lowest scores first, until it keeps to the budget, and what
        is left is trained as before.

        Parameters
        ----------
        kept : mapping of str to array of int or bool
        scores : mapping of str to array, shape (width,)
        train : callable
            From kept units to the network that training makes of them, in the shapes of
            :attr:`network`.

        Returns
        -------
        kept : mapping
            What was trained last.
        rounds : int
            How often units had to go again.

        Raises
        ------
        MaskError
            When :data:`ROUNDS` rounds do not do, or no smaller network was found.
        """
        network = train(kept)
        budget = self.budget
        if budget is None:
            return kept, 0
        for number in range(ROUNDS + 1):
            reached = budget.measure(small_network(network, kept, self._units))
            if reached <= budget.amount:
                return kept, number
            if number < ROUNDS:
                kept = self._fewer(kept, scores, network, number)
                network = train(kept)
        msg = (
            f"a budget of {budget.amount:g} {budget.currency} does not last: after {ROUNDS} rounds "
        )
        msg += (
            f"of removing units and training there are {reached:g}; raise the budget, or train less"
        )
        raise MaskError(msg)

    def _fewer(
        self,
        kept: Mapping[str, npt.ArrayLike],
        scores: Mapping[str, Array],
        network: Network,
        number: int,
    ) -> dict[str, Indices]:
        """Units out of those kept that keep a trained network to the budget."""
        budget: Any = self.budget
        flags = {name: np.zeros(len(values), bool) for name, values in scores.items()}
        for name, units in kept.items():
            flags[name][np.asarray(units)] = True
        rated = {name: np.where(flags[name], values, -np.inf) for name, values in scores.items()}
        for aim in ((1.0 - HASTE * number) * budget.amount, budget.amount):
            try:
                best = keep_best(
                    network, self._units, rated, replace(budget, amount=aim), self.scope
                )
                break
            except MaskError as error:
                if aim == budget.amount:
                    msg = f"training has made the network cost more again, and {error}"
                    raise MaskError(msg) from error
        return {name: units[flags[name][units]] for name, units in best.items()}

    @property
    def _units(self) -> Units:
        return prunable_layers(self.network) if self.units is None else self.units


@dataclass(frozen=True, eq=False)
class Choice:
    """What a method decided.

    Attributes
    ----------
    kept : mapping of str to array of int
        Kept units of every layer of removable units.
    scores : mapping of str to array, shape (width,)
        Higher is more important.
    network : Network, optional
        What training has made of the network, same structure and widths; the given one when
        absent.
    compensation : mapping of str to array, optional
        See :class:`~mipnet.pruning.mask.LayerMask`.
    rounds : int
        How often training had broken the budget, so that more units went (:meth:`Job.settle`).
    """

    kept: Mapping[str, npt.ArrayLike]
    scores: Mapping[str, Array]
    network: Network | None = None
    compensation: Mapping[str, npt.ArrayLike] | None = None
    rounds: int = 0
