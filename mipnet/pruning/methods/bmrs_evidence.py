r"""Closed forms of BMRS: posterior of a unit's noise, and the evidence for removing it.

The output of a unit is multiplied by a noise :math:`\theta = e^x` with :math:`x` in
:math:`[A, B]`. Its prior is uniform in :math:`x`, its posterior a normal with mean :math:`\mu` and
standard deviation :math:`\sigma` truncated to :math:`[A, B]`. With standardised ends
:math:`\alpha = (A - \mu) / \sigma`, :math:`\beta = (B - \mu) / \sigma` the posterior has mass
:math:`Z = \Phi(\beta) - \Phi(\alpha)`; all masses are kept as logarithms.

D. Wright, C. Igel, R. Selvan, BMRS: Bayesian Model Reduction for Structured Pruning, NeurIPS 2024,
arXiv:2406.01345; noise and its moments after K. Neklyudov et al., Structured Bayesian Pruning via
Log-Normal Multiplicative Noise, NeurIPS 2017, arXiv:1705.07283.
"""

from __future__ import annotations

from functools import cache
from math import e, log, pi

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Ends of the logarithm of the noise.
LOW, HIGH = -20.0, 0.0
#: Mean and variance of the reduced prior of BMRS_N: a spike at the lower end.
SPIKE_MEAN, SPIKE_VARIANCE = LOW, 1e-12
#: The narrow prior of BMRS_U ends at 2**-P2 below: the mantissa of single precision.
P2 = 23.0
#: What the released BMRS_N adds to the evidence of the paper.
CODE_OFFSET = 0.5 * log(2.0 * pi)
#: Limits of log sigma and of the uniform draw in the released code.
LOG_SIGMA = (-20.0, 5.0)
CLIP = 1e-5
#: Posteriors this flat over [A, B] are integrated instead: the closed form of KL cancels.
_FLAT = 2.0


def log_mass(alpha: npt.ArrayLike, beta: npt.ArrayLike) -> Array:
    r""":math:`\log(\Phi(\beta) - \Phi(\alpha))`, exact in both tails.

    Parameters
    ----------
    alpha, beta : array_like
        With alpha < beta.
    """
    from scipy.special import log_ndtr

    lower, upper = np.broadcast_arrays(np.asarray(alpha, float), np.asarray(beta, float))
    # Right of the middle both ends change sides, so that log_ndtr is small where it matters.
    mirrored = lower + upper > 0.0
    lower, upper = np.where(mirrored, -upper, lower), np.where(mirrored, -lower, upper)
    top = log_ndtr(upper)
    with np.errstate(divide="ignore"):
        result = top + np.log(-np.expm1(np.minimum(log_ndtr(lower) - top, 0.0)))
    return np.asarray(result)


def log_posterior_mass(
    mu: npt.ArrayLike, sigma: npt.ArrayLike, low: float = LOW, high: float = HIGH
) -> Array:
    """Logarithm of the share of an untruncated normal in [low, high]."""
    mean, deviation = np.asarray(mu, float), np.asarray(sigma, float)
    return log_mass((low - mean) / deviation, (high - mean) / deviation)


def divergence(mu: npt.ArrayLike, sigma: npt.ArrayLike) -> Array:
    r"""Kullback-Leibler divergence of the posterior from the prior.

    .. math:: -\log\sigma - \log Z - \tfrac12\log(2\pi e) + \log(B - A)
              - \frac{\alpha\varphi(\alpha) - \beta\varphi(\beta)}{2 Z}
    """
    mean, deviation = np.broadcast_arrays(np.asarray(mu, float), np.asarray(sigma, float))
    alpha, beta = (LOW - mean) / deviation, (HIGH - mean) / deviation
    log_z = log_mass(alpha, beta)
    ends = [t * np.exp(-0.5 * t**2 - 0.5 * log(2 * pi) - log_z) for t in (alpha, beta)]
    closed = np.asarray(
        -np.log(deviation)
        - log_z
        - 0.5 * log(2 * pi * e)
        + log(HIGH - LOW)
        - 0.5 * (ends[0] - ends[1])
    )
    flat = beta - alpha < _FLAT
    result = np.array(closed)
    result[flat] = _flat_divergence(alpha[flat], beta[flat])
    return result


def _flat_divergence(alpha: Array, beta: Array) -> Array:
    """KL by quadrature of r log r - r + 1, r the posterior over the prior: no cancellation."""
    nodes, weights = _legendre()
    # Up to a constant factor, which the mean takes out again.
    place = 0.5 * (beta - alpha)[..., None] * nodes
    density = np.expm1(-0.5 * place * (place + (alpha + beta)[..., None]))
    mean = density @ weights
    ratio = (density - mean[..., None]) / (1.0 + mean[..., None])
    return np.asarray(((1.0 + ratio) * np.log1p(ratio) - ratio) @ weights)


@cache
def _legendre() -> tuple[Array, Array]:
    """Gauss-Legendre nodes on [-1, 1] and weights of sum 1."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    return nodes, weights / weights.sum()


def log_moment(mu: npt.ArrayLike, sigma: npt.ArrayLike, order: int) -> Array:
    r"""Logarithm of a moment of the noise.

    .. math:: \log E[\theta^k] = k\mu + \tfrac12 k^2\sigma^2
              + \log(\Phi(\beta - k\sigma) - \Phi(\alpha - k\sigma)) - \log Z
    """
    mean, deviation = np.asarray(mu, float), np.asarray(sigma, float)
    alpha, beta = (LOW - mean) / deviation, (HIGH - mean) / deviation
    shift = order * deviation
    tilted = log_mass(alpha - shift, beta - shift)
    return np.asarray(order * mean + 0.5 * shift**2 + tilted - log_mass(alpha, beta))


def expectation(mu: npt.ArrayLike, sigma: npt.ArrayLike) -> Array:
    """Mean of the noise, by which a unit is multiplied at evaluation."""
    return np.exp(log_moment(mu, sigma, 1))


def signal_to_noise(mu: npt.ArrayLike, sigma: npt.ArrayLike) -> Array:
    """Mean over standard deviation of the noise (Neklyudov et al., section 4.2)."""
    spread = np.expm1(log_moment(mu, sigma, 2) - 2.0 * log_moment(mu, sigma, 1))
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / np.sqrt(np.maximum(spread, 0.0)))


def normal_evidence(
    mu: npt.ArrayLike,
    sigma: npt.ArrayLike,
    variant: str = "paper",
    spike: tuple[float, float] = (SPIKE_MEAN, SPIKE_VARIANCE),
) -> Array:
    r"""Change of log evidence under BMRS_N; a unit goes where it is at least 0.

    Equation 8 of the paper, with :math:`v = \sigma^2 + \tilde\sigma_p^2` rearranged to

    .. math:: \log(B-A) + \log\tilde Z_q - \log Z_q - \log\tilde Z_p - \tfrac12\log(2\pi v)
              - \frac{(\mu - \tilde\mu_p)^2}{2v},

    since the printed form subtracts numbers of size :math:`4\cdot10^{14}`. For a narrow spike at
    :math:`A` it is the density ratio :math:`\log q(A) / p(A)`.

    Parameters
    ----------
    mu, sigma : array_like
    variant : {"paper", "code"}
        ``code`` adds the :math:`\tfrac12\log 2\pi` by which the released code differs.
    spike : (float, float)
        Mean and variance of the reduced prior, a normal truncated to [A, B].
    """
    mean, deviation = np.asarray(mu, float), np.asarray(sigma, float)
    centre, variance = spike
    width = np.sqrt(variance)
    total = deviation**2 + variance
    narrow = deviation * width / np.sqrt(total)
    # Mean of the product of the two normals, as its small distance from the spike.
    shift = (mean - centre) * (variance / total) / narrow
    product = log_mass((LOW - centre) / narrow - shift, (HIGH - centre) / narrow - shift)
    evidence = (
        log(HIGH - LOW)
        + product
        - log_posterior_mass(mean, deviation)
        - log_mass((LOW - centre) / width, (HIGH - centre) / width)
        - 0.5 * np.log(2.0 * pi * total)
        - (mean - centre) ** 2 / (2.0 * total)
    )
    return np.asarray(evidence + (CODE_OFFSET if variant == "code" else 0.0))


def uniform_evidence(
    mu: npt.ArrayLike, sigma: npt.ArrayLike, p1: float = 8.0, p2: float = P2
) -> Array:
    r"""Change of log evidence under BMRS_U (equations 10 and 11).

    The reduced prior is log-uniform on :math:`[2^{-p_2}, 2^{-p_1}]`: a unit goes where the
    posterior puts at least the prior's share of its mass there. A posterior below
    :math:`2^{-p_2}` does not, so that this is no ranking.
    """
    low, high = -p2 * log(2.0), -p1 * log(2.0)
    inside = log_posterior_mass(mu, sigma, low, high) - log_posterior_mass(mu, sigma)
    return np.asarray(inside - log((high - low) / (HIGH - LOW)))


def sample(mu: npt.ArrayLike, sigma: npt.ArrayLike, uniform: npt.ArrayLike) -> Array:
    r"""Noise from uniform draws: :math:`\exp(\mu + \sigma\Phi^{-1}(\Phi(\alpha) + u Z))`.

    The argument of the quantile is kept ``CLIP`` away from 0 and 1, and its value in [A, B].
    """
    from scipy.special import ndtr, ndtri

    mean, deviation = np.asarray(mu, float), np.asarray(sigma, float)
    low, high = ndtr((LOW - mean) / deviation), ndtr((HIGH - mean) / deviation)
    quantile = np.clip(low + np.asarray(uniform, float) * (high - low), CLIP, 1.0 - CLIP)
    return np.asarray(np.exp(np.clip(mean + deviation * ndtri(quantile), LOW, HIGH)))
