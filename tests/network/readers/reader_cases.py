"""Random layers and their function, written independently of the package."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def random_layers(widths, seed, dtype=np.float64):
    """Weights (n_out, n_in) and biases of a random ReLU network."""
    rng = np.random.default_rng(seed)
    pairs = list(pairwise(widths))
    weights = [rng.normal(size=(out, inn)).astype(dtype) for inn, out in pairs]
    return weights, [rng.normal(size=out).astype(dtype) for _, out in pairs]


def evaluate(weights, biases, x):
    """ReLU after every layer but the last, for rows ``x``."""
    value = np.asarray(x, float)
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        value = np.maximum(value, 0.0) if k else value
        value = value @ np.asarray(weight, float).T + np.asarray(bias, float)
    return value
