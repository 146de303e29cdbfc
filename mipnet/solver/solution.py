"""What is asked of a solve, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from mipnet.solver.status import Status

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """Answer of one solve.

    Attributes
    ----------
    status : Status
    objective : float or None
        Objective of the best solution found, recomputed from ``values``.
    bound : float
        Proven lower bound of the minimum; -inf when there is none.
    values : array or None
        Column values of the best solution found.
    nodes : int
        Branch-and-bound nodes.
    seconds : float
    version : str
        HiGHS version.
    profile : str
    message : str
        The solver's own words for the status.
    relaxed : float
        Largest widening of a row by moved tiny coefficients (0: none).
    delicate : bool
        Whether entries of very different size had to be scaled or moved within a row, so that a
        proof deserves a second look.
    cuts : int
        Rows added by separation before the search.
    """

    status: Status
    objective: float | None
    bound: float
    values: Array | None
    nodes: int
    seconds: float = field(compare=False)
    version: str
    profile: str
    message: str
    relaxed: float = 0.0
    delicate: bool = False
    cuts: int = 0


@dataclass(frozen=True)
class Limits:
    """When to stop, and what is known beforehand.

    Attributes
    ----------
    time : float or None
        Seconds.
    nodes : int or None
        Branch-and-bound nodes.
    cutoff : float or None
        Only solutions better than this count; none better gives ``Status.CUTOFF``.
    target : float or None
        Stop with ``TARGET_REACHED`` at a solution at least this good.
    stop_bound : float or None
        Stop with ``BOUND_REACHED`` once the proven bound exceeds this.
    """

    time: float | None = None
    nodes: int | None = None
    cutoff: float | None = None
    target: float | None = None
    stop_bound: float | None = None

    def scaled(self, factor: float) -> Limits:
        """Return the limits for an objective multiplied by ``factor``."""
        values = (self.cutoff, self.target, self.stop_bound)
        cutoff, target, stop = (None if v is None else v * factor for v in values)
        return replace(self, cutoff=cutoff, target=target, stop_bound=stop)
