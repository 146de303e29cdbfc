"""A network of the same size, trained from scratch: the control of every method that trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mipnet.network import Network
from mipnet.pruning.base import Array, Choice, Job, Pruner
from mipnet.pruning.mask import Mask
from mipnet.pruning.registry import register_pruner
from mipnet.pruning.training import finetune, initialised
from mipnet.pruning.units import prunable_layers


@register_pruner("scratch")
@dataclass(kw_only=True)
class Scratch(Pruner):
    """New weights, a random choice of units, then training of what is left.

    Nothing of the given network is used but its architecture: what a method achieves beyond this
    is owed to the trained weights it starts from, not to the size it ends with.

    Parameters
    ----------
    epochs, batch_size : int
    lr : float
        As for :func:`~mipnet.pruning.training.train_mlp`.
    """

    source = (
        "control; Z. Liu, M. Sun, T. Zhou, G. Huang, T. Darrell, Rethinking the Value of Network "
        "Pruning, ICLR 2019, arXiv:1810.05270"
    )
    needs = frozenset({"data", "training"})

    epochs: int = 60
    lr: float = 3e-3
    batch_size: int = 64

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """Independent uniform scores."""
        del data
        return {name: rng.random(g.width) for name, g in prunable_layers(network).items()}

    def choose(self, job: Job) -> Choice:
        """See :meth:`Pruner.choose`."""
        scores = self.scores(job.network, job.inputs, job.rng)
        # The weights of the given network say nothing about what the trained one will cost.
        start = initialised(job.network, job.seed)
        return Choice(job.select(scores, start), dict(scores), start)

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
