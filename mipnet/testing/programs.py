"""The program of a small network against its forward pass, through a solver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from formulations import Formulation, formulation
from mipnet.bench.solvers import SOLVERS
from mipnet.bounds import compute_bounds
from mipnet.choice import Choice
from mipnet.encode import Encoding, encode
from mipnet.errors import QueryError
from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.network.layers.smooth import Smooth
from mipnet.plugins import load_group
from mipnet.region import Box
from mipnet.solver import Solution, Status
from mipnet.testing.nets import points
from mipnet.testing.plain import relaxed, written_out
from mipnet.testing.where import Where

#: What the others are compared with.
REFERENCE = "big_m"
#: Bounding methods that have to contain every sample.
BOUNDS = ("interval", "crown", "alpha", "lp")
#: Solvers hold rows and integers to 1e-6 or so; constants here are of size ten.
_SLACK = 2e-5


@dataclass(frozen=True)
class _Task:
    """A network over a region, and what was drawn for it."""

    network: Network
    region: Box
    samples: Array
    outputs: Array
    objectives: Array
    solver: str
    seed: int


def check_bounds(network: Network, region: Box, where: Where) -> None:
    """Bounds by every method contain samples of every neuron.

    Raises
    ------
    ConformanceError
    """
    samples = points(where.rng(), region.lower, region.upper)
    for method in BOUNDS:
        with where.doing(f"bounds by {method!r}"):
            wrong = compute_bounds(network, region, method).violation(samples)
        where.demand(wrong is None, f"bounds by {method!r}: {wrong}")


def check_program(network: Network, region: Box, how: str | Formulation, where: Where) -> None:
    """Forward passes fit into the program, its solutions are forward passes, optima agree.

    Of a formulation that is only a relaxation, optima lie below those of the network. Where a layer
    is written within a band, all this holds within that band, output by output; there the network
    has to end in the layer.

    Parameters
    ----------
    network : Network
        Its outputs are those of interest.
    region : Box
    how : str or Formulation
    where : Where

    Raises
    ------
    ConformanceError
    """
    task = _task(network, region, where)
    choice = _choice(network, formulation(how) if isinstance(how, str) else how)
    encoding = _encoded(task, choice, where)
    reference = _encoded(task, REFERENCE, where)
    with where.doing("the definitions of columns"):
        _contains(encoding, task, where)
    for k, objective in enumerate(task.objectives):
        with where.doing("the solver"):
            _optimum(encoding, reference, task, objective, where)
            if k == 0:
                _relaxation(encoding, task, objective, where)


def solver_named(name: str) -> None:
    """Raise QueryError when no solver of arrays has that name."""
    load_group("mipnet.solvers")
    if name not in SOLVERS:
        raise QueryError(SOLVERS.unknown(name))


def _task(network: Network, region: Box, where: Where) -> _Task:
    rng = where.rng()
    samples = points(rng, region.lower, region.upper, 200)
    outputs = network(samples)
    n = network.n_outputs
    some = rng.normal(size=(4, n))
    if n == 1:
        some = np.array([[1.0], [-1.0]])
    solver = where.solver or "highs"
    solver_named(solver)
    return _Task(network, region, samples, outputs, some, solver, where.seed)


def _choice(network: Network, how: Formulation) -> Choice:
    """Choose the formulation, but for layers that have no expression where it needs one."""
    layers = [n for n in network.nodes if isinstance(n.layer, Smooth) and not n.layer.expressible]
    return {"*": how, **({n.name: REFERENCE for n in layers} if how.closed else {})}


def _encoded(task: _Task, choice: Choice, where: Where) -> Encoding:
    with where.doing("encoding"):
        bounds = compute_bounds(task.network, task.region, "crown")
        return encode(
            task.network,
            task.region,
            bounds.intervals,
            formulation_name=choice,
            relaxed=True,
            linear=False,
        )


def _undefined(encoding: Encoding) -> str:
    """Say which columns a forward pass leaves at zero, because nothing tells how they follow."""
    program = encoding.program
    known = np.concatenate([encoding.inputs, *(d.columns for d in program.definitions)])
    missing = np.setdiff1d(np.arange(program.n_columns), known)
    if not missing.size:
        return ""
    some = ", ".join(map(str, missing[:5])) + (", ..." if missing.size > 5 else "")
    return (
        f"; columns {some} have no definition: program.define(columns, form, rule) gives them one"
    )


def _contains(encoding: Encoding, task: _Task, where: Where) -> None:
    arrays = encoding.arrays()
    for x, y in zip(task.samples[:40], task.outputs, strict=False):
        full = encoding.complete(x)
        over = arrays.violation(full)
        what = f"a forward pass breaks the program by {over:.3g} at {x}"
        where.demand(over <= 1e-7, what + _undefined(encoding))
        where.near(encoding.output.evaluate(full), y, f"output forms at {x}", 1e-7)


def _optimum(
    encoding: Encoding, reference: Encoding, task: _Task, objective: Array, where: Where
) -> None:
    found = _solved(encoding, task, objective, where)
    if found is None:
        return
    size = 1.0 + float(np.abs(objective).sum())
    best = float((task.outputs @ objective).min())
    text = f"the optimum {found.bound:.9g} lies above {best:.9g}, the value of a forward pass"
    where.demand(found.bound <= best + _SLACK * size, text)
    if not encoding.exact:
        return
    where.demand(found.values is not None, f"no solution: {found.message}")
    values = np.asarray(found.values)
    x = values[encoding.inputs]
    if encoding.band == 0.0 or _ends_in_band(task.network):
        told = encoding.output.evaluate(values)
        truth = task.network(np.clip(x, task.region.lower, task.region.upper))
        what = f"output of the program and of the network at the solution {x} (band"
        what += f" {encoding.band:.3g})"
        where.below(told, truth + encoding.band, what, _SLACK)
        where.below(truth, told + encoding.band, what, _SLACK)
        other = _solved(reference, task, objective, where)
        if other is not None and other.objective is not None and found.objective is not None:
            room = float(np.abs(objective).sum()) * max(encoding.band, reference.band)
            gap = abs(found.objective - other.objective)
            text = f"optimum {found.objective:.9g}, by {REFERENCE!r} {other.objective:.9g}"
            where.demand(gap <= room + _SLACK * size, text)


def _relaxation(encoding: Encoding, task: _Task, objective: Array, where: Where) -> None:
    arrays = relaxed(encoding.arrays(objective))
    found = SOLVERS[task.solver].solve(arrays, seed=task.seed)
    best = float((task.outputs @ objective).min())
    known = found.status in {Status.OPTIMAL, Status.UNBOUNDED}
    where.demand(known, f"linear relaxation: {found.status.name} ({found.message})")
    text = f"the linear relaxation {found.bound:.9g} lies above a forward pass, {best:.9g}"
    where.demand(found.bound <= best + _SLACK * (1.0 + float(np.abs(objective).sum())), text)


def _solved(encoding: Encoding, task: _Task, objective: Array, where: Where) -> Solution | None:
    """Return the optimum; None for expressions, which the solvers of arrays do not know."""
    arrays = written_out(encoding.arrays(objective))
    if arrays is None:
        return None
    found = SOLVERS[task.solver].solve(arrays, seed=task.seed)
    optimal = found.status is Status.OPTIMAL
    where.demand(optimal, f"the solver ends with {found.status.name} ({found.message})")
    return found


def _ends_in_band(network: Network) -> bool:
    """Whether nothing computes with the outputs of a layer that is written within a band."""
    rough = {n.name for n in network.nodes if n.layer.band > 0.0}
    linear = {"Flatten", "Concat"}
    for node in network.nodes:
        if rough & set(node.inputs):
            if node.layer.kind not in linear:
                return False
            rough.add(node.name)
    return True
