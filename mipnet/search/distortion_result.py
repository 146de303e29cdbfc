"""Answers to the question how far the nearest adversarial point is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from mipnet.clocks import Clocks
from mipnet.network.layers.base import Array
from mipnet.search.record import Record

DistortionStatus = Literal["optimal", "bounded", "none", "unresolved"]
RadiusMethod = Literal["bounds", "exact"]


@dataclass(frozen=True)
class ClassDistance:
    """What is proven about one way of being wrong.

    Attributes
    ----------
    name : str
        ``class 3``.
    radius : float
        Every point of the domain within this distance is proven not to be of this class
        instead of the label; -1 when nothing is proven, infinite when no point of the domain is.
    method : str
        What proved it, as for :class:`mipnet.search.ClauseResult`.
    """

    name: str
    radius: float
    method: str = "none"


@dataclass(frozen=True)
class Distortion(Record):
    """Distance of the nearest adversarial point, between two proven bounds.

    Attributes
    ----------
    status : {"optimal", "bounded", "none", "unresolved"}
        ``optimal``: lower and upper agree to the tolerance. ``bounded``: they do not; see
        ``reason``. ``none``: proven that there is no adversarial point in the domain (within the
        largest radius, where one was given). ``unresolved``: no adversarial point is known.
    norm : {"linf", "l1", "l2", "l0"}
    label : int
        The class in question.
    target : int or None
        The class asked for; None for any other than ``label``.
    lower : float
        No adversarial point is closer than this; proven.
    upper : float
        Distance of ``point``, in exact arithmetic, rounded up; infinite without one.
    point : array, shape (n_inputs,), or None
        The nearest adversarial point known, in the domain without tolerance.
    predicted : int or None
        Its class in float64.
    margin, margin_own : float or None
        How far its outputs pass the boundary, in float64 and in the dtype of the model.
    classes : tuple of ClassDistance
        What is proven about each class.
    reason : str
        Why the gap is open, or there is no answer; empty otherwise.
    tolerance : float
        Gap asked for, relative to ``upper``.
    rounds : int
        Exact questions asked: decisions over a ball, and programs solved.
    n_unstable, n_binaries : int
        Of the last bounds and of the largest program (0 when none was built).
    clocks : Clocks
    tolerances : dict
        What "proven" rests on: feasibility tolerance of the solver, margin of the clauses and of
        the distance asked of it.
    solver : str
        Solver and version; empty when none was needed.
    fingerprint : str
        Of the network.
    seed : int
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("gap", "robust_radius")

    status: DistortionStatus
    norm: str
    label: int
    target: int | None
    lower: float
    upper: float
    point: Array | None = field(default=None, compare=False)
    predicted: int | None = None
    margin: float | None = None
    margin_own: float | None = None
    classes: tuple[ClassDistance, ...] = ()
    reason: str = ""
    tolerance: float = 0.0
    rounds: int = 0
    n_unstable: int = 0
    n_binaries: int = 0
    clocks: Clocks = field(default_factory=Clocks, compare=False)
    tolerances: dict[str, float] = field(default_factory=dict)
    solver: str = ""
    fingerprint: str = ""
    seed: int = 0

    @property
    def gap(self) -> float:
        """Distance of the bounds relative to ``upper``; infinite without an upper bound."""
        if not math.isfinite(self.upper):
            return math.inf
        return (self.upper - self.lower) / self.upper if self.upper > 0.0 else 0.0

    @property
    def robust_radius(self) -> float:
        """Largest radius whose closed ball is proven to hold no adversarial point, or -inf."""
        return proven_radius(self.classes)

    def __str__(self) -> str:
        lines = [
            f"{self.status}: {self.lower:.6g} <= {self.norm} distance <= {self.upper:.6g} "
            f"(label {self.label}, target {'any' if self.target is None else self.target})"
        ]
        if self.reason:
            lines.append(f"  reason: {self.reason}")
        if self.point is not None:
            lines.append(f"  point: class {self.predicted}, margin {self.margin:.6g}")
        lines += [f"  {c.name}: not within {c.radius:.6g}, by {c.method}" for c in self.classes]
        return "\n".join(lines)


@dataclass(frozen=True)
class CertifiedRadius(Record):
    """Largest radius proven robust; ``float(result)`` is the radius.

    Attributes
    ----------
    radius : float
        Every point of the domain at this distance or less gets the class ``label`` (with a
        target: no such point gets the class ``target``). ``-inf`` when not even the centre is
        proven to, ``inf`` when the whole domain is.
    status : {"complete", "incomplete"}
        ``complete``: to the tolerance no larger radius can be proven by this method (``exact``:
        none is robust).
    norm : {"linf", "l1", "l2", "l0"}
    label : int
    target : int or None
    method : {"bounds", "exact"}
    classes : tuple of ClassDistance
        What is proven about each class.
    reason : str
        Why the answer is incomplete; empty otherwise.
    tolerance : float
        Accuracy asked for, relative to the radius.
    clocks : Clocks
    tolerances : dict
        As of :class:`Distortion`.
    solver : str
        Solver and version; empty when none was needed.
    fingerprint : str
        Of the network.
    seed : int
    """

    radius: float
    status: Literal["complete", "incomplete"]
    norm: str
    label: int
    target: int | None
    method: RadiusMethod
    classes: tuple[ClassDistance, ...] = ()
    reason: str = ""
    tolerance: float = 0.0
    clocks: Clocks = field(default_factory=Clocks, compare=False)
    tolerances: dict[str, float] = field(default_factory=dict)
    solver: str = ""
    fingerprint: str = ""
    seed: int = 0

    def __float__(self) -> float:
        return self.radius

    def __str__(self) -> str:
        found = f"{self.norm} radius {self.radius:.6g} (label {self.label}, by {self.method})"
        return found + (f"\n  {self.status}: {self.reason}" if self.reason else "")


def proven_radius(classes: Sequence[ClassDistance]) -> float:
    """Radius within which every class is excluded, or -inf."""
    least = min((c.radius for c in classes), default=-1.0)
    return least if least >= 0.0 else -math.inf
