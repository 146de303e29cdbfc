"""Guard against solver releases known to return wrong answers."""

from __future__ import annotations

from functools import cache

from mipnet.errors import SolverError

#: Releases that are refused, with the reason.
KNOWN_BAD: dict[str, str] = {
    "1.14.0": "returns suboptimal MIP solutions as optimal after presolve",
}


def refuse_known_bad(version: str) -> str:
    """Return ``version``, unless it is known to be wrong.

    Raises
    ------
    SolverError
        For a release listed in :data:`KNOWN_BAD`.
    """
    if version in KNOWN_BAD:
        msg = f"HiGHS {version} is refused: it {KNOWN_BAD[version]}; install another highspy"
        raise SolverError(msg)
    return version


@cache
def highs_version() -> str:
    """Version of the installed HiGHS.

    Raises
    ------
    SolverError
        When the release is known to be wrong.
    """
    import highspy

    return refuse_known_bad(str(highspy.Highs().version()))
