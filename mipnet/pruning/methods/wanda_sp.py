"""Wanda, structured: weights times norms of what they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.apply import apply
from mipnet.pruning.base import Array, Choice, Job, Pruner
from mipnet.pruning.layout import drawn, layout
from mipnet.pruning.mask import Mask
from mipnet.pruning.registry import register_pruner
from mipnet.pruning.units import prunable_layers


@register_pruner("wanda_sp")
@dataclass(kw_only=True)
class WandaSP(Pruner):
    r"""Wanda's score averaged over the readers of a unit.

    .. math:: s_j = \mathrm{mean}_i \, |W_{ij}| \cdot \sqrt{\mathrm{mean}_n \, x_{nj}^2}

    with :math:`W` the layers that read unit :math:`j`, and the second mean over calibration inputs
    and positions of a channel; weights of a kernel are added up, columns of one unit averaged.

    All layers are scored on the network as it is. The baseline of FLAP's code scores each layer on
    the outputs of layers already pruned; ``propagate=True`` does that, in network order.

    Parameters
    ----------
    propagate : bool
        Needs ``scope="layer"``: each layer is decided before the next is scored.
    """

    source = (
        "M. Sun, Z. Liu, A. Bair, J. Z. Kolter, A Simple and Effective Pruning Approach for Large "
        "Language Models, ICLR 2024, arXiv:2306.11695; structured as Wanda-sp of Y. An et al., "
        "Fluctuation-based Adaptive Structured Pruning for Large Language Models, AAAI 2024, "
        "arXiv:2312.11983"
    )
    needs = frozenset({"data"})

    propagate: bool = False

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """See :meth:`Pruner.scores`."""
        inputs = drawn(data, rng)
        found = layout(network)
        trace = network.trace(inputs)
        total, columns = np.zeros(found.count), np.zeros(found.count)
        for name, weight, owner in found.read(network):
            source = trace[network.by_name[name].inputs[0]]
            values = np.asarray(source, dtype=np.float64).reshape(len(inputs), len(owner), -1)
            norm = np.sqrt(np.square(values).mean(axis=(0, 2)))
            size = np.abs(weight).sum(axis=2).mean(axis=0)
            total += found.sums(owner, size * norm)
            columns += found.sums(owner, np.ones(len(owner)))
        return found.split(total / np.maximum(columns, 1.0))

    def choose(self, job: Job) -> Choice:
        """See :meth:`Pruner.choose`."""
        if not self.propagate:
            return super().choose(job)
        if self.scope != "layer":
            msg = "wanda_sp: propagate=True decides layer by layer: it needs scope='layer'"
            raise MaskError(msg)
        kept: dict[str, npt.ArrayLike] = {}
        scores: dict[str, Array] = {}
        for name in prunable_layers(job.network):
            partial = apply(job.network, Mask.from_kept(job.network, kept))
            found = self.scores(partial, job.inputs, job.rng)
            kept[name], scores[name] = job.select(found)[name], found[name]
        return Choice(kept, scores)
