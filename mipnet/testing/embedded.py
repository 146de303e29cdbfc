"""Networks that come into a Pyomo model, are built again, and go: the rest stays as it was."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from formulations import formulation
from mipnet.errors import MipnetWarning, QueryError
from mipnet.network import Network
from mipnet.network.layers.smooth import Smooth
from mipnet.region import Box
from mipnet.testing.where import Where

#: Solvers hold rows and integers to 1e-6 or so.
_SLACK = 2e-5


def check_removal(network: Network, region: Box, how: str, where: Where) -> None:
    """Embed a network, solve, rebuild, remove and embed again.

    Formulations that HiGHS does not know are not solved, unless a solver that does is named; those
    that are only relaxations have to be refused.

    Parameters
    ----------
    network : Network
    region : Box
    how : str
        Formulation.
    where : Where
        Its solver is ``highs``, which is :func:`mipnet.solve`, or a name of Pyomo's SolverFactory.

    Raises
    ------
    ConformanceError
    QueryError
        When Pyomo has no such solver, or it is not installed.
    """
    import pyomo.environ as pyo

    from mipnet.embedding import add_network

    chosen, rough = formulation(how), any(n.layer.band > 0.0 for n in network.nodes)
    stubborn = [n.layer for n in network.nodes if isinstance(n.layer, Smooth)]
    if chosen.closed and not all(layer.expressible for layer in stubborn):
        return
    asked = where.solver not in {"", "highs"}
    solvable = asked or not chosen.needs
    m = pyo.ConcreteModel()
    ends = list(zip(region.lower.tolist(), region.upper.tolist(), strict=True))
    m.x = pyo.Var(range(network.n_inputs), bounds=lambda _, i: ends[i])
    m.cap = pyo.Constraint(expr=sum(m.x[i] for i in m.x) <= float(region.upper.sum()))
    m.own = pyo.Objective(expr=sum((i + 1) * m.x[i] for i in m.x))
    before, optimum = _names(m), _solve(m, "")
    if not chosen.exact:
        _refused(m, network, how, before, where)
        return
    seen = []
    for _ in range(2):
        with where.doing("embedding"):
            block = add_network(m, network, m.x, formulation=how)
            block.initialize((region.lower + region.upper) / 2.0)
        where.demand(block.error() <= 1e-9, f"a start is off by {block.error():.3g}")
        for _ in range(2):
            if solvable:
                seen.append(_of_block(m, block, where, rough=rough))
            with where.doing("rebuild"):
                block.rebuild()
        with where.doing("remove"):
            block.remove()
        left = sorted(set(_names(m)) ^ set(before))
        where.demand(not left, f"remove leaves or takes {left[:5]}")
        again = _solve(m, "")
        text = f"after remove the model's own optimum is {again:.9g}, before {optimum:.9g}"
        where.demand(abs(again - optimum) <= _SLACK * (1.0 + abs(optimum)), text)
    if seen:
        spread = max(seen) - min(seen)
        text = f"optima differ by {spread:.3g} when the network comes back"
        where.demand(spread <= _SLACK * (1.0 + abs(seen[0])), text)


def _refused(m: Any, network: Network, how: str, before: list[str], where: Where) -> None:
    """Demand that a model takes no relaxation for the network, and is then as it was."""
    from mipnet.embedding import add_network

    try:
        add_network(m, network, m.x, formulation=how)
    except QueryError:
        where.demand(_names(m) == before, "a refused network leaves something in the model")
    else:
        where.demand(False, "a relaxation is embedded as if it were the network")


def _of_block(m: Any, block: Any, where: Where, *, rough: bool) -> float:
    """Optimum of the first output, replayed where the rows are the network exactly."""
    import pyomo.environ as pyo

    m.own.deactivate()
    m.aim = pyo.Objective(expr=block.outputs[0])
    with where.doing("the solver"), warnings.catch_warnings():
        if rough:
            # Its words about a band are known.
            warnings.simplefilter("ignore", MipnetWarning)
        value = _solve(m, where.solver)
        error = 0.0 if rough else block.error()
    where.demand(error <= _SLACK, f"the replayed solution is off by {error:.3g}")
    m.del_component(m.aim)
    m.own.activate()
    return value


def _solve(m: Any, solver: str) -> float:
    import pyomo.environ as pyo

    from mipnet.embedding import solve

    if solver in {"", "highs"}:
        return float(np.asarray(solve(m, start=False).objective))
    pyomo_solver(solver).solve(m)
    (active,) = m.component_data_objects(pyo.Objective, active=True)
    return float(pyo.value(active))


def pyomo_solver(name: str) -> Any:
    """Return an installed solver of Pyomo's SolverFactory.

    Raises
    ------
    QueryError
        When there is none of that name.
    """
    import pyomo.environ as pyo

    found = pyo.SolverFactory(name)
    if not found.available(exception_flag=False):
        msg = f"solver {name!r} is neither one of arrays nor an installed one of Pyomo"
        raise QueryError(msg)
    return found


def _names(m: Any) -> list[str]:
    """Names of everything active in a model, members of indexed components included."""
    import pyomo.environ as pyo

    kinds = (pyo.Var, pyo.Constraint, pyo.SOSConstraint, pyo.Objective, pyo.Block, pyo.Expression)
    found = [c.name for k in kinds for c in m.component_data_objects(k, descend_into=True)]
    return sorted([*found, *(c.name for c in m.component_objects(descend_into=True))])
