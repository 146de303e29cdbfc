"""The base class of problem kinds: what is asked of a network, and the answer as plain columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from mipnet.bench.data import Data
from mipnet.bench.registry import Registry
from mipnet.clocks import Clocks
from mipnet.network import Network
from mipnet.region import Region

Array = npt.NDArray[np.float64]
Goal = Literal["decide", "minimise", "maximise"]
#: Says what is wrong with a value; empty when nothing is.
Check = Callable[[Any], str]

#: Where an option is wrong, as key and position (``("items", 3)``), and what is.
Misfit = tuple[tuple[str | int, ...], str]

#: How a cell may end. The first four are answers; ``unresolved`` is the search giving up for
#: another reason than its limits.
STATUSES = (
    "optimal",
    "infeasible",
    "feasible-limit",
    "no-solution-limit",
    "unresolved",
    "killed",
    "memory",
    "error",
    "inconsistent",
)
#: Those that answer the question.
SOLVED = frozenset({"optimal", "infeasible"})
#: Those a limit cut short: time is a lower bound.
CENSORED = frozenset({"feasible-limit", "no-solution-limit", "killed", "memory", "unresolved"})
#: Those ``--retry-errors`` asks again.
FAILED = frozenset({"error", "killed", "memory", "inconsistent"})


def option(default: Any = MISSING, *, check: Check | None = None, **metadata: Any) -> Any:
    """Return a field of a problem kind, with what a plan may give for it.

    Parameters
    ----------
    default : object
        Without one the key has to be given.
    check : callable, optional
        Says what is wrong with a value of the right type; empty when nothing is.
    **metadata
        ``each``: a check for every entry of a list; ``unique``: whether each may stand there only
        once.
    """
    return field(default=default, metadata={"check": check, **metadata})


def axis(default: Any = MISSING, *, check: Check | None = None, **metadata: Any) -> Any:
    """Return an :func:`option` for which a plan may give a list: one problem for each."""
    return option(default, check=check, axis=True, **metadata)


def selection(default: Any = MISSING, *, check: Check | None = None, **metadata: Any) -> Any:
    """Return an :func:`option` that says which instances there are; it changes no answer."""
    return option(default, check=check, selection=True, **metadata)


@dataclass(frozen=True)
class Instance:
    """One question of a problem.

    Attributes
    ----------
    name : str
        Readable: ``"test 17"``.
    options : mapping
        What tells it from the others; plain JSON values. Part of the identity of a cell.
    network : Path or None
        Where the instance brings its own network.
    files : mapping of str to Path
        Other files it reads; their content is part of the identity, their place is not.
    time_limit : float or None
        Where the instance brings its own limit: the smaller of the two counts.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    network: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    time_limit: float | None = None


@dataclass(frozen=True)
class Search:
    """How a question is to be answered.

    Attributes
    ----------
    time_limit : float
        Seconds.
    formulation, bounds : str
    restarts : int or None
        Start points of the attack; the default of the search when absent.
    threads, seed : int
    """

    time_limit: float
    formulation: str = "big_m"
    bounds: str = "lp"
    restarts: int | None = None
    threads: int = 1
    seed: int = 0

    def options(self) -> dict[str, Any]:
        """Keyword arguments the questions of :mod:`mipnet.search` share."""
        found = {
            "time_limit": self.time_limit,
            "formulation": self.formulation,
            "bounds": self.bounds,
            "threads": self.threads,
            "seed": self.seed,
        }
        return found if self.restarts is None else found | {"restarts": self.restarts}


@dataclass(frozen=True)
class Answer:
    """What came of a question.

    Attributes
    ----------
    status : str
        One of :data:`STATUSES`.
    verdict : str
        In the words of the search: ``robust``, ``witness``, ``optimal``, ``time_limit``.
    objective, bound : float or None
        Best value and its proven bound, in the sense of the question.
    point : array or None
        The decision found.
    replay_error : float or None
        Largest difference between what the answer claims of its point and a float64 forward pass.
    reason : str
        Why there is no answer.
    method : str
        What decided it, see :data:`METHODS`.
    nodes, n_unstable, n_binaries, n_rows, n_nonzeros : int or None
    clocks : Clocks
    solver : str
        Solver and version; empty when none was needed.
    """

    status: str
    verdict: str
    objective: float | None = None
    bound: float | None = None
    point: Array | None = field(default=None, compare=False)
    replay_error: float | None = None
    reason: str = ""
    method: str = ""
    nodes: int | None = None
    n_unstable: int | None = None
    n_binaries: int | None = None
    n_rows: int | None = None
    n_nonzeros: int | None = None
    clocks: Clocks = field(default_factory=Clocks, compare=False)
    solver: str = ""


@dataclass(frozen=True, kw_only=True)
class Problem(ABC):
    """One kind of question, with its options as fields.

    A kind is a frozen dataclass under :func:`register_problem`. Fields become keys of
    ``[[problems]]`` in a plan: annotations and the checks of :func:`option` are applied, lists
    expand fields made by :func:`axis`, and what is wrong with several fields together is for
    :meth:`faults` to say.

    Attributes
    ----------
    kind : str
        Registered name.
    goal : {"decide", "minimise", "maximise"}
        Whether objectives are compared, and which is better.
    source : str
        What the question is, with its source.
    needs_data : bool
        Whether instances come from a data set.
    brings_networks : bool
        Whether every instance names its own network.
    """

    kind: ClassVar[str]
    goal: ClassVar[Goal]
    source: ClassVar[str]
    needs_data: ClassVar[bool] = True
    brings_networks: ClassVar[bool] = False
    #: Factor from the objective the solver minimises to ours, and the modules whose solves are
    #: about the whole question (solves on parts of it say nothing about its incumbent and bound);
    #: None where no solve is.
    trajectory: ClassVar[tuple[float, frozenset[str]] | None] = None

    def faults(self) -> Iterable[str]:
        """Say what is wrong with the options together; nothing when they fit."""
        return ()

    def misfits(self, data: Data | None, n_outputs: int | None) -> Iterable[Misfit]:
        """Say which options do not fit a data set, or networks with so many outputs.

        Asked before anything runs; None where data or outputs are not known.
        """
        del data, n_outputs
        return ()

    @abstractmethod
    def instances(self, data: Data | None) -> Iterable[Instance]:
        """List the questions; they must not depend on the network."""

    @abstractmethod
    def solve(self, network: Network, instance: Instance, data: Data | None, how: Search) -> Answer:
        """Answer one of them."""

    def region(self, network: Network, instance: Instance, data: Data | None) -> Region | None:
        """Input set for which sizes of the program are reported; None where there is no one set."""
        del network, instance, data
        return None

    def revisit(
        self, original: Network, instance: Instance, data: Data | None, answer: Answer
    ) -> float | None:
        """Value of the decision found, in the network the pruned one came from.

        For ``decide`` kinds 1 where the point answers the question there too, else 0.
        """
        del original, instance, data, answer
        return None


P = TypeVar("P", bound=type[Problem])


def _faults(kind: type[Problem]) -> list[str]:
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    missing += [part for part in ("goal", "source") if not hasattr(kind, part)]
    faults = [f"does not define {', '.join(missing)}"] if missing else []
    if "__dataclass_fields__" not in vars(kind):
        faults.append("is no dataclass: add @dataclass(frozen=True, kw_only=True)")
    return faults


#: Problem kinds by name.
PROBLEMS: Registry[type[Problem]] = Registry("problem kind", _faults)


def register_problem(kind: str) -> Callable[[P], P]:
    """Class decorator that files a problem kind; put it above ``@dataclass``.

    Raises
    ------
    TypeError
        When the name is taken, or a method, ``goal`` or ``source`` is missing: at import.
    """

    def file(cls: P) -> P:
        PROBLEMS.file(kind, cls)
        cls.kind = kind
        return cls

    return file


def options_of(problem: Problem) -> dict[str, Any]:
    """Fields of a problem that change answers, as plain JSON values.

    Files and selections are left out: what they lead to is part of the instances.
    """
    return {
        f.name: _plain(getattr(problem, f.name))
        for f in fields(problem)
        if not (f.metadata.get("path") or f.metadata.get("selection"))
    }


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


#: Methods of the searches, from the cheapest to the costliest.
METHODS = (
    *("none", "attack", "interval", "crown", "bounds", "alpha", "lp", "bisection", "splitting"),
    *("milp", "mip"),
)


def costliest(methods: Iterable[str]) -> str:
    """Name what decided a question, of all the methods that had a part in it.

    A method this list does not know comes just before a MIP.
    """

    def rank(name: str) -> float:
        return METHODS.index(name) if name in METHODS else len(METHODS) - 1.5

    return max(sorted(set(methods)), key=rank, default="none")


def interrupt_if(reason: str) -> None:
    """Pass Ctrl-C on: a search answers it with what it knows, but the cell is not finished."""
    if reason == "interrupted":
        raise KeyboardInterrupt


def limit_status(reason: str, *, value: bool) -> str:
    """Status of a question without an answer, from the reason the search gives.

    Parameters
    ----------
    reason : str
    value : bool
        Whether a solution is at hand.
    """
    words = reason.replace("_", " ")
    if "contradict" in words or "exclude" in words:
        return "inconsistent"
    if "limit" in words or "time" in words:
        return "feasible-limit" if value else "no-solution-limit"
    return "unresolved"
