"""The answer to a robustness question, with everything it rests on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from mipnet.clocks import Clocks
from mipnet.errors import QueryError
from mipnet.network.layers.base import Array

VerdictStatus = Literal["robust", "witness", "unresolved"]
Outcome = Literal["excluded", "witness", "open"]

FORMAT = 1


@dataclass(frozen=True)
class ClauseResult:
    """What is known about one way of being wrong.

    Attributes
    ----------
    name : str
        ``class 3``, or the name of a clause of a property.
    outcome : {"excluded", "witness", "open"}
        Proven impossible, reached by the witness, or undecided.
    method : {"attack", "bounds", "bisection", "mip", "none"}
        What decided it.
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
class Verdict:
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
        One entry for each class examined.
    region : dict
        Kind, radius and size of the region.
    point : array, shape (n_inputs,), or None
        The witness, inside the region without tolerance.
    predicted : int or None
        Class of the witness in float64.
    margin, margin_own : float or None
        How far the outputs of the witness pass the boundary, in float64 and in the dtype of the
        model: ``y[k] - y[label]``, or ``y[target]`` minus the next largest output.
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
    seed : int
    """

    status: VerdictStatus
    label: int
    target: int | None
    clauses: tuple[ClauseResult, ...]
    region: dict[str, Any]
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
    seed: int = 0

    @property
    def bound(self) -> float:
        """Proven upper bound of the largest margin of any examined class."""
        return max((c.bound for c in self.clauses), default=-np.inf)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, fit for JSON."""
        plain = asdict(self)
        plain["point"] = None if self.point is None else [float(v) for v in self.point]
        plain["format"] = FORMAT
        return plain

    def to_json(self) -> str:
        """JSON text; infinite bounds become strings."""
        return json.dumps(to_strict(self.to_dict()), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        QueryError
            When the text is no verdict of this format.
        """
        try:
            plain = from_strict(json.loads(text))
            if plain.pop("format") != FORMAT:
                msg = f"not a verdict of format {FORMAT}"
                raise QueryError(msg)
            clauses = tuple(ClauseResult(**c) for c in plain.pop("clauses"))
            point = plain.pop("point")
            clocks = Clocks(**plain.pop("clocks"))
            array = None if point is None else np.array(point, dtype=np.float64)
            return cls(clauses=clauses, point=array, clocks=clocks, **plain)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            msg = f"not a verdict: {error}"
            raise QueryError(msg) from error

    def __str__(self) -> str:
        lines = [f"{self.status} (label {self.label}, {self.region})"]
        if self.reason:
            lines.append(f"  reason: {self.reason}")
        if self.point is not None:
            lines.append(f"  witness: class {self.predicted}, margin {self.margin:.6g}")
        lines += [
            f"  {c.name}: {c.outcome} by {c.method}, margin <= {c.bound:.6g} {c.detail}".rstrip()
            for c in self.clauses
        ]
        return "\n".join(lines)


def to_strict(value: Any) -> Any:
    """Plain data with infinite and NaN numbers in a form JSON allows."""
    if isinstance(value, dict):
        return {key: to_strict(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_strict(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}
    return value


def from_strict(value: Any) -> Any:
    """Undo :func:`to_strict`."""
    if isinstance(value, dict):
        if set(value) == {"float"}:
            return float(value["float"])
        return {key: from_strict(v) for key, v in value.items()}
    if isinstance(value, list):
        return [from_strict(v) for v in value]
    return value
