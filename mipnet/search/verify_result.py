"""The answer to a VNN-LIB property, with everything it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from mipnet.clocks import Clocks
from mipnet.errors import QueryError
from mipnet.network.layers.base import Array
from mipnet.search.record import Record
from mipnet.search.verdict import ClauseResult, counted

VerifyStatus = Literal["unsat", "sat", "timeout", "unknown"]


@dataclass(frozen=True)
class CaseResult:
    """What is known about one input box.

    Attributes
    ----------
    case : int
        Index of the box in the property.
    outcome : {"excluded", "witness", "open"}
    clauses : tuple of ClauseResult
        Every clause over the outputs asked in that box, and what decided it.
    n_unstable, n_binaries : int
        Unstable neurons of the bounds; binaries of the program (0 when none was built).
    reason : str
        Why the case is open.
    """

    case: int
    outcome: str
    clauses: tuple[ClauseResult, ...]
    n_unstable: int = 0
    n_binaries: int = 0
    reason: str = ""


@dataclass(frozen=True)
class VerifyResult(Record):
    """``unsat``, ``sat``, ``timeout`` or ``unknown``.

    Attributes
    ----------
    status : {"unsat", "sat", "timeout", "unknown"}
        ``unsat``: proven that no input satisfies the file. ``sat``: ``point`` does. ``timeout``:
        neither within the time. ``unknown``: neither for another reason.
    network, prop : str
        Sources.
    cases : tuple of CaseResult
        One entry for each input box (boxes of very many clauses have several).
    point : array, shape (n_inputs,), or None
        The counterexample.
    inputs : tuple of str
        The same as decimals, inside the box of the file exactly.
    outputs : array, shape (n_outputs,), or None
        Outputs there: of onnxruntime when it confirmed the point, else of the network in its own
        dtype.
    margin, margin_reference : float or None
        Smallest left side of the satisfied constraints in float64, and at ``outputs``.
    confirmation : str
        What ran the model beside mipnet (program and version), or why nothing did.
    reason : str
        Why the question is open.
    seconds : float
        Wall time of the call.
    timeout : float or None
    clocks : Clocks
    tolerances : dict
        What "proven" rests on: solver feasibility tolerance, margin asked of the solver.
    solver : str
        Solver and version; empty when none was needed.
    fingerprint : str
        Of the network.
    seed : int
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("methods",)

    status: VerifyStatus
    network: str
    prop: str
    cases: tuple[CaseResult, ...]
    point: Array | None = field(default=None, compare=False)
    inputs: tuple[str, ...] = ()
    outputs: Array | None = field(default=None, compare=False)
    margin: float | None = None
    margin_reference: float | None = None
    confirmation: str = ""
    reason: str = ""
    seconds: float = 0.0
    timeout: float | None = None
    clocks: Clocks = field(default_factory=Clocks, compare=False)
    tolerances: dict[str, float] = field(default_factory=dict)
    solver: str = ""
    fingerprint: str = ""
    seed: int = 0

    @property
    def methods(self) -> dict[str, int]:
        """How many clauses each method excluded or reached."""
        return counted(clause for case in self.cases for clause in case.clauses)

    def counterexample(self) -> str:
        """Write the point in the format of the competitions, ``((X_0 0.5) ... (Y_0 1.0))``.

        Raises
        ------
        QueryError
            When the status is not ``sat``.
        """
        if self.point is None or self.outputs is None:
            msg = f"the answer is {self.status}; there is no counterexample"
            raise QueryError(msg)
        entries = [f"(X_{i} {text})" for i, text in enumerate(self.inputs)]
        entries += [f"(Y_{j} {value!r})" for j, value in enumerate(self.outputs.tolist())]
        return "(" + "\n ".join(entries) + ")"

    def __str__(self) -> str:
        lines = [f"{self.status} ({self.prop} on {self.network}, {self.seconds:.2f} s)"]
        if self.reason:
            lines.append(f"  reason: {self.reason}")
        parts = [f"{count} by {name}" for name, count in sorted(self.methods.items())]
        clauses = sum(len(case.clauses) for case in self.cases)
        lines.append(f"  {clauses} clause(s) in {len(self.cases)} box(es): {', '.join(parts)}")
        lines.append(f"  model run by: {self.confirmation}")
        return "\n".join(lines)
