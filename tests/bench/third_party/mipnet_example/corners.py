"""A data source in one file."""

from __future__ import annotations

import numpy as np

from mipnet.bench import register_data
from mipnet.bench.data import Raw


@register_data("corners")
def corners() -> Raw:
    """Eight repeats of the corners of the unit square; the class is their parity."""
    points = np.tile([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], (8, 1))
    return Raw(points, points.sum(axis=1).astype(np.int64) % 2, "classification", 1.0, (0, 1))
