"""HiGHS behind a typed, fail-closed interface."""

from mipnet.solver.coefficients import SMALL, Prepared, prepare
from mipnet.solver.highs import solve
from mipnet.solver.options import option_faults
from mipnet.solver.profile import EXPLORE, FEASIBILITY, IMPROVE, PROVE, Profile, choose_profile
from mipnet.solver.separate import Separated, separate
from mipnet.solver.solution import Limits, Solution
from mipnet.solver.status import Status
from mipnet.solver.version import KNOWN_BAD, highs_version, refuse_known_bad

__all__ = [
    "EXPLORE",
    "FEASIBILITY",
    "IMPROVE",
    "KNOWN_BAD",
    "PROVE",
    "SMALL",
    "Limits",
    "Prepared",
    "Profile",
    "Separated",
    "Solution",
    "Status",
    "choose_profile",
    "highs_version",
    "option_faults",
    "prepare",
    "refuse_known_bad",
    "separate",
    "solve",
]
