"""What a pruning method is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.budgets import Budget, Keep
from mipnet.pruning.selection import Units, keep_best
from mipnet.pruning.units import prunable_layers

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


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
            When there is no budget, or it cannot be met.
        """
        if self.asked is None:
            msg = "the method has no rule of its own for how much to keep: give keep in [0, 1]"
            raise MaskError(msg)
        whole = network or self.network
        units = prunable_layers(self.network) if self.units is None else self.units
        return keep_best(whole, units, scores, self.asked, self.scope)


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
    """

    kept: Mapping[str, npt.ArrayLike]
    scores: Mapping[str, Array]
    network: Network | None = None
    compensation: Mapping[str, npt.ArrayLike] | None = None
