"""Units of columns, so that a solver's absolute tolerances mean the same for every neuron."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Largest absolute bounds a column may have in its own unit.
_SMALL, _LARGE = 2.0**-4, 2.0**7


def units(lower: Array, upper: Array) -> Array:
    """Power of two for each column, 1 where its bounds are moderate.

    A network may hold neurons of any size: scaling one up and its outgoing weights down changes
    nothing. To a solver with absolute tolerances it changes everything, since a neuron that never
    exceeds 1e-6 is zero to it. Multiplying by powers of two is exact.

    Parameters
    ----------
    lower, upper : array, shape (n,)
        Finite bounds.

    Returns
    -------
    array, shape (n,)
        ``u`` such that the bounds divided by ``u`` are at most 1 where they were extreme.

    Examples
    --------
    >>> import numpy as np
    >>> units(np.array([-1.0, -1e-6, 0.0]), np.array([2.0, 3e-6, 1e5])).tolist()
    [1.0, 3.814697265625e-06, 131072.0]
    """
    size = np.maximum(np.abs(lower), np.abs(upper))
    extreme = (size > 0.0) & ((size < _SMALL) | (size > _LARGE))
    # Beyond 2^-200 a unit would overflow the entries it divides.
    exponent = np.ceil(np.log2(np.where(extreme, size, 1.0)))
    return np.asarray(np.exp2(np.clip(exponent, -200.0, 200.0)))
