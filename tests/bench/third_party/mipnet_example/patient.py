"""A solver in one file: HiGHS, leaving a line in the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mipnet.bench import register_solver
from mipnet.solver import Solution, highs_version, solve


def option_faults(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """It has one option."""
    for name in options:
        if name != "presolve":
            yield name, f"patient has no option {name!r}; it has presolve"


@register_solver(
    "patient", version=lambda: f"patient {highs_version()}", option_faults=option_faults
)
def patient(arrays: Any, **options: Any) -> Solution:
    """Call HiGHS as it is; a plan sees that it was asked by the log it leaves."""
    if options.get("log"):
        options["log"]("patient was here\n")
    return solve(arrays, **options)
