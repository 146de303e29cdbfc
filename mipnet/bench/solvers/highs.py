"""HiGHS, with a log that is fine enough to draw incumbent and bound over time."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from formulations import ProgramArrays
from mipnet.bench.solvers.base import Progress, register_solver
from mipnet.solver import (
    Limits,
    Profile,
    Solution,
    choose_profile,
    highs_version,
    option_faults,
    solve,
)

Array = npt.NDArray[np.float64]

#: Seconds between two lines of the log; lines for new incumbents come in between.
LOG_INTERVAL = 0.1

_NUMBER = r"(-?(?:inf|[0-9][0-9.]*(?:e[+-]?[0-9]+)?))"
_TABLE = re.compile(
    rf"\s*\S?\s+([0-9]+)\s+[0-9]+\s+[0-9]+\s+[0-9.]+%\s+{_NUMBER}\s+{_NUMBER}\s+(?:inf|Large|[0-9.]+%)"
)
_REPORT = re.compile(rf"Primal bound\s+{_NUMBER}\s+Dual bound\s+{_NUMBER}")


def read_line(line: str) -> Progress | None:
    """Read a line of the table of a MIP solve, or the report at its end.

    Examples
    --------
    >>> read_line(" T    2210     133       483   1.29%   -1.5   0.25   456.59%  2590 168 834 1 1s")
    Progress(incumbent=0.25, bound=-1.5, nodes=2210)
    >>> read_line("Presolving model") is None
    True
    """
    row = _TABLE.match(line)
    if row:
        return Progress(_finite(row[3]), _finite(row[2]), int(row[1]))
    report = _REPORT.search(line)
    return Progress(_finite(report[1]), _finite(report[2])) if report else None


@register_solver("highs", version=highs_version, read_line=read_line, option_faults=option_faults)
def solve_logged(
    arrays: ProgramArrays,
    *,
    limits: Limits | None = None,
    profile: Profile | None = None,
    start: Array | None = None,
    threads: int = 1,
    seed: int = 0,
    log: Callable[[str], None] | None = None,
) -> Solution:
    """See :func:`mipnet.solver.solve`."""
    if log is not None:
        cutoff = limits is not None and limits.cutoff is not None
        chosen = profile or choose_profile(start=start is not None, cutoff=cutoff)
        options = dict(chosen.options)
        options.setdefault("mip_min_logging_interval", LOG_INTERVAL)
        profile = Profile(chosen.name, options)
    return solve(
        arrays,
        limits=limits,
        profile=profile,
        start=start,
        threads=threads,
        seed=seed,
        log=log,
    )


def _finite(text: str) -> float | None:
    return None if "inf" in text else float(text)
