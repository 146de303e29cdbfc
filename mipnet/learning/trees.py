"""Trees of a fitted isolation forest as plain arrays, with thresholds as inputs meet them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tree:
    """One isolation tree; nodes are numbered, 0 is the root.

    Attributes
    ----------
    left, right : array of int, shape (n_nodes,)
        Children; -1 for a leaf.
    feature : array of int, shape (n_nodes,)
        Input that is compared.
    threshold : array, shape (n_nodes,)
        Left where the input, in single precision, is at most this.
    length : array, shape (n_nodes,)
        Path length of a leaf: its depth, and what isolating its points further would take.
    """

    left: Whole
    right: Whole
    feature: Whole
    threshold: Array
    length: Array


def trees_of(forest: Any) -> Iterator[Tree]:
    """Trees of a fitted ``sklearn.ensemble.IsolationForest``."""
    for estimator, inputs in zip(forest.estimators_, forest.estimators_features_, strict=True):
        tree = estimator.tree_
        left = np.asarray(tree.children_left, dtype=np.int64)
        right = np.asarray(tree.children_right, dtype=np.int64)
        depth = np.zeros(left.size)
        # Parents come before their children.
        for node in np.flatnonzero(left >= 0).tolist():
            depth[[left[node], right[node]]] = depth[node] + 1.0
        yield Tree(
            left,
            right,
            np.asarray(inputs, dtype=np.int64)[np.maximum(tree.feature, 0)],
            np.asarray(tree.threshold, dtype=np.float64),
            depth + average_path(np.asarray(tree.n_node_samples)),
        )


def average_path(count: npt.NDArray[Any]) -> Array:
    r"""Average path length of an unsuccessful search among ``count`` points.

    .. math:: c(n) = 2 (\ln (n - 1) + \gamma) - 2 (n - 1) / n

    and 1 for two points, 0 for one (Liu, Ting, Zhou: Isolation forest, ICDM 2008, equation 1).
    """
    n = np.maximum(count, 3).astype(np.float64)
    many = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(count > 2, many, np.where(count == 2, 1.0, 0.0))


def last_left(threshold: Array) -> Array:
    """Largest double that goes left: whose single-precision value is at most the threshold.

    scikit-learn rounds inputs to float32 and compares these with a float64 threshold. Rounding is
    monotone, so the doubles that go left end somewhere: half-way between the float32 at or below
    the threshold and the next one, where a tie goes to the even one.
    """
    with np.errstate(over="ignore"):
        below = threshold.astype(np.float32)
        below = np.where(below > threshold, np.nextafter(below, np.float32(-np.inf)), below)
        above = np.nextafter(below, np.float32(np.inf))
        middle = 0.5 * below.astype(np.float64) + 0.5 * above.astype(np.float64)
        found = np.where(middle.astype(np.float32) > below, np.nextafter(middle, -np.inf), middle)
    return np.where(np.isfinite(threshold), found, threshold)
