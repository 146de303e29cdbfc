r"""Outward rounding for vectorised float64 arithmetic.

Hardware rounds to nearest. A dot product of ``n`` terms computed in any order has an error of at
most :math:`\gamma_n |x| \cdot |y|` with :math:`\gamma_n = n u / (1 - n u)`, :math:`u = 2^{-53}`
(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1). Every bound in
mipnet is computed to nearest and then moved outward by such a term, itself computed in floating
point and inflated to cover its own rounding. ``TINY`` covers results in the subnormal range,
where relative error bounds do not hold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

UNIT = 2.0**-53
TINY = 2.0**-1021
#: Relative inflation of computed error terms; covers their own rounding for up to 1e8 terms.
INFLATE = 1.0 + 1e-7


def gamma(terms: int) -> float:
    r"""Return an upper bound of :math:`\gamma_n` for sums of ``terms`` products."""
    n = terms + 2
    return n * UNIT / (1.0 - n * UNIT) * INFLATE


def down(value: Array, error: Array | float = 0.0) -> Array:
    """Largest convenient value certainly below ``value - error``."""
    return np.nextafter(value - (np.asarray(error) * INFLATE + TINY), -np.inf)


def up(value: Array, error: Array | float = 0.0) -> Array:
    """Smallest convenient value certainly above ``value + error``."""
    return np.nextafter(value + (np.asarray(error) * INFLATE + TINY), np.inf)
