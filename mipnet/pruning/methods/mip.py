"""Our own method: units whose removal shrinks the program most for the least loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mipnet.errors import MaskError, RegionError
from mipnet.network import Network
from mipnet.pruning.base import Array, Pruner
from mipnet.pruning.effect import effects
from mipnet.pruning.layout import Layout, drawn, layout
from mipnet.pruning.registry import register_pruner
from mipnet.region import Box, Region, ball


@register_pruner("mip")
@dataclass(kw_only=True)
class MIP(Pruner):
    r"""What a unit means to the outputs against what it costs the mixed-integer program.

    .. math:: s_j = \frac{e_j}{(\epsilon + g_j)^{t}}

    :math:`e_j` is the first-order change of the outputs when the unit is replaced by its mean over
    the data (:func:`mipnet.pruning.effect.effects`); its mean then joins the biases of its
    readers. :math:`g_j` is what the program over a region loses with it, relative to the mean of
    all units, averaged over regions: its binaries, its share in the widths behind it (the constants
    M), and its part in the gap of the relaxation at the outputs
    (:func:`mipnet.pruning.methods.mip_gain.gain`), weighted. Units are compared across layers under
    ``scope="global"``: both parts are in units of the whole network.

    Parameters
    ----------
    trade : float
        :math:`t`, from 0 (loss alone) on; 1 is loss per gain.
    binaries, looseness, sensitivity : float
        Weights of the three parts of the gain.
    radius : float or None
        Of the regions: balls around calibration inputs within the input bounds. None takes one
        region instead, the input bounds of the network, or the span of the data.
    norm : {"linf", "l2", "l1"}
    regions : int
        Balls, around inputs drawn from the data.
    samples : int or None
        Calibration inputs for the loss.
    bounds : str
        How neurons are bounded, one of :data:`mipnet.bounds.METHODS`.
    compensate : {"mean", "none"}
        See :class:`~mipnet.pruning.base.Pruner`; the loss is that of replacing by the mean, or
        by 0.
    """

    source = "mipnet's own: output effect per shrinkage of the program over a region"
    needs = frozenset({"data"})
    cost = "forward passes, bounds, an LP a region"

    trade: float = 0.25
    binaries: float = 1.0
    looseness: float = 1.0
    sensitivity: float = 1.0
    radius: float | None = None
    norm: str = "linf"
    regions: int = 8
    samples: int | None = 512
    bounds: str = "crown"
    compensate: str = "mean"

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """See :meth:`Pruner.scores`."""
        self._check()
        inputs = drawn(data, rng, self.samples)
        found = layout(network)
        loss = effects(network, inputs, found, centred=self.compensate == "mean")
        value = loss / (EPSILON + self._gain(network, inputs, found, rng)) ** self.trade
        return found.split(value[np.where(found.leader < 0, np.arange(found.count), found.leader)])

    def _gain(
        self, network: Network, inputs: Array, found: Layout, rng: np.random.Generator
    ) -> Array:
        """Weighted gain of every unit, 1 on average for each part that is there at all."""
        from mipnet.pruning.methods.mip_gain import gain

        parts = np.zeros((3, found.count))
        for region in self._regions(network, inputs, rng):
            own = gain(network, region, found, self.bounds)
            parts += own.binaries, own.looseness, own.sensitivity
        means = parts.mean(axis=1, keepdims=True)
        weights = np.array([self.binaries, self.looseness, self.sensitivity])
        relative = np.divide(parts, means, out=np.zeros_like(parts), where=means > 0.0)
        return np.asarray(weights @ relative / weights.sum())

    def _regions(self, network: Network, inputs: Array, rng: np.random.Generator) -> list[Region]:
        flat = inputs.reshape(len(inputs), -1)
        lower, upper = flat.min(axis=0), flat.max(axis=0)
        if network.input_bounds is not None:
            low, high = (side.reshape(-1) for side in network.input_bounds)
            lower, upper = (
                np.where(np.isfinite(low), low, lower),
                np.where(np.isfinite(high), high, upper),
            )
        if self.radius is None:
            return [Box(lower, upper)]
        centres = drawn(flat, rng, self.regions)
        try:
            return [
                ball(np.clip(c, lower, upper), self.radius, self.norm, lower, upper)
                for c in centres
            ]
        except RegionError as error:
            msg = f"mip: {error}"
            raise MaskError(msg) from error

    def _check(self) -> None:
        weights = (self.binaries, self.looseness, self.sensitivity)
        fine = all(0.0 <= w < np.inf for w in weights) and sum(weights) > 0.0
        if not fine or not 0.0 <= self.trade < np.inf:
            msg = "mip: trade and the weights are numbers from 0 on, one weight above 0; got "
            msg += f"{self.trade}, {weights}"
            raise MaskError(msg)


#: Gain of a unit without any: its column in the program.
EPSILON = 0.1
