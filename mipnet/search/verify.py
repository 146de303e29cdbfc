"""VNN-LIB properties of networks: a confirmed counterexample, or a proof that there is none."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mipnet.choice import Choice, solvable
from mipnet.clocks import Clocks, Stopwatch
from mipnet.errors import MipnetError, QueryError
from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.network.readers import load
from mipnet.region import Box
from mipnet.search.attack import ascend, start_points
from mipnet.search.decide import MARGIN, Decision, Settings
from mipnet.search.goal import Clause, Stack
from mipnet.search.reference import OnnxReference, disagreement, reference
from mipnet.search.verdict import ClauseResult
from mipnet.search.verify_result import CaseResult, VerifyResult, VerifyStatus
from mipnet.search.vnnlib import Case, Property, read_property
from mipnet.search.vnnlib.formula import Comparison
from mipnet.solver import Status
from mipnet.solver.profile import FEASIBILITY

#: Most clauses asked at once; memory grows with clauses times inputs.
CHUNK = 256
#: A counterexample with a margin below this, relative to its outputs, is moved for a larger one.
COMFORT = 1e-5


def verify(
    network: object,
    prop: str | os.PathLike[str] | Property,
    *,
    timeout: float | None = None,
    threads: int = 1,
    seed: int = 0,
    bounds: str = "milp",
    formulation: Choice = "big_m",
    restarts: int = 8,
) -> VerifyResult:
    """Find an input that satisfies a VNN-LIB file, or prove that there is none.

    Every input box of the file is one question to the engine behind
    :func:`mipnet.find_adversarial`. Proofs cover the exact decimals of the file and count ``<`` as
    ``<=``. A counterexample lies in the box exactly and satisfies the constraints, strict ones
    strictly, with no tolerance: in float64 and, for an ONNX model with onnxruntime installed, in a
    run of the original model. A model that onnxruntime refuses, or evaluates otherwise than mipnet,
    is decided neither way.

    Parameters
    ----------
    network : path or anything :func:`mipnet.load` reads
    prop : path or Property
        VNN-LIB 1.0 file, ``.vnnlib`` or ``.vnnlib.gz``.
    timeout : float, optional
        Seconds for the whole call, reading included.
    threads : int
        Threads of the solver and of onnxruntime.
    seed : int
    bounds, formulation, restarts
        As for :func:`mipnet.find_adversarial`.

    Returns
    -------
    VerifyResult

    Raises
    ------
    ReadError
        When a file is missing or malformed.
    UnsupportedError
        When network or property use what mipnet does not read.
    QueryError
        When the property does not fit the network.
    RegionError
        When an input has no bounds.
    """
    if timeout is not None and not (math.isfinite(timeout) and timeout >= 0.0):
        msg = f"timeout must be a finite number >= 0, not {timeout}"
        raise QueryError(msg)
    watch = Stopwatch(timeout)
    found = prop if isinstance(prop, Property) else read_property(prop)
    net = load(network)
    for what, declared, actual in (
        ("inputs X", found.n_inputs, net.n_inputs),
        ("outputs Y", found.n_outputs, net.n_outputs),
    ):
        if declared != actual:
            msg = f"{found.source} declares {declared} {what}, {net.source} has {actual}"
            raise QueryError(msg)
    model, doubt = None, ""
    try:
        model, confirmation = reference(network, net, threads)
    except QueryError as error:
        # Whatever mipnet makes of it, it is no model to others.
        confirmation = doubt = str(error)
    settings = Settings(bounds, solvable(formulation, net), restarts, threads, seed)
    search = _Search(net, found, model, watch, settings, reason=doubt)
    search.run()
    return search.result(confirmation)


@dataclass
class _Part:
    """Some clauses of one case, and what is known of them."""

    number: int
    case: Case
    clauses: Sequence[tuple[Comparison, ...]]
    stack: Stack
    results: list[ClauseResult]
    rejected: set[int] = field(default_factory=set)
    reason: str = ""
    n_unstable: int = 0
    n_binaries: int = 0

    @property
    def open(self) -> list[int]:
        """Clauses that may still be asked."""
        return [
            i for i, r in enumerate(self.results) if r.outcome == "open" and i not in self.rejected
        ]

    @property
    def outcome(self) -> str:
        """Of the part as a whole."""
        outcomes = {r.outcome for r in self.results}
        return "witness" if "witness" in outcomes else "open" if "open" in outcomes else "excluded"


@dataclass(frozen=True)
class _Found:
    """A confirmed counterexample."""

    point: Array
    inputs: list[str]
    outputs: Array
    margin: float
    margin_reference: float


@dataclass
class _Search:
    """State of one call."""

    network: Network
    prop: Property
    model: OnnxReference | None
    watch: Stopwatch
    settings: Settings
    parts: list[_Part] = field(default_factory=list)
    found: _Found | None = None
    reason: str = ""
    solver: str = ""
    clocks: Clocks = field(default_factory=Clocks)

    def __post_init__(self) -> None:
        for number, case in enumerate(self.prop.cases):
            for first in range(0, len(case.clauses), CHUNK):
                clauses = case.clauses[first : first + CHUNK]
                stack = self.prop.stack(clauses, first)
                results = [ClauseResult(c.name, "open", "none", np.inf) for c in stack.clauses]
                self.parts.append(_Part(number, case, clauses, stack, results))

    @property
    def dtype(self) -> str:
        """Floating type the model computes in."""
        own = self.network.dtype
        return own if self.model is None else str(np.dtype(self.model.dtype))

    def run(self) -> None:
        """Ask every part; those that ran out of their share of the time get what is left."""
        try:
            self.reason = self.reason or self.misread()
            waiting = [] if self.reason else self.parts
            for share in (0.5, 1.0):
                waiting = self.round(waiting, 1.0 if len(waiting) == 1 else share)
        except KeyboardInterrupt:
            self.reason = "interrupted"

    def misread(self) -> str:
        """Why the network is not the model, seen at a few points; empty when it seems to be."""
        if self.model is None or not self.parts:
            return ""
        region = self.prop.region(self.parts[0].case, self.dtype)
        points = start_points(region, np.random.default_rng(self.settings.seed), 4)
        with self.watch("check"):
            try:
                return disagreement(self.network, self.model, points)
            except MipnetError as error:
                return str(error)

    def round(self, parts: list[_Part], share: float) -> list[_Part]:
        """Ask parts in turn; return those that need more time."""
        late: list[_Part] = []
        for k, part in enumerate(parts):
            if self.found is not None or self.reason:
                return []
            if self.watch.expired:
                return [*late, *parts[k:]]
            left = self.watch.left
            limit = None if left is None else left * share / (len(parts) - k)
            watch = Stopwatch(limit)
            try:
                self.ask(part, watch)
            except MipnetError as error:
                part.reason = str(error)
            # Whatever else the engine breaks down with is no answer either.
            except Exception as error:
                part.reason = f"{type(error).__name__}: {error}"
            finally:
                self.clocks += watch.clocks
            if part.open and _short_of_time(watch, part.reason):
                late.append(part)
        return late

    def ask(self, part: _Part, watch: Stopwatch) -> None:
        """Decide the open clauses of a part."""
        with watch("build"):
            region = self.prop.region(part.case, self.dtype)
        while part.open:
            asked = part.open
            comparisons = [c for i in asked for c in part.clauses[i]]
            strict = all(part.clauses[i] for i in asked) and all(c.strict for c in comparisons)
            stack = Stack(tuple(part.stack.clauses[i] for i in asked))
            settings = replace(self.settings, strict=strict)
            decision = Decision(self.network, region, stack, watch, settings)
            decision.run()
            self.solver = decision.solver or self.solver
            part.n_unstable, part.n_binaries = decision.n_unstable, decision.n_binaries
            for i, result in zip(asked, decision.results, strict=True):
                part.results[i] = result
            part.reason = decision.reason
            if part.reason == "interrupted":
                self.reason = part.reason
            if decision.witness is None:
                return
            with watch("check"):
                i = asked[decision.witness.clause]
                self.found, doubt = self.confirm(part, region, i, decision.witness.point)
            if self.found is not None:
                part.reason = ""
                return
            named = f"{part.results[i].name}: {doubt}"
            part.results[i] = replace(part.results[i], outcome="open", detail=named)
            part.rejected.add(i)
            part.reason = named

    def confirm(self, part: _Part, region: Box, i: int, point: Array) -> tuple[_Found | None, str]:
        """Counterexample at or near a point, with a margin where one can be had; or why none."""
        clause = part.clauses[i]
        best, doubt = self.replay(part.case, clause, self.snap(region, point))
        if best is None or _slight(best):
            for near in self.improved(region, part.stack.clauses[i], point):
                other, _ = self.replay(part.case, clause, near)
                if other is not None and (best is None or _least(other) > _least(best)):
                    best = other
        return best, doubt

    def snap(self, region: Box, point: Array) -> Array:
        """Nearest point of the box whose coordinates the model can hold, where it has such."""
        held = point.astype(self.dtype).astype(np.float64)
        return np.asarray(region.project(held))

    def improved(self, region: Box, clause: Clause, point: Array) -> Array:
        """Points near a point, or elsewhere, with a larger margin; the best first."""
        rng = np.random.default_rng(self.settings.seed)
        others = region.sample(rng, max(1, self.settings.restarts))
        # Halfway, a quarter, ... of the way to points of the whole box.
        steps = 0.5 ** np.arange(1, len(others) + 1)[:, None]
        starts = np.concatenate([point[None], point + steps * (others - point)])
        count = len(starts)
        rows = np.repeat(clause.rows[None], count, axis=0)
        offsets = np.repeat(clause.offsets[None], count, axis=0)
        points, values = ascend(self.network, region, rows, offsets, starts, watch=self.watch)
        return np.array([self.snap(region, p) for p in points[np.argsort(-values)]])

    def replay(
        self, case: Case, clause: tuple[Comparison, ...], point: Array
    ) -> tuple[_Found | None, str]:
        """Evaluate a point in every precision; the counterexample, or what speaks against it."""
        inputs = self.prop.texts(case, point)
        if inputs is None:
            return None, "no decimal number lies within the bounds of an input"
        own = self.network(point).reshape(-1)
        evaluate: Callable[[Array], Array] = self.network.replay
        name = f"the network in {self.network.dtype}"
        if self.model is not None:
            evaluate, name = self.model, self.model.name
        try:
            outputs = np.asarray(evaluate(point)).reshape(-1)
        except QueryError as error:
            return None, str(error)
        for values, where in ((own, "the network in float64"), (outputs, name)):
            holds, margin = self.prop.margin(clause, values)
            if not holds:
                return None, f"a point was found, but its margin is {margin:.3g} in {where}"
        margins = (self.prop.margin(clause, values)[1] for values in (own, outputs))
        return _Found(point, inputs, outputs, *margins), ""

    def status(self) -> VerifyStatus:
        """Of the whole question."""
        if self.found is not None:
            return "sat"
        if self.reason:
            return "unknown"
        if all(part.outcome == "excluded" for part in self.parts):
            return "unsat"
        late = any(part.open and _short_of_time(self.watch, part.reason) for part in self.parts)
        return "timeout" if late else "unknown"

    def result(self, confirmation: str) -> VerifyResult:
        """Everything that is known."""
        status, found = self.status(), self.found
        reasons = [self.reason, *(part.reason for part in self.parts if part.outcome == "open")]
        reason = "; ".join(dict.fromkeys(filter(None, reasons)))
        if status == "timeout":
            reason = reason or "time limit reached"
        return VerifyResult(
            status=status,
            network=self.network.source,
            prop=self.prop.source,
            cases=tuple(
                CaseResult(
                    p.number, p.outcome, tuple(p.results), p.n_unstable, p.n_binaries, p.reason
                )
                for p in self.parts
            ),
            point=None if found is None else found.point,
            inputs=() if found is None else tuple(found.inputs),
            outputs=None if found is None else found.outputs,
            margin=None if found is None else found.margin,
            margin_reference=None if found is None else found.margin_reference,
            confirmation=confirmation,
            reason="" if status in {"sat", "unsat"} else reason,
            seconds=self.watch.elapsed,
            timeout=self.watch.limit,
            clocks=self.clocks + self.watch.clocks,
            tolerances={"feasibility": FEASIBILITY, "margin": MARGIN},
            solver=self.solver,
            fingerprint=self.network.fingerprint,
            seed=self.settings.seed,
        )


def _short_of_time(watch: Stopwatch, reason: str) -> bool:
    """Whether a question ended for lack of time: solvers stop a little before the limit."""
    if watch.limit is None or watch.left is None:
        return False
    named = "time limit" in reason or Status.TIME_LIMIT.value in reason
    return named or watch.left <= 0.02 * watch.limit + 0.05


def _least(found: _Found) -> float:
    return min(found.margin, found.margin_reference)


def _slight(found: _Found) -> bool:
    size = max(1.0, float(np.abs(found.outputs).max(initial=0.0)))
    return _least(found) < COMFORT * size
