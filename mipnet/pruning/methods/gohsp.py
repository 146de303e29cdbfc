"""GOHSP-style pruning: a Markov-chain ranking guides structured-sparse training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet import graph
from mipnet.errors import GraphError, MaskError
from mipnet.network import Network
from mipnet.pruning.base import Array, Choice, Job, Pruner
from mipnet.pruning.layout import activations, drawn, layout
from mipnet.pruning.mask import Mask
from mipnet.pruning.methods.gohsp_training import GUIDES, Sparsity
from mipnet.pruning.registry import register_pruner
from mipnet.pruning.training import finetune

ENDS = ("high", "low")


@register_pruner("gohsp")
@dataclass(kw_only=True)
class GOHSP(Pruner):
    r"""Rank units by a Markov chain, train towards structured sparsity, remove, fine-tune.

    **GOHSP-style**: the paper's method section was not available and there is no code of the
    authors. Established are a ranking by a Markov chain between units, and an optimisation that
    imposes several kinds of structured sparsity, with the ranking as soft guidance; everything
    else is a reconstruction.

    1. Units of a layer are nodes of a graph (:mod:`mipnet.graph`), ranked by the stationary
       distribution; a rank is given relative to the mean of its layer.
    2. Training minimises the loss plus :math:`\rho/2 \, \sum_m \|W_m - Z_m + U_m\|_F^2`, in the
       manner of ADMM. Once an epoch, :math:`Z` becomes :math:`W + U` without the groups (incoming
       weights, bias, outgoing weights) of the units out of favour,
       :math:`U \mathrel{+}= W - Z`, and :math:`\rho` grows. In favour are, at first, the best
       ranked; then the units of largest group norm times soft weight. The soft weight of the best
       ranked is 1; that of the others falls from 1 to 0 along the epochs, and what they hand on is
       multiplied by it. So the ranking has the last word, and weights of other units may serve
       until then.
    3. Units out of favour are removed, the rest is fine-tuned.

    Parameters
    ----------
    affinity : {"cos", "cka", "js", "asym", "flow"}
        Of the activations over calibration inputs (for ``js`` and ``asym``, their positive parts
        as distributions), or of outgoing weights.
    tau : float
        Temperature of ``asym``.
    damping : float
        In [0, 1]; 1 is a bare Markov chain, which for every affinity but ``asym`` ranks by degree.
    keep_rank : {"high", "low"}
        A unit much like others may matter or be replaceable.
    guide : {"soft", "hard", "none"}
        Soft weights as above; 0 at once; or 1 throughout, so that the ranking gives the start and
        norms decide.
    rho, growth : float
        Weight of the pull towards :math:`Z`, and its factor after every epoch.
    samples : int or None
        Calibration inputs for the ranking.
    epochs, finetune_epochs, batch_size : int
        With no epochs, the ranking decides and only fine-tuning follows.
    lr : float
        Of Adam, falling along half a cosine in each of the two trainings.
    """

    source = (
        "in the style of M. Yin, B. Uzkent, Y. Shen, H. Jin, B. Yuan, GOHSP: A Unified Framework "
        "of Graph and Optimization-based Heterogeneous Structured Pruning for Vision Transformer, "
        "AAAI 2023, arXiv:2301.05345 (reconstructed)"
    )
    needs = frozenset({"data", "training"})

    affinity: str = "cos"
    tau: float = 1.0
    damping: float = 0.85
    keep_rank: str = "high"
    guide: str = "soft"
    rho: float = 1e-3
    growth: float = 1.1
    samples: int | None = 256
    epochs: int = 20
    finetune_epochs: int = 30
    lr: float = 1e-3
    batch_size: int = 64

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """Rank of every unit, 1 on average; its negative with ``keep_rank="low"``."""
        for name, known in (("affinity", graph.AFFINITIES), ("keep_rank", ENDS)):
            if getattr(self, name) not in known:
                msg = f"gohsp: unknown {name} {getattr(self, name)!r}; there are {', '.join(known)}"
                raise MaskError(msg)
        found = {}
        sign = 1.0 if self.keep_rank == "high" else -1.0
        for name, table in self._signals(network, drawn(data, rng, self.samples)).items():
            try:
                chain = graph.transition(self._affinity(table))
                rank = graph.stationary(chain, damping=self.damping)
            except GraphError as error:
                msg = f"gohsp, layer {name!r}: {error}"
                raise MaskError(msg) from error
            found[name] = sign * rank.size * rank
        return found

    def choose(self, job: Job) -> Choice:
        """See :meth:`Pruner.choose`."""
        if self.guide not in GUIDES or not 0.0 <= self.rho < np.inf or not self.growth > 0.0:
            msg = f"gohsp: guide is one of {', '.join(GUIDES)}, rho >= 0 and growth > 0; got "
            msg += f"{self.guide!r}, {self.rho}, {self.growth}"
            raise MaskError(msg)
        ranks = self.scores(job.network, job.inputs, job.rng)
        kept = job.select(ranks)
        if self.epochs < 1:
            return Choice(kept, dict(ranks))
        state = Sparsity(
            job.network, kept, self.guide, epochs=self.epochs, rho=self.rho, growth=self.growth
        )
        trained = self._train(job, job.network, self.epochs, state)
        return Choice(state.kept(), state.scores(), trained)

    def finish(self, job: Job, masked: Network, mask: Mask) -> Network:
        """See :meth:`Pruner.finish`."""
        del mask
        return self._train(job, masked, self.finetune_epochs, None)

    def _train(self, job: Job, network: Network, epochs: int, state: Sparsity | None) -> Network:
        return finetune(
            network,
            *job.examples,
            epochs=epochs,
            lr=self.lr,
            batch_size=self.batch_size,
            seed=job.seed,
            dtype=job.network.dtype,
            penalty=None if state is None else state.penalty,
            gates=None if state is None else state.gates,
            each_epoch=None if state is None else state.step,
        )

    def _signals(self, network: Network, inputs: Array) -> dict[str, Array]:
        """Collect what the affinity is taken of, units first."""
        if self.affinity != "flow":
            return activations(network, inputs)
        found = layout(network)
        parts: dict[str, list[Array]] = {name: [] for name in found.groups}
        for _, weight, owner in found.read(network):
            for name, first in found.start.items():
                width = found.groups[name].width
                own = np.flatnonzero((owner >= first) & (owner < first + width))
                if own.size:
                    sizes = np.zeros((width, weight.shape[0]))
                    np.add.at(sizes, owner[own] - first, np.abs(weight[:, own]).sum(axis=2).T)
                    parts[name].append(sizes)
        return {name: np.concatenate(sizes, axis=1) for name, sizes in parts.items()}

    def _affinity(self, table: npt.NDArray[np.float64]) -> Array:
        if self.affinity == "flow":
            return graph.flow(table.T)
        if self.affinity == "asym":
            return graph.asym(np.maximum(table, 0.0), self.tau)
        if self.affinity == "js":
            return graph.js(np.maximum(table, 0.0))
        return graph.cos(table) if self.affinity == "cos" else graph.cka(table)
