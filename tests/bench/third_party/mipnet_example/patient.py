"""A solver in one file: HiGHS, leaving a line in the log."""

from __future__ import annotations

from typing import Any

from mipnet.bench import register_solver
from mipnet.solver import Solution, highs_version, solve


@register_solver("patient", version=lambda: f"patient {highs_version()}")
def patient(arrays: Any, **options: Any) -> Solution:
    """Call HiGHS as it is; a plan sees that it was asked by the log it leaves."""
    if options.get("log"):
        options["log"]("patient was here\n")
    return solve(arrays, **options)
