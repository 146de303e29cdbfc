"""The base class of pruning methods: scores in, mask and small network out."""

from __future__ import annotations

import hashlib
import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.budget import select
from mipnet.pruning.compact import compact
from mipnet.pruning.mask import Mask
from mipnet.pruning.report import PruneReport, PruneResult, layer_reports
from mipnet.pruning.units import prunable_layers

Array = npt.NDArray[np.float64]

#: What a method may declare to need beside the network.
NEEDS = frozenset({"data", "gradients", "training"})


@dataclass(kw_only=True)
class Pruner(ABC):
    """A pruning method, in the style of a scikit-learn estimator.

    The constructor only stores parameters; they are checked when used. A method is a dataclass
    with one field per option, a citation, its needs and :meth:`scores`, filed by
    :func:`~mipnet.pruning.registry.register_pruner`.

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

    def fit(
        self, network: object, data: npt.ArrayLike | None = None, *, keep: float = 0.5
    ) -> PruneResult:
        """Score, select, compact and check.

        Parameters
        ----------
        network : Network, or anything :func:`mipnet.network.readers.load` reads
        data : array, shape (batch, *input_shape) or (batch, n_inputs), optional
            Calibration inputs.
        keep : float
            Fraction of units to keep, in [0, 1]. Counts are rounded to the nearest whole number,
            halves up, and are at least 1 per layer while ``keep > 0``; 0 removes every removable
            unit and leaves a constant network.

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
        groups = prunable_layers(net)
        if not groups:
            msg = f"{net!r} has no layer with removable units: nothing can be pruned"
            raise MaskError(msg)
        inputs = self._inputs(net, data)
        seed = self._seed()
        start = time.perf_counter()
        found = self.scores(net, inputs, np.random.default_rng(seed))
        scores = _checked(found, {name: group.width for name, group in groups.items()})
        mask = Mask.from_kept(
            net,
            select(scores, keep, self.scope),
            scores=scores,
            method=self.name,
            options=self.get_params() | {"keep": keep},
            seed=seed,
            data_hash=_hash(inputs),
        )
        chosen = time.perf_counter()
        small = compact(net, mask)
        done = time.perf_counter()
        report = PruneReport(
            method=self.name,
            scope=self.scope,
            keep_requested=float(keep),
            keep_reached=mask.kept_share,
            layers=layer_reports(net, small, mask),
            parameters_before=net.n_parameters,
            parameters_after=small.n_parameters,
            prune_seconds=chosen - start,
            compact_seconds=done - chosen,
        )
        return PruneResult(mask, small, report)

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


def _hash(data: Array | None) -> str | None:
    if data is None:
        return None
    digest = hashlib.sha256(repr(data.shape).encode())
    digest.update(np.ascontiguousarray(data, dtype="<f8").tobytes())
    return digest.hexdigest()
