"""The answer to a robustness question, with everything it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from mipnet.clocks import Clocks
from mipnet.network.layers.base import Array
from mipnet.search.record import Record

VerdictStatus = Literal["robust", "witness", "unresolved"]
Outcome = Literal["excluded", "witness", "open"]


@dataclass(frozen=True)
class ClauseResult:
    """What is known about one way of being wrong.

    Attributes
    ----------
    name : str
        ``class 3``, or the name of a clause of a property.
    outcome : {"excluded", "witness", "open"}
        Proven impossible, reached by the witness, or undecided.
    method : str
        What decided it: ``attack``; the bounding method (``interval``, ``crown``, ``alpha``,
        ``lp``, ``milp``); ``bisection`` of the inputs or ``splitting`` of neurons, by branch and
        bound; ``mip``; or ``none``.
    bound : float
        Proven upper bound of the margin over the region; the clause is out of reach below 0.
    nodes : int
        Branch-and-bound nodes, or boxes.
    detail : str
        Solver status or reason.
    """

    name: str
    outcome: Outcome
    method: str
    bound: float
    nodes: int = 0
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Witness:
    """A point that reaches a clause.

    Attributes
    ----------
    point : array, shape (n_inputs,)
        Inside the region without tolerance.
    clause : int
        Index of the clause.
    margin, margin_own : float
        Smallest row of the clause in float64, and in the dtype of the model.
    """

    point: Array
    clause: int
    margin: float
    margin_own: float


@dataclass(frozen=True)
class Verdict(Record):
    """``robust``, ``witness`` or ``unresolved``.

    Attributes
    ----------
    status : {"robust", "witness", "unresolved"}
        ``robust``: every class in question is proven out of reach everywhere in the region.
        ``witness``: ``point`` lies in the region and is given another class. ``unresolved``:
        neither; see ``reason``.
    label : int
        The class in question.
    target : int or None
        The class asked for; None for any other than ``label``.
    clauses : tuple of ClauseResult
        One entry for each class (or set of classes) examined, and what decided it.
    region : dict
        Kind, radius and size of the region.
    top_k : int
        The label has to stay among this many largest outputs.
    point : array, shape (n_inputs,), or None
        The witness, inside the region without tolerance.
    predicted : int or None
        Class of the witness in float64.
    margin, margin_own : float or None
        How far the outputs of the witness pass the boundary, in float64 and in the dtype of the
        model: ``y[k] - y[label]`` (with ``top_k`` the k-th largest of these), or ``y[target]``
        minus the next largest output.
    reason : str
        Why the question is unresolved; empty otherwise.
    n_unstable, n_binaries : int
        Unstable neurons of the bounds; binaries of the program (0 when none was built).
    clocks : Clocks
    tolerances : dict
        What "proven" rests on: solver feasibility tolerance, margin asked of the solver.
    solver : str
        Solver and version; empty when none was needed.
    fingerprint : str
        Of the network.
    region_digest : str
        SHA-256 of the region: centre, domain and all.
    dtype : str
        Floating type of the model.
    seed : int
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("bound", "methods")

    status: VerdictStatus
    label: int
    target: int | None
    clauses: tuple[ClauseResult, ...]
    region: dict[str, Any]
    top_k: int = 1
    point: Array | None = field(default=None, compare=False)
    predicted: int | None = None
    margin: float | None = None
    margin_own: float | None = None
    reason: str = ""
    n_unstable: int = 0
    n_binaries: int = 0
    clocks: Clocks = field(default_factory=Clocks, compare=False)
    tolerances: dict[str, float] = field(default_factory=dict)
    solver: str = ""
    fingerprint: str = ""
    region_digest: str = ""
    dtype: str = "float64"
    seed: int = 0

    @property
    def bound(self) -> float:
        """Proven upper bound of the largest margin of any examined class."""
        return max((c.bound for c in self.clauses), default=-np.inf)

    @property
    def methods(self) -> dict[str, int]:
        """How many clauses each method excluded or reached."""
        return counted(self.clauses)

    def __str__(self) -> str:
        asked = "" if self.target is None else f", target {self.target}"
        asked += "" if self.top_k == 1 else f", top {self.top_k}"
        lines = [f"{self.status} (label {self.label}{asked}, {self.region})"]
        if self.reason:
            lines.append(f"  reason: {self.reason}")
        if self.point is not None:
            lines.append(f"  witness: class {self.predicted}, margin {self.margin:.6g}")
        lines += [
            f"  {c.name}: {c.outcome} by {c.method}, margin <= {c.bound:.6g} {c.detail}".rstrip()
            for c in self.clauses
        ]
        return "\n".join(lines)


def counted(clauses: Iterable[ClauseResult]) -> dict[str, int]:
    """How many clauses each method decided."""
    return dict(sorted(Counter(c.method for c in clauses if c.outcome != "open").items()))
