"""What a solve ended with: limits, cutoffs and errors kept apart."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """End of a solve. Only ``OPTIMAL``, ``INFEASIBLE``, ``CUTOFF`` and ``UNBOUNDED`` are proofs."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    #: No solution is better than the given cutoff.
    CUTOFF = "cutoff"
    UNBOUNDED = "unbounded"
    INFEASIBLE_OR_UNBOUNDED = "infeasible_or_unbounded"
    #: A solution at least as good as the target was found.
    TARGET_REACHED = "target_reached"
    #: The proven bound passed the value at which the solve was to stop.
    BOUND_REACHED = "bound_reached"
    TIME_LIMIT = "time_limit"
    NODE_LIMIT = "node_limit"
    ITERATION_LIMIT = "iteration_limit"
    MEMORY_LIMIT = "memory_limit"
    INTERRUPTED = "interrupted"
    ERROR = "error"

    @property
    def proven(self) -> bool:
        """Whether the search was exhausted."""
        return self in _PROVEN


_PROVEN = frozenset({Status.OPTIMAL, Status.INFEASIBLE, Status.CUTOFF, Status.UNBOUNDED})

#: HiGHS model status (name of the enum member) to ours. A name that is absent is an error.
FROM_HIGHS: dict[str, Status] = {
    "kOptimal": Status.OPTIMAL,
    "kModelEmpty": Status.OPTIMAL,
    "kInfeasible": Status.INFEASIBLE,
    "kUnbounded": Status.UNBOUNDED,
    "kUnboundedOrInfeasible": Status.INFEASIBLE_OR_UNBOUNDED,
    "kObjectiveBound": Status.CUTOFF,
    "kObjectiveTarget": Status.TARGET_REACHED,
    "kTimeLimit": Status.TIME_LIMIT,
    "kSolutionLimit": Status.NODE_LIMIT,
    "kIterationLimit": Status.ITERATION_LIMIT,
    "kMemoryLimit": Status.MEMORY_LIMIT,
    "kInterrupt": Status.INTERRUPTED,
    "kHighsInterrupt": Status.INTERRUPTED,
    "kNotset": Status.ERROR,
    "kLoadError": Status.ERROR,
    "kModelError": Status.ERROR,
    "kPresolveError": Status.ERROR,
    "kSolveError": Status.ERROR,
    "kPostsolveError": Status.ERROR,
    "kUnknown": Status.ERROR,
}
