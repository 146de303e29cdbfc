"""Answer of a solved model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from mipnet.clocks import Clocks
from mipnet.solver import Status


@dataclass(frozen=True)
class SolveResult:
    """Answer of :func:`mipnet.solve`, in the sense of the model's own objective.

    Attributes
    ----------
    status : Status
    objective : float or None
        Objective of the loaded solution; None when there is none.
    bound : float
        Proven bound of the objective: no solution is better.
    replay_errors : mapping of block name to float
        Largest difference between loaded outputs and the network, by block.
    violation : float
        Largest violation of a bound, row or integrality by the loaded solution.
    bands : mapping of str to float
        Layers of networks, as ``block.layer``, that the rows hold only within a band, and its
        width. The bound holds for the networks all the same; the loaded point is one of theirs
        where the other constraints allow it, and then the gap is what the bands cost.
    warnings : tuple of str
        What speaks against the answer, or has to be known about it; also issued as
        :class:`mipnet.errors.MipnetWarning`.
    columns, rows, nonzeros, binaries : int
        Size of the model handed over; ``binaries`` counts all integer variables.
    nodes : int
    started : bool
        Whether a feasible start vector was handed over.
    clocks : Clocks
        Seconds to compile (``build``), solve, and load and replay (``check``).
    version, profile, message : str
        HiGHS version, option profile, and the solver's own words for the status.
    """

    status: Status
    objective: float | None
    bound: float
    replay_errors: Mapping[str, float]
    violation: float
    columns: int
    rows: int
    nonzeros: int
    binaries: int
    nodes: int
    started: bool
    clocks: Clocks = field(compare=False)
    version: str
    profile: str
    message: str
    bands: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def gap(self) -> float:
        """Relative gap between objective and bound; inf without a solution or a bound."""
        if self.objective is None or not math.isfinite(self.bound):
            return math.inf
        return abs(self.objective - self.bound) / max(abs(self.objective), 1e-10)

    @property
    def replay_error(self) -> float:
        """Largest of the replay errors; 0 without network blocks."""
        return max(self.replay_errors.values(), default=0.0)

    @property
    def band(self) -> float:
        """Widest of the :attr:`bands`; 0 where the program is the networks exactly."""
        return max(self.bands.values(), default=0.0)
