"""The answer to an optimisation: the best point found and the bound that proves how good it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from mipnet.clocks import Clocks
from mipnet.network.layers.base import Array
from mipnet.search.record import Record

OptimumStatus = Literal[
    "optimal", "bounded", "band", "time_limit", "interrupted", "inconsistent", "error"
]


@dataclass(frozen=True)
class Optimum(Record):
    """Best value found and the bound that proves it.

    Attributes
    ----------
    status : {"optimal", "bounded", "band", "time_limit", "interrupted", "inconsistent", "error"}
        ``optimal``: value and bound agree to ``tolerance``. Short of that both still hold, and
        ``message`` says why they are apart: ``time_limit`` and ``interrupted``; ``band``: the
        program is solved, but for the pieces its smooth layers are written as (layers with a
        smaller ``error`` bring value and bound together); ``bounded``: nothing further can be
        done, because of a refused program or the tolerances of the solver; ``error``: the solver
        broke down. ``inconsistent``: value and bound contradict each other, so neither may be used.
    value : float
        Objective at ``point``, by a float64 forward pass.
    point : array, shape (n_inputs,)
        Inside the region.
    bound : float
        Proven bound of the optimum: lower when minimising, upper when maximising.
    solver_value : float or None
        Objective the solver reported for its own point.
    nodes : int
        Branch-and-bound nodes of the solver, and subproblems of the search of mipnet.
    n_binaries, n_rows, n_nonzeros, n_unstable : int
        Size of the program.
    clocks : Clocks
    solver : str
        Solver and version; empty when none was needed.
    message : str
    method : str
        What closed the gap: a bounding method (``interval``, ``crown``, ``alpha``, ``lp``,
        ``milp``), ``bisection`` of the inputs, ``splitting`` of neurons, ``mip``; ``none`` while it
        is open.
    sense : {"min", "max"}
    objective : array, shape (n_outputs,), or None
        Coefficients of the outputs.
    region : dict
        Kind, radius and size of the region.
    tolerance : float
        The gap asked for, see :func:`mipnet.minimize`.
    fingerprint : str
        Of the network.
    seed : int
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("gap",)

    status: OptimumStatus
    value: float
    point: Array = field(compare=False)
    bound: float
    solver_value: float | None
    nodes: int
    n_binaries: int
    n_rows: int
    n_nonzeros: int
    n_unstable: int
    clocks: Clocks = field(compare=False)
    solver: str
    message: str = ""
    method: str = "none"
    sense: Literal["min", "max"] = "min"
    objective: Array | None = field(default=None, compare=False)
    region: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 0.0
    fingerprint: str = ""
    seed: int = 0

    @property
    def gap(self) -> float:
        """Distance of value and bound, relative to ``1 + |value|``."""
        return abs(self.value - self.bound) / (1.0 + abs(self.value))

    def negated(self) -> Optimum:
        """Return the optimum of the negated objective in the other sense."""
        return replace(
            self,
            value=0.0 - self.value,
            bound=0.0 - self.bound,
            solver_value=None if self.solver_value is None else 0.0 - self.solver_value,
            sense="max" if self.sense == "min" else "min",
            objective=None if self.objective is None else 0.0 - self.objective,
        )

    def __str__(self) -> str:
        lines = [f"{self.status}: {self.value:.9g}, bound {self.bound:.9g} ({self.sense})"]
        if self.message:
            lines.append(f"  {self.message}")
        return "\n".join(lines)
