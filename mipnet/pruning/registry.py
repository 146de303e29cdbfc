"""The registry of pruning methods, and the one function that runs any of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy.typing as npt

from mipnet.arguments import require
from mipnet.errors import MaskError
from mipnet.plugins import faults_of, load_group
from mipnet.pruning.base import NEEDS, Pruner, Share, check_options
from mipnet.pruning.budgets import Budget
from mipnet.pruning.report import PruneResult

P = TypeVar("P", bound=type[Pruner])
PRUNERS: dict[str, type[Pruner]] = {}
#: Entry points of methods in other packages; imported when a list or an unknown name is asked for.
GROUP = "mipnet.pruners"


def register_pruner(name: str) -> Callable[[P], P]:
    """Class decorator that files a method under ``name``; put it above ``@dataclass``.

    Raises
    ------
    TypeError
        When the name is taken, ``scores``, ``source`` or ``needs`` is missing, or an option has
        no default or is not a parameter of the constructor: at import, not at use.

    Examples
    --------
    A method is one class::

        @register_pruner("first")
        @dataclass(kw_only=True)
        class First(Pruner):
            source = "keeps the units with the lowest index"
            needs = frozenset()

            def scores(self, network, data, rng):
                return {n: -np.arange(g.width) for n, g in prunable_layers(network).items()}
    """

    def file(cls: P) -> P:
        faults = _faults(cls)
        if name in PRUNERS:
            faults.append("uses a taken name")
        if faults:
            msg = f"pruning method {name!r} ({cls.__name__}) {'; '.join(faults)}"
            raise TypeError(msg)
        cls.name = name
        PRUNERS[name] = cls
        return cls

    return file


def pruners() -> tuple[str, ...]:
    """Names of all registered methods, those of other packages (``mipnet.pruners``) included."""
    load_group(GROUP)
    return tuple(sorted(PRUNERS))


def describe_methods() -> list[dict[str, Any]]:
    """Names, needs, costs and sources of all registered methods, as plain values."""
    found = []
    for name in pruners():
        cls = PRUNERS[name]
        found.append(
            {
                "name": name,
                "needs": sorted(cls.needs),
                "cost": cls.cost or _cost(cls.needs),
                "decides": cls.decides,
                "source": cls.source,
                "options": sorted(inspect.signature(cls).parameters),
            }
        )
    return found


def pruner(method: str, **options: Any) -> Pruner:
    """Return the method of that name with the given options.

    Raises
    ------
    MaskError
        When the method or an option is unknown; the message lists what there is.
    """
    require(method, str, "the name of a method", MaskError)
    if method not in PRUNERS and method not in pruners():
        known = ", ".join(pruners())
        msg = f"unknown pruning method {method!r}; registered: {known}{faults_of(GROUP)}"
        raise MaskError(msg)
    check_options(PRUNERS[method], options)
    return PRUNERS[method](**options)


def prune(
    network: object,
    method: str,
    keep: Share = "auto",
    data: object = None,
    y: npt.ArrayLike | None = None,
    *,
    budget: float | Budget | None = None,
    random_state: int | None = 0,
    input_shape: Sequence[int] | None = None,
    **options: Any,
) -> PruneResult:
    """Prune a network by a registered method.

    Parameters
    ----------
    network : Network, or anything :func:`mipnet.network.readers.load` reads
    method : str
        One of :func:`pruners`.
    keep : float, None or "auto"
        Fraction of units to keep, in [0, 1]; rounding as in :meth:`Pruner.fit`. None leaves it to
        a method with a rule of its own; ``auto`` does so where there is one, and keeps half
        elsewhere, as ``mipnet prune`` without ``--keep``.
    data : array, (X, y), mapping, path of an .npz file, or None
        Calibration or training data, for methods that need them
        (:class:`~mipnet.pruning.data.Data`).
    y : array, shape (batch,) or (batch, n_outputs), optional
        Class labels 0, 1, ... or regression targets, for methods that train.
    budget : float or Budget, optional
        In place of ``keep``: what the pruned network may cost, such as ``Parameters(1000)``.
    random_state : int or None
        Seed.
    input_shape : sequence of int, optional
        Of one input, where neither network nor data tell it; see :meth:`Pruner.fit`.
    **options
        Parameters of the method, ``scope`` ("layer" or "global") among them.

    Returns
    -------
    PruneResult
        With ``mask``, ``network`` (compacted), ``report`` and ``masked``.

    Raises
    ------
    MaskError
        When method, option, data or network do not fit; see :meth:`Pruner.fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from mipnet.network import Affine, Network, ReLU
    >>> net = Network.sequential([Affine(np.diag([3.0, 1.0, 2.0]), np.zeros(3)), ReLU(),
    ...                           Affine(np.ones((1, 3)), np.zeros(1))])
    >>> print(prune(net, "magnitude", keep=0.67).report)
    magnitude (layer): kept 66.7% of units (asked for 67.0%), parameters 16 -> 11
      affine0: units 3 -> 2, parameters 12 -> 8
    """
    chosen = pruner(method, random_state=random_state, **options)
    return chosen.fit(network, data, budget, y=y, keep=keep, input_shape=input_shape)


def _cost(needs: frozenset[str]) -> str:
    """Tell what a method costs, by what it needs."""
    for need, cost in (
        ("training", "training"),
        ("gradients", "backward passes"),
        ("data", "forward passes"),
    ):
        if need in needs:
            return cost
    return "reads weights"


def _faults(cls: type[Pruner]) -> list[str]:
    faults = []
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    missing += [part for part in ("source", "needs") if not hasattr(cls, part)]
    if missing:
        faults.append(f"does not define {', '.join(missing)}")
    unknown = sorted(set(getattr(cls, "needs", ())) - NEEDS)
    if unknown:
        faults.append(f"declares unknown needs {unknown}; there are {sorted(NEEDS)}")
    parameters = inspect.signature(cls).parameters.values()
    options = {p.name for p in parameters}
    loose = [p.name for p in parameters if p.default is p.empty]
    if loose:
        faults.append(f"has options without a default: {loose}")
    declared = {
        n for n, kind in inspect.get_annotations(cls).items() if "ClassVar" not in str(kind)
    }
    if declared - options:
        faults.append(
            f"has options {sorted(declared - options)} the constructor lacks: add @dataclass"
        )
    if not {"scope", "random_state"} <= options:
        faults.append("hides the parameters scope and random_state")
    return faults
