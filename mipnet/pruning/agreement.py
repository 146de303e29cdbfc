"""The equality check between a masked and a compacted network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import INPUT, Affine, Network
from mipnet.pruning.units import CARRIERS

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

EPS = float(np.finfo(np.float64).eps)
#: How many times the estimated rounding error a difference must exceed to count.
SLACK = 4.0
#: Relative rounding error granted to layers whose arithmetic is not known here.
OTHER = 1e-9


def check_agreement(
    masked: Network, small: Network, kept: Mapping[str, Flags], points: int = 64, seed: int = 0
) -> None:
    r"""Raise unless two networks agree on a deterministic sample of inputs.

    Every surviving node is compared, unit by unit. The tolerance is four times the running
    estimate of rounding errors :math:`e' = |W| e + (n + 2) \epsilon (|W| |h| + |b|)` along the
    masked network (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1),
    so it depends on the sizes that meet in a sum and not on the size of the result.

    Parameters
    ----------
    masked, small : Network
        Networks over the same input.
    kept : mapping of str to array of bool
        For every node of ``small``, its elements among those of ``masked``, flattened.
    points : int
        Random inputs, beside the origin and two opposite corners of the sample box.
    seed : int
        Of the sample.

    Raises
    ------
    MaskError
        Naming the first layer and neuron that differ.
    """
    x = sample_inputs(masked, points, seed)
    # Overflow gives NaN differences, which fail the comparison as they must.
    with np.errstate(over="ignore", invalid="ignore"):
        wanted, got = masked.trace(x), small.trace(x)
        errors = _rounding(masked, {name: np.asarray(v, float) for name, v in wanted.items()})
        for node in small.nodes:
            flags = kept[node.name]
            before = wanted[node.name].reshape(len(x), -1)[:, flags]
            after = got[node.name].reshape(len(x), -1)
            limit = SLACK * errors[node.name].reshape(len(x), -1)[:, flags]
            bad = np.argwhere(~(np.abs(before - after) <= limit))
            if bad.size:
                point, unit = bad[0]
                msg = (
                    f"layer {node.name!r}, neuron {np.flatnonzero(flags)[unit]}: masked network "
                    f"gives {before[point, unit]!r}, compacted network {after[point, unit]!r}, "
                    f"more than rounding explains ({limit[point, unit]:.1e}); use the masked "
                    f"network of apply(), and please report this"
                )
                raise MaskError(msg)


def sample_inputs(network: Network, points: int, seed: int = 0) -> Array:
    """Random inputs, the origin and two opposite corners, shape (points + 3, *input_shape).

    Uniform between finite input bounds, standard normal around the finite bound or 0 otherwise.
    """
    rng = np.random.default_rng(seed)
    shape = (points, *network.input_shape)
    normal, share = rng.standard_normal(shape), rng.random(shape)
    infinite = np.full(network.input_shape, np.inf)
    lower, upper = network.input_bounds or (-infinite, infinite)
    low, high = np.isfinite(lower), np.isfinite(upper)
    start, end = np.where(low, lower, 0.0), np.where(high, upper, 0.0)
    drawn = np.select(
        [low & high, low, high],
        [start * (1.0 - share) + end * share, start + np.abs(normal), end - np.abs(normal)],
        normal,
    )
    origin = np.zeros(network.input_shape)
    corners = np.where(low, lower, end - 3.0), np.where(high, upper, start + 3.0)
    return np.concatenate([drawn, np.stack([origin, *corners])])


def _rounding(network: Network, values: Mapping[str, Array]) -> dict[str, Array]:
    """Estimated rounding error of every value of a trace."""
    errors = {INPUT: np.zeros_like(values[INPUT])}
    for node in network.nodes:
        source = node.inputs[0] if node.inputs else INPUT
        if isinstance(node.layer, Affine):
            size = np.abs(values[source]) @ node.layer.absolute.T + np.abs(node.layer.bias)
            own = (node.layer.weight.shape[1] + 2) * EPS * size
            errors[node.name] = errors[source] @ node.layer.absolute.T + own
        elif isinstance(node.layer, CARRIERS):
            errors[node.name] = errors[source].reshape(values[node.name].shape)
        else:
            largest = np.max(np.abs(values[node.name]), initial=0.0)
            errors[node.name] = np.full_like(values[node.name], OTHER * largest)
    return errors
