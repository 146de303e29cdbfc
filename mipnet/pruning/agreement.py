"""The equality check between a masked and a compacted network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import INPUT, Layer, Network
from mipnet.network.layers import Add, Clip, Concat, HardSigmoid, LeakyReLU, PReLU, ReLU
from mipnet.network.layers.elementwise import Elementwise
from mipnet.network.layers.linear import Linear
from mipnet.network.layers.maximum import Maximum
from mipnet.network.layers.rearrange import Rearrange

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

EPS = float(np.finfo(np.float64).eps)
#: How many times the estimated rounding error a difference must exceed to count.
SLACK = 4.0
#: Relative rounding error granted to layers whose arithmetic is not known here.
OTHER = 1e-9
#: Largest slope of the smooth elementwise layers (HardSwish), and their relative rounding error.
SLOPE, SMOOTH = 1.5, 1e-14
#: Elements of all values of a trace that are compared at once (64 MiB each).
ELEMENTS = 2**23


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
        For every node of ``small`` that ``masked`` has too, its elements among those of
        ``masked``, flattened.
    points : int
        Random inputs, beside the origin and two opposite corners of the sample box; fewer for
        networks whose values would not fit into memory.
    seed : int
        Of the sample.

    Raises
    ------
    MaskError
        Naming the first layer and neuron that differ.
    """
    size = sum(int(np.prod(shape)) for shape in masked.shapes.values())
    x = sample_inputs(masked, max(1, min(points, ELEMENTS // size)), seed)
    # Overflow gives NaN differences, which fail the comparison as they must.
    with np.errstate(over="ignore", invalid="ignore"):
        wanted, got = masked.trace(x), small.trace(x)
        errors = _rounding(masked, {name: np.asarray(v, float) for name, v in wanted.items()})
        for node in small.nodes:
            if node.name not in kept:
                continue
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
        own, sources = values[node.name], [values[name] for name in node.inputs]
        before = [errors[name] for name in node.inputs]
        errors[node.name] = np.asarray(_error(node.layer, own, sources, before), dtype=np.float64)
    return errors


def _error(
    layer: Layer, own: Array, sources: Sequence[Array], before: Sequence[Array]
) -> npt.NDArray[np.floating]:
    """Estimate the rounding error of the output of a layer from those of its inputs."""
    if isinstance(layer, Linear):
        size = layer.times(np.abs(sources[0]), absolute=True)
        size = size + np.abs(layer.offset(own.shape[1:]))
        terms = layer.terms(sources[0].shape[1:]) + 2
        return np.asarray(layer.times(before[0], absolute=True) + terms * EPS * size)
    if isinstance(layer, Add):
        pairs = list(zip(layer.scales, before, sources, strict=True))
        return np.asarray(sum(abs(s) * (e + layer.arity * EPS * np.abs(x)) for s, e, x in pairs))
    # These round nothing, and are nowhere steeper than 1: what they read has the larger error.
    if isinstance(layer, ReLU | Clip | Maximum | Rearrange | Concat):
        plain = isinstance(layer, ReLU | Clip)
        return before[0] if plain else layer.forward(*before)
    if isinstance(layer, Elementwise):
        slope: Array | float = SLOPE
        if isinstance(layer, LeakyReLU | PReLU):
            slope = np.maximum(1.0, np.abs(layer.slope))
        elif isinstance(layer, HardSigmoid):
            slope = max(SLOPE, layer.alpha)
        return np.asarray(slope * before[0] + SMOOTH * (np.abs(own) + np.abs(sources[0])))
    largest = np.max(np.abs(own), initial=0.0)
    return np.full_like(own, OTHER * largest)
