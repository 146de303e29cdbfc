"""Input regions: boxes, norm balls within boxes, linear constraints on them; one file each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mipnet.errors import RegionError
from mipnet.region.base import Region, checked_radius
from mipnet.region.box import Box, LinfBall
from mipnet.region.l0 import L0Ball
from mipnet.region.l1 import L1Ball
from mipnet.region.l2 import L2Ball
from mipnet.region.linear import Constrained

_BALLS: dict[str, Callable[..., Region]] = {
    "linf": LinfBall,
    "l2": L2Ball,
    "l1": L1Ball,
    "l0": L0Ball,
}


def ball(
    centre: npt.ArrayLike,
    radius: float,
    norm: str,
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
) -> Region:
    """Norm ball around a point within a domain.

    Parameters
    ----------
    centre : array_like
        Flattened to shape (n,).
    radius : float
        For l0 the number of inputs that may change.
    norm : {"linf", "l2", "l1", "l0"}
    lower, upper : array_like, broadcastable to (n,), optional
        The domain; when absent, just wide enough to hold the ball. An l0 ball needs both.

    Raises
    ------
    RegionError
        When the norm is unknown, the radius negative (or, for l0, not whole), the centre outside
        the domain, or an l0 ball has none.
    """
    if norm not in _BALLS:
        msg = f"unknown norm {norm!r}; known: {', '.join(sorted(_BALLS))}"
        raise RegionError(msg)
    if norm == "l0" and (lower is None or upper is None):
        msg = "an l0 ball reaches to the ends of its domain: give lower and upper"
        raise RegionError(msg)
    point = np.asarray(centre, dtype=np.float64).reshape(-1)
    if not np.isfinite(point).all():
        bad = int(np.flatnonzero(~np.isfinite(point))[0])
        msg = f"the centre is NaN or infinite at input {bad}"
        raise RegionError(msg)
    reach = checked_radius(radius)
    wide = np.nextafter(2.0 * (np.abs(point) + reach), np.inf)
    lo = -wide if lower is None else _spread(lower, point.size)
    up = wide if upper is None else _spread(upper, point.size)
    return _BALLS[norm](point, reach, lo, up)


def _spread(bound: npt.ArrayLike, n: int) -> npt.NDArray[np.float64]:
    values = np.asarray(bound, dtype=np.float64).reshape(-1)
    if values.size not in (1, n):
        msg = f"a domain bound has {values.size} values for {n} inputs"
        raise RegionError(msg)
    return np.broadcast_to(values, (n,))


__all__ = ["Box", "Constrained", "L0Ball", "L1Ball", "L2Ball", "LinfBall", "Region", "ball"]
