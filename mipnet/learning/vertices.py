"""Points that a convex hull can do without."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull as Qhull
from scipy.spatial import QhullError

Array = npt.NDArray[np.float64]

#: Dimensions up to which all facets are found; their number explodes with it.
_DIMENSIONS = 5
#: How far beyond a facet a point counts as outside, relative to the widths of the data.
_FLAT = 1e-12


def vertices(points: Array) -> Array:
    """Return points with the same convex hull, to within 1e-12 of the widths of the data.

    Duplicates go. In one dimension the two ends stay; in up to five, what Qhull (Barber, Dobkin,
    Huhdanpaa, ACM TOMS 22(4), 1996) finds to be vertices, and every point beyond its facets. Points
    of a flat set, and of more dimensions, all stay.

    Parameters
    ----------
    points : array, shape (n, d)

    Returns
    -------
    array, shape (m, d)
        Some of the points.
    """
    kept = np.unique(points, axis=0)
    n, d = kept.shape
    if d == 1:
        return kept[[0, -1]] if n > 1 else kept
    if d > _DIMENSIONS or n <= d + 1:
        return kept
    low, high = kept.min(axis=0), kept.max(axis=0)
    if not (high > low).all():
        return kept
    scaled = (kept - low) / (high - low)
    try:
        hull = Qhull(scaled)
    except QhullError:
        # Flat: the points lie in fewer dimensions.
        return kept
    chosen = np.zeros(n, dtype=bool)
    chosen[hull.vertices] = True
    normals, offsets = hull.equations[:, :-1], hull.equations[:, -1]
    for begin in range(0, n, 1024):
        part = slice(begin, begin + 1024)
        chosen[part] |= (scaled[part] @ normals.T + offsets).max(axis=1) > _FLAT
    return np.asarray(kept[chosen])
