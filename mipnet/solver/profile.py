"""Option sets for HiGHS, chosen by what is known before a solve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Feasibility tolerance asked of the solver. Big-M times this is the possible leak of a binary.
FEASIBILITY = 1e-9

_TOLERANCES = (
    "mip_feasibility_tolerance",
    "primal_feasibility_tolerance",
    "dual_feasibility_tolerance",
)
#: HiGHS's own tolerances, for further attempts where the tight ones ended in an error.
LOOSER: tuple[dict[str, object], ...] = tuple(
    dict.fromkeys(_TOLERANCES, tolerance) for tolerance in (1e-7, 1e-6)
)
_EXACT: dict[str, object] = {
    **dict.fromkeys(_TOLERANCES, FEASIBILITY),
    "small_matrix_value": 1e-12,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 1e-7,
    # Sparsification (rule 14) finds nothing in the dense rows of a layer, takes seconds at it and
    # does not look at the clock.
    "presolve_rule_off": 1 << 14,
}
_NO_HEURISTICS: dict[str, object] = {
    "mip_heuristic_effort": 0.0,
    "mip_heuristic_run_feasibility_jump": False,
    "mip_heuristic_run_rins": False,
    "mip_heuristic_run_rens": False,
    "mip_heuristic_run_root_reduced_cost": False,
}


@dataclass(frozen=True)
class Profile:
    """Named HiGHS options.

    Attributes
    ----------
    name : str
    options : mapping of option name to value
    """

    name: str
    options: Mapping[str, object] = field(default_factory=dict)

    def with_options(self, **options: object) -> Profile:
        """Return the profile with some options added or replaced."""
        return Profile(self.name, {**self.options, **options})


#: Deciding a sign: primal heuristics only delay the proof.
PROVE = Profile("prove", {**_EXACT, **_NO_HEURISTICS})
#: Optimising from a good start point: heuristics seldom beat it and cost much.
IMPROVE = Profile("improve", {**_EXACT, **_NO_HEURISTICS})
#: Optimising with nothing known: the solver has to find its own solutions.
EXPLORE = Profile("explore", _EXACT)


def choose_profile(*, start: bool, cutoff: bool) -> Profile:
    """Return the profile for what is known.

    Parameters
    ----------
    start : bool
        A feasible start vector is at hand.
    cutoff : bool
        The question is whether anything beats a given value.
    """
    if cutoff:
        return PROVE
    return IMPROVE if start else EXPLORE
