"""Whether cells that were asked the same thing give the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """What one cell says.

    Attributes
    ----------
    goal : {"decide", "minimise", "maximise"}
    status : str
        Status of the cell.
    objective, bound : float or None
        Value of its point, and what it has proven no point to beat.
    """

    goal: str
    status: str
    objective: float | None = None
    bound: float | None = None


def contradiction(claims: Sequence[Claim], tolerance: float = 1e-4) -> str:
    r"""Why claims about one question cannot all be true; empty when they can.

    A decision contradicts another when one finds a point and the other has proven that there is
    none. Values contradict when one beats a proven bound, or two optima without bounds differ, by
    more than :math:`\epsilon\,(1 + |v|)`, :math:`v` being the value. Cells that were killed or
    failed claim nothing.

    Parameters
    ----------
    claims : sequence of Claim
        About the same question to the same network.
    tolerance : float
        Above the gap at which a search ends, below any difference that matters.

    Examples
    --------
    >>> contradiction([Claim("decide", "optimal"), Claim("decide", "infeasible")])
    'one cell found a point where another has proven that there is none'
    >>> contradiction([Claim("maximise", "optimal", 2.0, 2.0), Claim("maximise", "optimal", 2.1)])
    'a value of 2.1 beats the proven bound 2.0'
    """
    statuses = {claim.status for claim in claims}
    found = {"optimal", "feasible-limit"} & statuses
    if found and "infeasible" in statuses:
        return "one cell found a point where another has proven that there is none"
    answered = [c for c in claims if c.status in {"optimal", "feasible-limit"}]
    # A cell that failed does not even say what its goal was.
    goals = {claim.goal for claim in answered}
    if goals <= {"decide"}:
        return ""
    sign = 1.0 if "maximise" in goals else -1.0
    proven = [c.bound for c in answered if c.bound is not None]
    values = [c.objective for c in answered if c.objective is not None]
    if values and proven:
        best = max(values, key=lambda v: sign * v)
        tightest = min(proven, key=lambda v: sign * v)
        if sign * (best - tightest) > tolerance * (1.0 + abs(best)):
            return f"a value of {best} beats the proven bound {tightest}"
    # An optimum with a bound claims no more than the interval between the two.
    optima = [
        c.objective
        for c in answered
        if c.status == "optimal" and c.bound is None and c.objective is not None
    ]
    if optima and max(optima) - min(optima) > tolerance * (1.0 + abs(max(optima))):
        return f"optima from {min(optima)} to {max(optima)}"
    return ""
