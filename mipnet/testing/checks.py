"""Checks of one layer or one formulation, usable alone."""

from __future__ import annotations

from collections.abc import Sequence

from formulations import formulations as all_formulations
from mipnet.network.layers.base import layer_kinds
from mipnet.testing.embedded import check_removal
from mipnet.testing.examples import Maker, maker
from mipnet.testing.nets import alone, around, box
from mipnet.testing.programs import check_bounds, check_program, solver_named
from mipnet.testing.rules import check_rules
from mipnet.testing.where import Where

#: Shares of zero weights that are tried.
SPARSITY = (0.0, 0.6)


def check_layer(
    layer: str | Maker,
    formulations: Sequence[str] | None = None,
    *,
    sparsity: Sequence[float] = SPARSITY,
    solvers: Sequence[str] = ("highs",),
    seeds: Sequence[int] = (0,),
) -> None:
    """Check everything about a layer.

    Its rules contain samples; its program is its forward pass under every formulation, alone and
    inside a network; bounds contain samples; formulations agree; it comes into a Pyomo model and
    goes without a trace.

    Parameters
    ----------
    layer : str or callable
        Registered kind, or a function of a random generator to a layer and the shapes of its
        inputs.
    formulations : sequence of str, optional
        All of them when absent.
    sparsity : sequence of float
        Shares of zero weights in the network around it.
    solvers : sequence of str
        Registered for arrays (``highs``), or known to Pyomo's SolverFactory.
    seeds : sequence of int

    Raises
    ------
    ConformanceError
        Names layer, formulation, what differs and the seed.
    QueryError
        When a layer or solver does not exist.

    Examples
    --------
    >>> from mipnet.testing import check_layer
    >>> check_layer("Abs", ["big_m"], sparsity=[0.5])
    """
    kind, _ = maker(layer)
    for seed in seeds:
        run_rules(layer, Where(layer=kind, seed=seed))
        for share in sparsity:
            run_bounds(layer, Where(layer=kind, sparsity=share, seed=seed))
        for how in all_formulations() if formulations is None else formulations:
            for solver in solvers:
                for share in sparsity:
                    spot = Where(
                        layer=kind, formulation=how, sparsity=share, solver=solver, seed=seed
                    )
                    if not by_pyomo(solver):
                        run_program(layer, spot)
                    run_removal(layer, spot)


def check_formulation(
    name: str,
    layers: Sequence[str] | None = None,
    *,
    sparsity: Sequence[float] = SPARSITY,
    solvers: Sequence[str] = ("highs",),
    seeds: Sequence[int] = (0,),
) -> None:
    """Check a formulation on every layer that has something to choose.

    Parameters
    ----------
    name : str
        Registered name, options included: ``"partition(3)"``.
    layers : sequence of str, optional
        All nonlinear ones when absent.
    sparsity, solvers, seeds
        As for :func:`check_layer`.

    Raises
    ------
    ConformanceError
        Names layer, formulation, what differs and the seed.

    Examples
    --------
    >>> from mipnet.testing import check_formulation
    >>> check_formulation("partition(3)", ["ReLU"], sparsity=[0.0])
    """
    for seed in seeds:
        for layer in nonlinear() if layers is None else layers:
            for solver in solvers:
                for share in sparsity:
                    spot = Where(
                        layer=layer, formulation=name, sparsity=share, solver=solver, seed=seed
                    )
                    if not by_pyomo(solver):
                        run_program(layer, spot)
                    run_removal(layer, spot)


def nonlinear() -> tuple[str, ...]:
    """Kinds of layers that a formulation has to write."""
    rng = Where().rng()
    return tuple(k for k in layer_kinds() if maker(k)[1](rng)[0].nonlinear)


def by_pyomo(solver: str) -> bool:
    """Whether only Pyomo knows a solver."""
    from mipnet.bench.solvers import SOLVERS
    from mipnet.errors import QueryError
    from mipnet.testing.embedded import pyomo_solver

    try:
        solver_named(solver)
    except QueryError:
        pyomo_solver(solver)
    return solver not in SOLVERS


def run_rules(layer: str | Maker, where: Where) -> None:
    """See :func:`mipnet.testing.rules.check_rules`."""
    check_rules(*maker(layer)[1](where.rng()), where)


def run_bounds(layer: str | Maker, where: Where) -> None:
    """See :func:`mipnet.testing.programs.check_bounds`."""
    rng = where.rng()
    made = maker(layer)[1](rng)
    check_bounds(around(*made, where.sparsity or 0.0, rng), box(rng, 2), where)


def run_program(layer: str | Maker, where: Where) -> None:
    """See :func:`mipnet.testing.programs.check_program`; the layer alone, then in a network."""
    rng = where.rng()
    made = maker(layer)[1](rng)
    if not where.sparsity:
        network = alone(*made)
        check_program(network, box(rng, network.n_inputs), where.formulation, where)
    network = around(*made, where.sparsity or 0.0, rng)
    check_program(network, box(rng, 2), where.formulation, where)


def run_removal(layer: str | Maker, where: Where) -> None:
    """See :func:`mipnet.testing.embedded.check_removal`."""
    rng = where.rng()
    made = maker(layer)[1](rng)
    network = around(*made, where.sparsity or 0.0, rng)
    check_removal(network, box(rng, 2), where.formulation, where)
