"""The answer to a VNN-LIB property, with everything it rests on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from mipnet.clocks import Clocks
from mipnet.errors import QueryError
from mipnet.network.layers.base import Array
from mipnet.search.verdict import ClauseResult, from_strict, to_strict

VerifyStatus = Literal["unsat", "sat", "timeout", "unknown"]

FORMAT = 1


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
class VerifyResult:
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
        counts: dict[str, int] = {}
        for case in self.cases:
            for clause in case.clauses:
                if clause.outcome != "open":
                    counts[clause.method] = counts.get(clause.method, 0) + 1
        return counts

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

    def to_dict(self) -> dict[str, Any]:
        """Plain data, fit for JSON."""
        plain = asdict(self)
        for name in ("point", "outputs"):
            if plain[name] is not None:
                plain[name] = plain[name].tolist()
        plain["format"] = FORMAT
        return plain

    def to_json(self) -> str:
        """JSON text; infinite bounds become ``{"float": "inf"}``."""
        return json.dumps(to_strict(self.to_dict()), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> VerifyResult:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        QueryError
            When the text is no result of this format.
        """
        try:
            plain = from_strict(json.loads(text))
            if plain.pop("format") != FORMAT:
                msg = f"not a result of format {FORMAT}"
                raise QueryError(msg)
            cases = tuple(_case(entry) for entry in plain.pop("cases"))
            for name in ("point", "outputs"):
                if plain[name] is not None:
                    plain[name] = np.array(plain[name], dtype=np.float64)
            inputs, clocks = tuple(plain.pop("inputs")), Clocks(**plain.pop("clocks"))
            return cls(cases=cases, inputs=inputs, clocks=clocks, **plain)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            if isinstance(error, QueryError):
                raise
            msg = f"not a result of verify: {error}"
            raise QueryError(msg) from error

    def __str__(self) -> str:
        lines = [f"{self.status} ({self.prop} on {self.network}, {self.seconds:.2f} s)"]
        if self.reason:
            lines.append(f"  reason: {self.reason}")
        parts = [f"{count} by {name}" for name, count in sorted(self.methods.items())]
        clauses = sum(len(case.clauses) for case in self.cases)
        lines.append(f"  {clauses} clause(s) in {len(self.cases)} box(es): {', '.join(parts)}")
        lines.append(f"  model run by: {self.confirmation}")
        return "\n".join(lines)


def _case(entry: dict[str, Any]) -> CaseResult:
    clauses = tuple(ClauseResult(**clause) for clause in entry.pop("clauses"))
    return CaseResult(clauses=clauses, **entry)
