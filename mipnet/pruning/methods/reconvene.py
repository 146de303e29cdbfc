"""Structured pruning at initialisation: only layers that unstructured pruning thins most."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Layer, Network
from mipnet.pruning.base import Array, Choice, Job, Pruner
from mipnet.pruning.mask import Mask
from mipnet.pruning.registry import register_pruner
from mipnet.pruning.saliency import SCORERS, Masks, keep_strongest, weights_of
from mipnet.pruning.training import finetune, training_data
from mipnet.pruning.units import Group, units_of

Flags = npt.NDArray[np.bool_]

CHOICES: Mapping[str, tuple[str, ...]] = {
    "score": tuple(SCORERS),
    "layers": ("resilient", "every", "random"),
    "average": ("layers", "weights"),
    "law": ("normal", "uniform", "given"),
    "rule": ("density", "zero_filters"),
}


@register_pruner("reconvene")
@dataclass(kw_only=True)
class Reconvene(Pruner):
    r"""Structured pruning at initialisation, Reconvene-style.

    New weights are drawn for the architecture of the network, and a share ``sparsity`` of them is
    marked by one global threshold. A layer with a larger share marked than the average of all
    layers counts as resilient: it keeps that many units as weights are left, in proportion, those
    with the largest sum of unmarked scores. The other layers stay whole, all marks are dropped,
    layers whose width or inputs have changed are drawn anew for their new fan-in, and the network
    is trained.

    The paper was not available: what is known of it comes from its abstract and from summaries;
    that the average is unweighted and widths follow densities is a reconstruction. SNIP, GraSP and
    SynFlow are there for layers of equal fan-in, which magnitudes cannot tell apart.

    A budget replaces the widths: with a global one layers keep the proportions the rule gives
    them, resilient ones shrinking first; a budget for each layer leaves no choice of layers.

    Parameters
    ----------
    sparsity : float
        Share of weights to mark, in [0, 1).
    score : {"magnitude", "random", "snip", "grasp", "graspabs", "synflow"}
    layers : {"resilient", "every", "random"}
        Controls: cut every layer to its density, or as many layers chosen at random.
    average : {"layers", "weights"}
        Whether layers count equally in the average, or by their weights.
    rule : {"density", "zero_filters"}
        ``zero_filters`` removes units without any unmarked weight on a unit that is left, as
        DNNShifter does; of fresh weights there are practically none.
    least : int
        Fewest units a layer is cut to.
    multiple : int
        Widths are rounded up to multiples of it, such as the side of a systolic array.
    law : {"normal", "uniform", "given"}
        Of the first weights, with variance ``2 / fan_in`` and biases of 0; ``given`` takes those
        of the network.
    reinit : bool
        Whether layers are drawn anew after the cut.
    epochs, batch_size : int
    lr : float
        As for :func:`~mipnet.pruning.training.train_mlp`.
    """

    source = (
        "B. J. Eccles, L. Wong, B. Varghese, Rapid Deployment of DNNs for Edge Computing via "
        "Structured Pruning at Initialization, CCGrid 2024, arXiv:2404.16877 (reconstructed)"
    )
    needs = frozenset({"data", "gradients", "training"})
    decides = True

    scope: str = "global"
    sparsity: float = 0.8
    score: str = "magnitude"
    layers: str = "resilient"
    average: str = "layers"
    rule: str = "density"
    least: int = 8
    multiple: int = 1
    law: str = "normal"
    reinit: bool = True
    epochs: int = 60
    lr: float = 3e-3
    batch_size: int = 64

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """Ranks of units in shares of the widths the layers are cut to; see :meth:`choose`.

        Scores that need labels need :meth:`fit`.
        """
        if self.score in ("snip", "grasp", "graspabs"):
            msg = f"reconvene: score {self.score!r} needs labels: use fit"
            raise MaskError(msg)
        self._check()
        inputs = np.zeros((0, *network.input_shape)) if data is None else data
        return self._ranks(network, inputs, np.zeros(0), rng)

    def choose(self, job: Job) -> Choice:
        """See :meth:`Pruner.choose`."""
        self._check()
        inputs, targets = training_data(job.network, *job.examples, "auto")
        start = job.network if self.law == "given" else drawn(job.network, self.law, job.rng)
        scores = self._ranks(start, inputs, targets, job.rng)
        if job.asked is None:
            kept = {name: np.flatnonzero(values > -1.0) for name, values in scores.items()}
        else:
            kept = job.select(scores, start)
        if self.reinit and self.law != "given":
            start = drawn(start, self.law, job.rng, kept)
        return Choice(kept, scores, start)

    def again(self, job: Job, choice: Choice, kept: Mapping[str, npt.ArrayLike]) -> Choice:
        """See :meth:`Pruner.again`; layers whose width or inputs have changed are drawn anew."""
        fewer = super().again(job, choice, kept)
        if not self.reinit or self.law == "given" or fewer.network is None:
            return fewer
        return replace(fewer, network=drawn(fewer.network, self.law, job.rng, kept))

    def finish(self, job: Job, masked: Network, mask: Mask) -> Network:
        """See :meth:`Pruner.finish`."""
        del mask
        return finetune(
            masked,
            *job.examples,
            epochs=self.epochs,
            lr=self.lr,
            batch_size=self.batch_size,
            seed=job.seed,
            dtype=job.network.dtype,
        )

    def _ranks(
        self, network: Network, inputs: Array, targets: npt.NDArray[Any], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Minus the rank of every unit over the width of its layer: those above -1 stay."""
        scores = SCORERS[self.score](network, inputs, targets, self.sparsity, rng)
        masks = keep_strongest(scores, self.sparsity)
        units = units_of(network)
        cut = self._cut_layers(units.groups, masks, rng)
        gone = np.zeros(units.count, bool)
        found = {}
        for name, group in units.groups.items():
            free = group.ids >= 0
            left = np.where(masks[name], scores[name], 0.0).reshape(group.width, -1).sum(axis=1)
            width = self._width(network, name, masks, gone) if name in cut else int(free.sum())
            order = np.argsort(np.where(free, -left, np.inf), kind="stable")
            rank = np.empty(group.width)
            rank[order] = np.arange(group.width)
            found[name] = np.where(free, -rank / max(width, 1), 0.0)
            gone[group.ids[free & (rank >= width)]] = True
        return found

    def _cut_layers(
        self, groups: Mapping[str, Group], masks: Masks, rng: np.random.Generator
    ) -> set[str]:
        """Layers that lose units."""
        thinned = sparsities(masks)
        weights = [float(mask.size) for mask in masks.values()]
        average = float(
            np.average(
                list(thinned.values()), weights=weights if self.average == "weights" else None
            )
        )
        shares = {name: tied_share(group, thinned) for name, group in groups.items()}
        resilient = {name for name, share in shares.items() if share > average}
        if self.layers == "every" or self.rule == "zero_filters":
            return set(groups)
        if self.layers == "random":
            return set(rng.choice(list(groups), len(resilient), replace=False).tolist())
        return resilient

    def _width(self, network: Network, name: str, masks: Masks, gone: Flags) -> int:
        """Units a layer is cut to."""
        group = units_of(network).groups[name]
        free = group.ids >= 0
        if self.rule == "zero_filters":
            columns = units_of(network).columns.get(name)
            mask = masks[name]
            if columns is not None:
                read = (columns < 0) | ~gone[np.maximum(columns, 0)]
                mask = mask & read.reshape(1, -1, *(1,) * (mask.ndim - 2))
            width = int((mask.reshape(group.width, -1).any(axis=1) & free).sum())
        else:
            share = tied_share(group, sparsities(masks))
            # The inner rounding removes noise of the product.
            width = math.ceil(round((1.0 - share) * int(free.sum()), 9))
        width = -(-max(width, self.least) // self.multiple) * self.multiple
        return min(width, int(free.sum()))

    def _check(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                msg = f"reconvene: {name} must be one of {', '.join(known)}, "
                msg += f"not {getattr(self, name)!r}"
                raise MaskError(msg)
        share = isinstance(self.sparsity, int | float) and not isinstance(self.sparsity, bool)
        if not share or not 0.0 <= self.sparsity < 1.0:
            msg = f"reconvene: sparsity must be a share in [0, 1), not {self.sparsity!r}"
            raise MaskError(msg)
        for name in ("least", "multiple"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                msg = f"reconvene: {name} must be a whole number from 1 on, not {value!r}"
                raise MaskError(msg)


def sparsities(masks: Masks) -> dict[str, float]:
    """Share of marked weights of every layer."""
    return {name: 1.0 - float(mask.mean()) for name, mask in masks.items()}


def tied_share(group: Group, shares: Mapping[str, float]) -> float:
    """Smallest share of the layers that are cut together."""
    return min(shares[name] for name in (group.layer, *group.partners))


def drawn(
    network: Network,
    law: str,
    rng: np.random.Generator,
    kept: Mapping[str, npt.ArrayLike] | None = None,
) -> Network:
    """Network with weights of variance ``2 / fan_in`` and biases of 0.

    Parameters
    ----------
    network : Network
    law : {"normal", "uniform"}
    rng : numpy.random.Generator
    kept : mapping of str to array of int, optional
        Units that stay: only layers that lose some, or read some that go, are drawn, for the
        inputs they are left with.
    """
    units = units_of(network)
    gone = np.zeros(units.count, bool)
    for name, indices in (kept or {}).items():
        ids = units.groups[name].ids
        lost = np.setdiff1d(np.arange(len(ids)), indices)
        gone[ids[lost][ids[lost] >= 0]] = True
    layers: dict[str, Layer] = {}
    for name, weight in weights_of(network).items():
        columns = units.columns.get(name, np.full(weight.shape[1], -1))
        lost = gone[np.maximum(columns, 0)] & (columns >= 0)
        rows = units.layers[name]
        if kept is not None and not lost.any() and not gone[rows[rows >= 0]].any():
            continue
        fan_in = max(1, weight[0].size // len(columns) * int((~lost).sum()))
        spread = np.sqrt(2.0 / fan_in)
        if law == "normal":
            values = rng.normal(0.0, spread, weight.shape)
        else:
            values = rng.uniform(-np.sqrt(3.0) * spread, np.sqrt(3.0) * spread, weight.shape)
        layer: Any = network.by_name[name].layer
        layers[name] = replace(layer, weight=values, bias=np.zeros(len(weight)))
    return network.with_layers(layers)


def expected_densities(
    sizes: npt.ArrayLike, fan_ins: npt.ArrayLike, sparsity: float, law: str = "normal"
) -> tuple[Array, float]:
    r"""Shares of weights that magnitude leaves in layers just drawn, and the threshold.

    Normal weights: :math:`\mathrm{erfc}(\tau / (v \sqrt 2))`; uniform ones on :math:`[-a, a]`:
    :math:`\max(0, 1 - \tau / a)`. The threshold solves
    :math:`\sum_l n_l d_l(\tau) = (1 - p) \sum_l n_l`.

    Parameters
    ----------
    sizes, fan_ins : array_like, shape (layers,)
        Number of weights, and inputs of a unit.
    sparsity : float
        Share to remove, in (0, 1).
    law : {"normal", "uniform"}
        With variance ``2 / fan_in``.
    """
    from scipy.optimize import brentq
    from scipy.special import erfc

    counts, inputs = np.asarray(sizes, float), np.asarray(fan_ins, float)
    spread = np.sqrt(2.0 / inputs)

    def density(threshold: float) -> Array:
        if law == "normal":
            return np.asarray(erfc(threshold / (spread * np.sqrt(2.0))))
        return np.asarray(np.maximum(0.0, 1.0 - threshold / (np.sqrt(3.0) * spread)))

    threshold = brentq(
        lambda t: float(counts @ density(t) / counts.sum()) - (1.0 - sparsity),
        0.0,
        10.0 * float(spread.max()),
        xtol=1e-14,
    )
    return density(threshold), float(threshold)
