"""The base class of pruning methods: scores in, mask and small network out."""

from __future__ import annotations

import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from mipnet.arguments import numbers, require
from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.apply import apply, check_masked
from mipnet.pruning.budget import check_scope
from mipnet.pruning.budgets import Budget, Keep, as_budget
from mipnet.pruning.compact import compact
from mipnet.pruning.compensate import COMPENSATIONS, mean_shifts
from mipnet.pruning.data import Data, as_network, parts
from mipnet.pruning.job import Choice, Job
from mipnet.pruning.mask import Mask
from mipnet.pruning.options import check_kinds
from mipnet.pruning.report import PruneResult, prune_report
from mipnet.pruning.selection import Units, tile_of
from mipnet.pruning.units import prunable_layers, units_of

Array = npt.NDArray[np.float64]

#: Fraction of units to keep: None for a rule of the method, "auto" for that or half.
Share = float | Literal["auto"] | None

__all__ = ["NEEDS", "Array", "Choice", "Job", "Pruner", "check_options"]

#: What a method may declare to need beside the network.
NEEDS = frozenset({"data", "gradients", "training"})


@dataclass(kw_only=True)
class Pruner(ABC):
    """A pruning method, in the style of a scikit-learn estimator.

    The constructor only stores parameters; they are checked when used. A method is a dataclass
    with one field per option, a citation, its needs and :meth:`scores`, filed by
    :func:`~mipnet.pruning.registry.register_pruner`. One that trains, or has a rule of its own
    for what to keep, overrides :meth:`choose`; one that trains under its mask, :meth:`finish`.

    Parameters
    ----------
    scope : {"layer", "global"}
        Whether every layer keeps the fraction asked for, or all layers together.
    random_state : int or None
        Seed; None draws a fresh one, which the mask records.
    compensate : {"none", "mean"}
        Whether the mean over the data of what removed units contributed joins the biases of
        their readers; a choice apart from folding, which is exact.

    Attributes
    ----------
    name : str
        Registered name.
    source : str
        Paper the method comes from, or what it is.
    needs : frozenset of str
        What it needs beside the network: ``data``, ``gradients``, ``training``.
    """

    scope: str = "layer"
    random_state: int | None = 0
    compensate: str = "none"

    name: ClassVar[str]
    source: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    #: What the method costs, in a word or two; derived from its needs when empty.
    cost: ClassVar[str] = ""
    #: Whether ``keep=None`` is allowed: the method then decides by a rule of its own.
    decides: ClassVar[bool] = False

    @abstractmethod
    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """Rate every removable unit, higher is more important.

        Parameters
        ----------
        network : Network
        data : array, shape (batch, *input_shape), or None
            Calibration inputs; present when ``needs`` lists ``data``.
        rng : numpy.random.Generator
            The only source of randomness.

        Returns
        -------
        mapping of str to array, shape (width,)
            One entry per layer of :meth:`units`.
        """

    def units(self, network: Network) -> Units:
        """Units the method chooses from: groups of neurons and channels, unless overridden."""
        return prunable_layers(network)

    def choose(self, job: Job) -> Choice:
        """Decide what to keep: the units of highest score, unless overridden.

        Parameters
        ----------
        job : Job
        """
        widths = {name: group.width for name, group in self.units(job.network).items()}
        scores = _checked(self.scores(job.network, job.inputs, job.rng), widths)
        return Choice(job.select(scores), scores)

    def finish(self, job: Job, masked: Network, mask: Mask) -> Network:
        """Train the masked network further; left as it is, unless overridden.

        Parameters
        ----------
        job : Job
        masked : Network
            Same shapes as the network, removed units switched off.
        mask : Mask
            It fits ``masked``.

        Returns
        -------
        Network
            Same shapes, removed units still off.
        """
        del job, mask
        return masked

    def again(self, job: Job, choice: Choice, kept: Mapping[str, npt.ArrayLike]) -> Choice:
        """Choose fewer units, where training has broken the budget; all else stays as it was.

        Parameters
        ----------
        job : Job
        choice : Choice
            The first one, which :meth:`choose` has made.
        kept : mapping of str to array of int
            Some of the units it keeps.
        """
        del job
        values = {}
        for name, constants in (choice.compensation or {}).items():
            width = len(choice.scores[name])
            everywhere = np.zeros(width)
            everywhere[np.delete(np.arange(width), np.asarray(choice.kept[name]))] = constants
            values[name] = np.delete(everywhere, np.asarray(kept[name]))
        return replace(choice, kept=kept, compensation=values or None)

    def fit(
        self,
        network: object,
        data: object = None,
        budget: float | Budget | None = None,
        *,
        y: npt.ArrayLike | None = None,
        keep: Share = "auto",
        input_shape: Sequence[int] | None = None,
    ) -> PruneResult:
        """Score, select, compact and check.

        Parameters
        ----------
        network : Network, or anything :func:`mipnet.network.readers.load` reads
            Torch modules too; nothing is changed in place.
        data : array, (X, y), mapping, path of an .npz file, or None
            Calibration or training data; see :class:`~mipnet.pruning.data.Data`.
        budget : float or Budget, optional
            What the network may cost, such as ``Parameters(1000)``; a number is ``keep``.
        y : array, shape (batch,) or (batch, n_outputs), optional
            Class labels 0, 1, ... or regression targets, for methods that train.
        keep : float, None or "auto"
            Fraction of units to keep, in [0, 1]. Counts are rounded to the nearest whole number,
            halves up, and are at least 1 per layer while ``keep > 0``; 0 removes every removable
            unit and leaves a constant network. None leaves it to a method that has a rule of its
            own (:attr:`decides`); ``auto`` does so where there is one, and keeps half elsewhere.
        input_shape : sequence of int, optional
            Of one input, where neither the network nor the data tell it: torch modules that begin
            with a convolution, without data.

        Returns
        -------
        PruneResult

        Raises
        ------
        MaskError
            When nothing can be removed, the budget cannot be met, data are missing or unusable,
            an option is unknown, or the scores do not fit.
        """
        inputs, targets = parts(data, y)
        net = as_network(network, inputs, input_shape)
        if keep == "auto":
            keep = None if self.decides else 0.5
        job = self._job(net, Data.checked(net, inputs, targets), as_budget(budget, keep))
        times = [time.perf_counter()]
        choice = self.choose(job)
        times.append(time.perf_counter())
        made: list[tuple[Mask, Network]] = []

        def trained(kept: Mapping[str, npt.ArrayLike]) -> Network:
            again = choice if kept is choice.kept else self.again(job, choice, kept)
            made.append(self._finished(job, again))
            return made[-1][1]

        _, rounds = job.settle(choice.kept, choice.scores, trained)
        mask, masked = made[-1]
        times.append(time.perf_counter())
        small = compact(masked)
        times.append(time.perf_counter())
        spent = [after - before for before, after in pairwise(times)]
        report = prune_report(
            mask,
            (net, small),
            job.asked,
            scope=self.scope,
            prune_seconds=spent[0],
            finish_seconds=spent[1],
            compact_seconds=spent[2],
            rounds=choice.rounds + rounds,
        )
        return PruneResult(mask, small, report, masked)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name, as scikit-learn asks for them."""
        del deep
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change parameters in place and return the pruner.

        Raises
        ------
        MaskError
            When a name is unknown; the message lists the parameters.
        """
        check_options(type(self), params)
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def _seed(self) -> int:
        state = self.random_state
        if state is None:
            return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        if isinstance(state, bool) or not isinstance(state, int | np.integer) or state < 0:
            msg = f"random_state must be a whole number from 0 on, or None, not {state!r}"
            raise MaskError(msg)
        return int(state)

    def _job(self, network: Network, data: Data, budget: Budget | None) -> Job:
        seed = self._seed()
        check_kinds(self)
        units = self.units(network)
        if not any((group.ids >= 0).any() for group in units.values()):
            reasons = "; ".join(f"{n!r} {why}" for n, why in units_of(network).reasons.items())
            msg = f"{network!r} has no layer with removable units: nothing can be pruned"
            raise MaskError(f"{msg} ({reasons})" if reasons else msg)
        if budget is None and not self.decides:
            msg = f"method {self.name!r} has no rule of its own for how much to keep: give keep="
            raise MaskError(msg)
        if self.compensate not in COMPENSATIONS:
            msg = f"unknown compensation {self.compensate!r}; there are {', '.join(COMPENSATIONS)}"
            raise MaskError(msg)
        if data.X is None and ("data" in self.needs or self.compensate != "none"):
            who = f"method {self.name!r}" if "data" in self.needs else "compensate='mean'"
            msg = f"{who} needs calibration inputs: pass data="
            raise MaskError(msg)
        if data.y is None and self.needs & {"training", "gradients"}:
            what = "trains" if "training" in self.needs else "needs gradients of a loss"
            msg = f"method {self.name!r} {what}: pass labels or targets as y="
            raise MaskError(msg)
        check_scope(self.scope)
        if budget is not None:
            budget.check()
        share = budget.amount if isinstance(budget, Keep) else None
        job = Job(
            network,
            data.X,
            data.y,
            share,
            self.scope,
            seed,
            np.random.default_rng(seed),
            budget=None if isinstance(budget, Keep) else budget,
            units=units,
        )
        # A budget that cannot be measured (the region does not fit) fails before any training.
        _ = job.before
        return job

    def _finished(self, job: Job, choice: Choice) -> tuple[Mask, Network]:
        """Mask of a choice, and the network trained under it."""
        dense = job.network if choice.network is None else choice.network
        mask = self._compensated(self._mask(job, choice), dense, job)
        start = apply(dense, mask.fitted(dense))
        masked = self.finish(job, start, mask.fitted(start))
        if masked is not start:
            check_masked(masked, mask)
        return mask, masked

    def _mask(self, job: Job, choice: Choice) -> Mask:
        asked = {"keep": job.keep} if job.budget is None else {"budget": job.budget.describe()}
        return Mask.from_kept(
            job.network,
            choice.kept,
            tile=tile_of(self.units(job.network)),
            scores=choice.scores,
            compensation=choice.compensation,
            method=self.name,
            options=self.get_params() | asked,
            seed=job.seed,
            data_hash=Data(job.inputs, job.targets).hash,
        )

    def _compensated(self, mask: Mask, dense: Network, job: Job) -> Mask:
        if self.compensate == "none" or job.inputs is None:
            return mask
        return replace(mask, bias=mean_shifts(dense, mask, job.inputs))


def check_options(method: type[Pruner], options: Mapping[str, Any]) -> None:
    """Raise MaskError for options a method does not have, listing those it has."""
    known = tuple(inspect.signature(method).parameters)
    unknown = sorted(set(options) - set(known))
    if unknown:
        msg = f"method {method.name!r} has no options {unknown}; it has {', '.join(known)}"
        raise MaskError(msg)


def _checked(scores: Mapping[str, npt.ArrayLike], widths: Mapping[str, int]) -> dict[str, Array]:
    require(scores, Mapping, "scores, by layer,", MaskError)
    if set(scores) != set(widths):
        msg = f"scores cover layers {sorted(map(str, scores))}; the network's are {sorted(widths)}"
        raise MaskError(msg)
    checked = {}
    for name, width in widths.items():
        values = numbers(scores[name], f"layer {name!r}: scores", MaskError)
        if values.shape != (width,):
            msg = f"layer {name!r}: scores have shape {values.shape}, the layer has {width} units"
            raise MaskError(msg)
        bad = np.flatnonzero(np.isnan(values))
        if bad.size:
            msg = f"layer {name!r}: {bad.size} scores are NaN, first at neuron {bad[0]}"
            raise MaskError(msg)
        checked[name] = values
    return checked
