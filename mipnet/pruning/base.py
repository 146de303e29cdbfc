"""The base class of pruning methods: scores in, mask and small network out."""

from __future__ import annotations

import hashlib
import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.apply import apply, check_masked
from mipnet.pruning.budget import select
from mipnet.pruning.compact import compact
from mipnet.pruning.mask import Mask
from mipnet.pruning.report import PruneReport, PruneResult, layer_reports
from mipnet.pruning.units import prunable_layers

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: What a method may declare to need beside the network.
NEEDS = frozenset({"data", "gradients", "training"})


@dataclass(frozen=True, eq=False)
class Job:
    """What a method is asked to do.

    Attributes
    ----------
    network : Network
    inputs : array, shape (batch, *input_shape), or None
        Calibration or training inputs; present when the method needs them.
    targets : array, shape (batch, ...), or None
        Labels or regression targets; present when the method trains.
    keep : float or None
        Fraction of units to keep; None leaves it to a method with a rule of its own.
    scope : str
    seed : int
    rng : numpy.random.Generator
        The only source of randomness, seeded with ``seed``.
    """

    network: Network
    inputs: Array | None
    targets: npt.NDArray[Any] | None
    keep: float | None
    scope: str
    seed: int
    rng: np.random.Generator

    @property
    def examples(self) -> tuple[Array, npt.NDArray[Any]]:
        """Inputs and targets, for methods that train.

        Raises
        ------
        MaskError
            When there are none.
        """
        if self.inputs is None or self.targets is None:
            msg = "training needs inputs and targets: pass data= and y="
            raise MaskError(msg)
        return self.inputs, self.targets

    def select(self, scores: Mapping[str, Array]) -> dict[str, Indices]:
        """Units of highest score that the budget leaves.

        Raises
        ------
        MaskError
            When ``keep`` or ``scope`` is no budget.
        """
        if self.keep is None:
            msg = "the method has no rule of its own for how much to keep: give keep in [0, 1]"
            raise MaskError(msg)
        return select(scores, self.keep, self.scope)


@dataclass(frozen=True, eq=False)
class Choice:
    """What a method decided.

    Attributes
    ----------
    kept : mapping of str to array of int
        Kept units of every layer of removable units.
    scores : mapping of str to array, shape (width,)
        Higher is more important.
    network : Network, optional
        What training has made of the network, same structure and widths; the given one when
        absent.
    compensation : mapping of str to array, optional
        See :class:`~mipnet.pruning.mask.LayerMask`.
    """

    kept: Mapping[str, npt.ArrayLike]
    scores: Mapping[str, Array]
    network: Network | None = None
    compensation: Mapping[str, npt.ArrayLike] | None = None


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

    name: ClassVar[str]
    source: ClassVar[str]
    needs: ClassVar[frozenset[str]]
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
            One entry per layer of :func:`~mipnet.pruning.units.prunable_layers`.
        """

    def choose(self, job: Job) -> Choice:
        """Decide what to keep: the units of highest score, unless overridden.

        Parameters
        ----------
        job : Job
        """
        widths = {name: group.width for name, group in prunable_layers(job.network).items()}
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

    def fit(
        self,
        network: object,
        data: npt.ArrayLike | None = None,
        y: npt.ArrayLike | None = None,
        *,
        keep: float | None = 0.5,
    ) -> PruneResult:
        """Score, select, compact and check.

        Parameters
        ----------
        network : Network, or anything :func:`mipnet.network.readers.load` reads
        data : array, shape (batch, *input_shape) or (batch, n_inputs), optional
            Calibration inputs.
        y : array, shape (batch,) or (batch, n_outputs), optional
            Class labels 0, 1, ... or regression targets, for methods that train.
        keep : float or None
            Fraction of units to keep, in [0, 1]. Counts are rounded to the nearest whole number,
            halves up, and are at least 1 per layer while ``keep > 0``; 0 removes every removable
            unit and leaves a constant network. None leaves it to a method that has a rule of its
            own (:attr:`decides`).

        Returns
        -------
        PruneResult

        Raises
        ------
        MaskError
            When nothing can be removed, data are missing or unusable, an option is unknown, or
            the scores do not fit.
        """
        net = _as_network(network)
        if not prunable_layers(net):
            msg = f"{net!r} has no layer with removable units: nothing can be pruned"
            raise MaskError(msg)
        if keep is None and not self.decides:
            msg = f"method {self.name!r} has no rule of its own for how much to keep: give keep="
            raise MaskError(msg)
        seed = self._seed()
        inputs, targets = self._inputs(net, data), self._targets(y)
        rng = np.random.default_rng(seed)
        job = Job(net, inputs, targets, keep, self.scope, seed, rng)
        times = [time.perf_counter()]
        choice = self.choose(job)
        mask = Mask.from_kept(
            net,
            choice.kept,
            scores=choice.scores,
            compensation=choice.compensation,
            method=self.name,
            options=self.get_params() | {"keep": keep},
            seed=seed,
            data_hash=_hash(inputs, targets),
        )
        times.append(time.perf_counter())
        dense = net if choice.network is None else choice.network
        start = apply(dense, mask.fitted(dense))
        masked = self.finish(job, start, mask.fitted(start))
        if masked is not start:
            check_masked(masked, mask)
        times.append(time.perf_counter())
        small = compact(masked)
        times.append(time.perf_counter())
        spent = [after - before for before, after in pairwise(times)]
        report = PruneReport(
            method=self.name,
            scope=self.scope,
            keep_requested=None if keep is None else float(keep),
            keep_reached=mask.kept_share,
            layers=layer_reports(net, small, mask),
            parameters_before=net.n_parameters,
            parameters_after=small.n_parameters,
            prune_seconds=spent[0],
            finish_seconds=spent[1],
            compact_seconds=spent[2],
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

    def _inputs(self, network: Network, data: npt.ArrayLike | None) -> Array | None:
        if data is None:
            if "data" in self.needs:
                msg = f"method {self.name!r} needs calibration inputs: pass data="
                raise MaskError(msg)
            return None
        inputs, _ = network.batch(data)
        if not len(inputs) or not np.isfinite(inputs).all():
            msg = "data must hold at least one input, and no NaN or infinite value"
            raise MaskError(msg)
        return inputs

    def _targets(self, y: npt.ArrayLike | None) -> npt.NDArray[Any] | None:
        if y is None:
            if "training" in self.needs:
                msg = f"method {self.name!r} trains: pass labels or targets as y="
                raise MaskError(msg)
            return None
        return np.asarray(y) if "training" in self.needs else None


def check_options(method: type[Pruner], options: Mapping[str, Any]) -> None:
    """Raise MaskError for options a method does not have, listing those it has."""
    known = tuple(inspect.signature(method).parameters)
    unknown = sorted(set(options) - set(known))
    if unknown:
        msg = f"method {method.name!r} has no options {unknown}; it has {', '.join(known)}"
        raise MaskError(msg)


def _as_network(network: object) -> Network:
    if isinstance(network, Network):
        return network
    from mipnet.network.readers import load

    return load(network)


def _checked(scores: Mapping[str, npt.ArrayLike], widths: Mapping[str, int]) -> dict[str, Array]:
    if set(scores) != set(widths):
        msg = f"scores cover layers {sorted(scores)}; the network's are {sorted(widths)}"
        raise MaskError(msg)
    checked = {}
    for name, width in widths.items():
        values = np.asarray(scores[name], dtype=np.float64)
        if values.shape != (width,):
            msg = f"layer {name!r}: scores have shape {values.shape}, the layer has {width} units"
            raise MaskError(msg)
        bad = np.flatnonzero(np.isnan(values))
        if bad.size:
            msg = f"layer {name!r}: {bad.size} scores are NaN, first at neuron {bad[0]}"
            raise MaskError(msg)
        checked[name] = values
    return checked


def _hash(*arrays: npt.NDArray[Any] | None) -> str | None:
    given = [array for array in arrays if array is not None]
    if not given:
        return None
    digest = hashlib.sha256()
    for array in given:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()
