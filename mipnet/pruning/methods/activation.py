"""Size of the activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.base import Array, Pruner
from mipnet.pruning.layout import activations, drawn
from mipnet.pruning.registry import register_pruner

MEASURES: dict[str, Callable[[Array], Array]] = {
    "mean": lambda values: np.abs(values).mean(axis=1),
    "rms": lambda values: np.sqrt(np.square(values).mean(axis=1)),
    "std": lambda values: values.std(axis=1),
}


@register_pruner("activation")
@dataclass(kw_only=True)
class Activation(Pruner):
    """Size of what a unit hands on, over the calibration inputs and the positions of a channel.

    Parameters
    ----------
    measure : {"mean", "rms", "std"}
        Mean absolute value, root mean square, or standard deviation. A unit that is large and
        constant scores high by the first two and 0 by the last.
    """

    source = (
        "control: size of the activations; mean absolute value as in S. Muralidharan et al., "
        "Compact Language Models via Pruning and Knowledge Distillation, arXiv:2407.14679"
    )
    needs = frozenset({"data"})

    measure: str = "mean"

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """See :meth:`Pruner.scores`."""
        if self.measure not in MEASURES:
            msg = f"activation: unknown measure {self.measure!r}; there are {', '.join(MEASURES)}"
            raise MaskError(msg)
        inputs = drawn(data, rng)
        rate = MEASURES[self.measure]
        return {name: np.asarray(rate(v)) for name, v in activations(network, inputs).items()}
