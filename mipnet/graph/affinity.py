r"""Affinities of units from what they compute: the edge weights of a graph of units.

Every function returns an array of shape (units, units) with entries from 0 on and a diagonal of 0:
a loop only slows the mixing of the chain, and equal loops flatten its stationary distribution.
A unit without any signal has affinity 0 to all others.

GOHSP (Yin et al., AAAI 2023, arXiv:2301.05345) ranks attention heads by a Markov chain over such
a graph; which affinity it takes could not be read, so all of these are "GOHSP-style"
reconstructions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from mipnet.arguments import number, numbers
from mipnet.errors import GraphError

Array = npt.NDArray[np.float64]

#: Names of the affinities that :mod:`mipnet.pruning` offers for hidden units.
AFFINITIES = ("js", "cos", "cka", "asym", "flow")

#: Largest number of values that a pairwise table holds at once (32 MiB).
_CHUNK = 2**22


def js(distributions: npt.ArrayLike) -> Array:
    r"""One minus the Jensen-Shannon divergence, :math:`s_{ij} = 1 - \mathrm{JSD}_2(p_i, p_j)`.

    The logarithm is to base 2, so that divergence and affinity lie in [0, 1].

    Parameters
    ----------
    distributions : array, shape (units, n) or (units, rows, n)
        Entries from 0 on; each last axis is scaled to sum 1. The divergence is averaged over the
        rows (the tokens of attention maps and the inputs of a batch).

    Raises
    ------
    GraphError
        When an entry is negative, NaN or infinite, or the shape does not fit.

    Examples
    --------
    >>> print(js([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]).round(6))
    [[0.       0.98996  0.581636]
     [0.98996  0.       0.595807]
     [0.581636 0.595807 0.      ]]
    """
    p, live = _distributions(distributions)
    found = np.zeros((len(p), len(p)))
    for i, row in enumerate(p):
        for start, block in _blocks(p):
            middle = 0.5 * (row + block)
            parts = rel_entr(row, middle) + rel_entr(block, middle)
            divergence = 0.5 * parts.sum(axis=-1) / np.log(2.0)
            found[i, start : start + len(block)] = 1.0 - divergence.mean(axis=-1)
    return _finished(found, live)


def asym(distributions: npt.ArrayLike, tau: float = 1.0) -> Array:
    r"""Kernel of the Kullback-Leibler divergence.

    .. math:: s_{ij} = e^{-\mathrm{KL}(p_i \| p_j) / \tau}

    The one affinity here that is not symmetric, hence the one whose chain says more than the
    degrees of the nodes. An infinite divergence is an affinity of 0.

    Parameters
    ----------
    distributions : array
        As for :func:`js`; the divergence (natural logarithm) is averaged over the rows.
    tau : float
        Temperature, above 0.
    """
    if not 0.0 < number(tau, "tau", GraphError) < np.inf:
        msg = f"tau must be a finite number above 0, not {tau}"
        raise GraphError(msg)
    p, live = _distributions(distributions)
    found = np.zeros((len(p), len(p)))
    for i, row in enumerate(p):
        for start, block in _blocks(p):
            divergence = rel_entr(row, block).sum(axis=-1).mean(axis=-1)
            found[i, start : start + len(block)] = np.exp(-divergence / tau)
    return _finished(found, live)


def cos(outputs: npt.ArrayLike) -> Array:
    r"""Positive part of the cosine, :math:`s_{ij} = \max(0, \cos(o_i, o_j))`.

    Parameters
    ----------
    outputs : array, shape (units, n) or (batch, units, n)
        Output of each unit as one vector; with a batch, the positive parts are averaged over it.
    """
    values = _finite(outputs, "outputs", 2, 3)
    values = values[None] if values.ndim == 2 else values
    norms = np.linalg.norm(values, axis=2, keepdims=True)
    scaled = np.divide(values, norms, out=np.zeros_like(values), where=norms > 0.0)
    found = np.maximum(scaled @ scaled.transpose(0, 2, 1), 0.0).mean(axis=0)
    return _finished(found, norms.any(axis=(0, 2)))


def cka(outputs: npt.ArrayLike) -> Array:
    r"""Linear centred kernel alignment.

    .. math::
        s_{ij} = \frac{\|O_i^\top O_j\|_F^2}{\|O_i^\top O_i\|_F \, \|O_j^\top O_j\|_F}

    with features centred over the samples. For units of one feature this is their squared
    correlation.

    Parameters
    ----------
    outputs : array, shape (units, samples) or (units, samples, features)
    """
    values = _finite(outputs, "outputs", 2, 3)
    values = values[..., None] if values.ndim == 2 else values
    centred = values - values.mean(axis=1, keepdims=True)
    # A constant feature leaves rounding behind, which must not pass for a signal.
    size = np.abs(values).max(axis=(1, 2), initial=0.0)
    noise = np.abs(centred).max(axis=(1, 2), initial=0.0) <= 1e-12 * size
    live = ~noise
    centred[noise] = 0.0
    units, samples, features = centred.shape
    flat = centred.transpose(1, 0, 2).reshape(samples, units * features)
    cross = (flat.T @ flat).reshape(units, features, units, features)
    square = np.einsum("iajb,iajb->ij", cross, cross)
    own = np.sqrt(np.diag(square))
    norm = np.outer(own, own)
    found = np.divide(square, norm, out=np.zeros_like(square), where=norm > 0.0)
    return _finished(found, live)


def flow(weight: npt.ArrayLike) -> Array:
    r"""Weight flow: two steps of a walk, forward to a reader and back to another of its units.

    .. math::
        s_{ij} = \sum_r \frac{|W_{ri}| \, |W_{rj}|}{\sum_k |W_{rk}|}

    Parameters
    ----------
    weight : array, shape (readers, units)
        Weights with which the next layer reads the units.
    """
    size = np.abs(_finite(weight, "weight", 2, 2))
    total = size.sum(axis=1, keepdims=True)
    scaled = np.divide(size, total, out=np.zeros_like(size), where=total > 0.0)
    return _finished(scaled.T @ size, size.sum(axis=0) > 0.0)


def _distributions(values: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Rows scaled to sum 1, shape (units, rows, n), and which units have any mass."""
    array = _finite(values, "distributions", 2, 3)
    if (array < 0.0).any():
        unit = int(np.argwhere(array < 0.0)[0][0])
        msg = f"distributions must have no negative entry; unit {unit} has one"
        raise GraphError(msg)
    array = array[:, None] if array.ndim == 2 else array
    total = array.sum(axis=2, keepdims=True)
    scaled = np.divide(array, total, out=np.zeros_like(array), where=total > 0.0)
    return scaled, total.any(axis=(1, 2))


def _blocks(values: Array) -> list[tuple[int, Array]]:
    step = max(1, _CHUNK // max(1, values[0].size)) if len(values) else 1
    return [(start, values[start : start + step]) for start in range(0, len(values), step)]


def _finite(values: npt.ArrayLike, name: str, least: int, most: int) -> Array:
    array = numbers(values, name, GraphError)
    if not least <= array.ndim <= most or 0 in array.shape:
        axes = " or ".join(str(n) for n in range(least, most + 1))
        msg = f"{name} must have {axes} axes, none empty; got shape {array.shape}"
        raise GraphError(msg)
    if not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0].tolist()
        msg = f"{name} are NaN or infinite at {place}"
        raise GraphError(msg)
    return array


def _finished(affinity: Array, live: npt.NDArray[np.bool_]) -> Array:
    """Affinities within [0, ...), none of a unit without signal, diagonal 0."""
    result = np.maximum(affinity, 0.0) * np.outer(live, live)
    np.fill_diagonal(result, 0.0)
    return result
