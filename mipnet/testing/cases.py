"""The suite as a list of named cases, for any test runner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from formulations import formulations as all_formulations
from mipnet.errors import QueryError
from mipnet.network.layers.base import layer_kinds
from mipnet.pruning import pruners as all_pruners
from mipnet.testing import checks
from mipnet.testing.pruning import check_pruner
from mipnet.testing.where import Where

_RUN: Mapping[str, Callable[[str, Where], None]] = {
    "rules": checks.run_rules,
    "bounds": checks.run_bounds,
    "program": checks.run_program,
    "removal": checks.run_removal,
    "pruner": lambda _, where: check_pruner(where.pruner, seed=where.seed),
}


@dataclass(frozen=True, kw_only=True)
class Case(Where):
    """One check under given circumstances.

    Attributes
    ----------
    check : {"rules", "bounds", "program", "removal", "pruner"}
    """

    check: str

    def run(self) -> None:
        """Raise :class:`ConformanceError` unless what is checked holds."""
        _RUN[self.check](self.layer, self)

    def __str__(self) -> str:
        share = None if self.sparsity is None else f"{self.sparsity:g}"
        parts = (self.check, self.layer, self.formulation, self.pruner, share, self.solver)
        return "-".join([*(p for p in parts if p), str(self.seed)])


def layers() -> tuple[str, ...]:
    """Kinds of all registered layers, those of other packages (``mipnet.layers``) included."""
    return layer_kinds()


def formulations() -> tuple[str, ...]:
    """Names of all formulations, those of other packages (``mipnet.formulations``) included."""
    return all_formulations()


def cases(
    layers: Sequence[str] | None = None,
    formulations: Sequence[str] | None = None,
    *,
    sparsity: Sequence[float] = checks.SPARSITY,
    solvers: Sequence[str] = ("highs",),
    pruners: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
) -> list[Case]:
    """Every check of layers x formulations x sparsity x solvers, and of pruning methods.

    Parameters
    ----------
    layers, formulations, pruners : sequence of str, optional
        Registered names; all of them when absent, those of other packages included.
    sparsity : sequence of float
        Shares of zero weights in the networks around the layers.
    solvers : sequence of str
        Registered for arrays (``highs``), or known to Pyomo's SolverFactory.
    seeds : sequence of int

    Returns
    -------
    list of Case
        Each with a name (``str``) of its own.

    Raises
    ------
    QueryError
        When a name is not known.

    Examples
    --------
    >>> from mipnet.testing import cases
    >>> found = cases(["Abs"], ["big_m"], sparsity=[0.5], pruners=["random"])
    >>> for case in found:
    ...     print(case)
    rules-Abs-0
    bounds-Abs-0.5-0
    program-Abs-big_m-0.5-highs-0
    removal-Abs-big_m-0.5-highs-0
    pruner-random-0
    >>> found[0].run()
    """
    kinds = _known("layer", layers, layer_kinds())
    named = all_formulations() if formulations is None else tuple(formulations)
    methods = _known("pruning method", pruners, all_pruners())
    pyomo = {solver: checks.by_pyomo(solver) for solver in solvers}
    grid = [(kind, share, seed) for kind in kinds for share in sparsity for seed in seeds]
    found = [Case(check="rules", layer=kind, seed=seed) for kind in kinds for seed in seeds]
    found += [Case(check="bounds", layer=k, sparsity=share, seed=s) for k, share, s in grid]
    found += _programs(grid, named, pyomo)
    found += [Case(check="pruner", pruner=name, seed=seed) for name in methods for seed in seeds]
    return found


def _programs(
    grid: list[tuple[str, float, int]], named: Sequence[str], pyomo: Mapping[str, bool]
) -> Iterator[Case]:
    for kind, share, seed in grid:
        for how in named:
            for solver, foreign in pyomo.items():
                for check in ("removal",) if foreign else ("program", "removal"):
                    yield Case(
                        check=check,
                        layer=kind,
                        formulation=how,
                        sparsity=share,
                        solver=solver,
                        seed=seed,
                    )


def _known(what: str, asked: Sequence[str] | None, there: Sequence[str]) -> tuple[str, ...]:
    strange = [name for name in asked or () if name not in there]
    if strange:
        msg = f"unknown {what} {strange[0]!r}; registered: {', '.join(there)}"
        raise QueryError(msg)
    return tuple(there if asked is None else asked)
