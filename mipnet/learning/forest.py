"""The inliers of an isolation forest, exactly."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import scipy.sparse as sp

from formulations import AffineForm, Program
from mipnet.errors import EmbeddingError, RegionError
from mipnet.learning.cuts import LEFT, RIGHT, Cuts, cuts_of, encode_cuts
from mipnet.learning.region import Array, Flags, Index, TrustRegion
from mipnet.learning.trees import Tree, average_path, last_left, trees_of

#: Points that the path lengths are compared with scikit-learn's at, when a region is made.
_SAMPLE = 64
#: Mean path lengths this close below the limit pass: the offset of a forest is often the score of
#: a datum, and all points of its cell shall be inside whatever the order of a sum.
_TIE = 1e-9
#: Largest input scikit-learn takes: it rounds to single precision.
_LARGEST = float(np.finfo(np.float32).max)


class IsolationRegion(TrustRegion):
    r"""Points that an isolation forest takes for normal: ``score_samples(x) >= threshold``.

    The score falls with the mean path length :math:`h(x)` over the trees,
    :math:`-2^{-h(x) / c(\psi)}`, so that the condition is linear in the leaves reached:
    :math:`h(x) \ge -c(\psi) \log_2(-t)`. Every cut of an input by a tree gets a binary, shared by
    all trees and ordered along the input; leaves get continuous columns (:meth:`encode`). Inputs
    need bounds; cuts outside of them cost nothing.

    Ties: scikit-learn rounds inputs to single precision before it compares them, and a solver
    holds a row only to a tolerance. The largest double that goes left is found exactly
    (:func:`mipnet.learning.trees.last_left`), and values closer to it than ``margin`` times the
    extent of the cuts, or of the bounds where these are narrower, are left out, so that a solution
    is on the side that its binaries say. Integer variables lose nothing: their cuts lie half-way
    between two numbers; nor do fixed inputs. A score equal to the threshold is inside, up to
    rounding: within 1e-8. Beyond its outermost cuts a forest tells nothing apart.

    :meth:`outside` is by how much the score falls short of the threshold, as scikit-learn has it.

    Parameters
    ----------
    forest : sklearn.ensemble.IsolationForest
        Fitted; a copy is kept.
    threshold : float, optional
        Least ``score_samples``, between -1 and 0. By default ``offset_``, which is
        ``decision_function(x) >= 0`` and ``predict(x) == 1``, so that ``contamination`` counts.
    margin : float
        Share of the extent of the cuts of an input. Must exceed twice the feasibility tolerance of
        the solver: 1e-9 in :func:`mipnet.solve`, 1e-6 in most others.

    Raises
    ------
    RegionError
        When it is no fitted isolation forest, the threshold or the margin is out of range, or
        scikit-learn computes other scores than these formulas.

    Notes
    -----
    Forest: Liu, Ting, Zhou, Isolation forest, ICDM 2008, equations 1 and 2. Rows: Mišić,
    Optimization of tree ensembles, Operations Research 68(5), 2020, constraints (2b) to (2g);
    there without ``x``, which the rows of :func:`mipnet.learning.cuts.encode_cuts` add.

    Examples
    --------
    >>> from sklearn.ensemble import IsolationForest
    >>> points = [[x / 10, y / 10] for x in range(10) for y in range(10)] + [[3.0, 3.0]]
    >>> region = IsolationRegion(IsolationForest(n_estimators=20, random_state=0).fit(points))
    >>> region.contains([[0.5, 0.5], [2.5, 2.5]]).tolist()
    [True, False]
    """

    tolerance = 1e-8

    def __init__(
        self, forest: Any, threshold: float | None = None, *, margin: float = 4e-6
    ) -> None:
        if not is_forest(forest):
            msg = f"expected a scikit-learn IsolationForest, not a {type(forest).__name__}"
            if type(forest).__name__ == "Pipeline":
                msg += "; fit the forest itself on the inputs as they are: trees need no scaling"
            raise RegionError(msg)
        if not hasattr(forest, "estimators_"):
            msg = "the IsolationForest is not fitted; call fit first"
            raise RegionError(msg)
        self._forest = copy.deepcopy(forest)
        limit = float(forest.offset_ if threshold is None else threshold)
        if not -1.0 < limit < 0.0:
            msg = f"the threshold is a score, between -1 (anything) and 0 (nothing), not {limit}"
            raise RegionError(msg)
        if not 0.0 <= margin < 0.1:
            msg = f"the margin is a small share of the width of an input, not {margin!r}"
            raise RegionError(msg)
        self.threshold, self.margin = limit, float(margin)
        self.n_inputs = int(forest.n_features_in_)
        known = getattr(forest, "feature_names_in_", None)
        self.names = None if known is None else tuple(known)
        self.trees = tuple(trees_of(self._forest))
        scale = float(average_path(np.asarray(forest.max_samples_)))
        if scale <= 0.0:
            msg = "the forest was fitted on one sample for each tree, and tells nothing apart"
            raise RegionError(msg)
        #: Least mean path length.
        self.least = -scale * math.log2(-limit)
        self._ends = self._all_ends()
        self._compare(scale)

    def _all_ends(self) -> list[Array]:
        """Cuts of every input by all trees: the largest value on the left, ascending."""
        inner = [tree.left >= 0 for tree in self.trees]
        features = np.concatenate([t.feature[i] for t, i in zip(self.trees, inner, strict=True)])
        cuts = np.concatenate([t.threshold[i] for t, i in zip(self.trees, inner, strict=True)])
        return [np.unique(last_left(cuts[features == j])) for j in range(self.n_inputs)]

    def _compare(self, scale: float) -> None:
        """Refuse a scikit-learn whose scores are not those of the formulas here."""
        rng = np.random.default_rng(0)
        finite = [ends[np.isfinite(ends)] for ends in self._ends]
        columns = [rng.choice(e, _SAMPLE) if e.size else np.zeros(_SAMPLE) for e in finite]
        points = np.column_stack(columns)
        points[1::2] = np.nextafter(points[1::2], np.inf)
        expected = -np.exp2(-self.mean_length(points) / scale)
        if not np.allclose(self.score(points), expected, rtol=0.0, atol=1e-9):
            msg = "this release of scikit-learn computes other scores than mipnet knows how to"
            raise RegionError(msg)

    def score(self, points: Array) -> Array:
        """``score_samples`` of scikit-learn, shape (n,)."""
        given: Any = points
        if self.names is not None:
            import pandas as pd

            given = pd.DataFrame(points, columns=list(self.names))
        return np.asarray(self._forest.score_samples(given), dtype=np.float64)

    def mean_length(self, points: Array) -> Array:
        """Mean path length of points over the trees, by the cuts that the rows are made of."""
        total = np.zeros(len(points))
        for tree in self.trees:
            node = np.zeros(len(points), dtype=np.int64)
            ends = last_left(tree.threshold)
            while (inner := tree.left[node] >= 0).any():
                value = points[np.arange(len(points)), tree.feature[node]]
                down = np.where(value <= ends[node], tree.left[node], tree.right[node])
                node = np.where(inner, down, node)
            total += tree.length[node]
        return total / len(self.trees)

    def measure(self, points: Array) -> Array:
        """By how much the score falls short."""
        return self.threshold - self.score(points)

    def describe(self) -> str:
        """One line for reports."""
        return f"inliers of {len(self.trees)} isolation trees (score >= {self.threshold:.4g})"

    def encode(self, program: Program, inputs: Index, whole: Flags) -> None:
        r"""Append the forest; see :meth:`TrustRegion.encode`.

        For every tree, :math:`\sum_\ell z_\ell = 1` over its leaves, and for every cut
        :math:`\sum_{\ell \in \text{left}} z_\ell \le y`,
        :math:`\sum_{\ell \in \text{right}} z_\ell \le 1 - y`.
        """
        low, high = (b[inputs] for b in program.bounds())
        if max(np.abs(low).max(), np.abs(high).max()) > _LARGEST:
            msg = f"scikit-learn takes inputs up to {_LARGEST:.3g}; narrow the bounds"
            raise EmbeddingError(msg)
        cuts, columns = [], []
        for j, ends in enumerate(self._ends):
            found = cuts_of(ends, float(low[j]), float(high[j]), self.margin, whole=bool(whole[j]))
            cuts.append(found)
            made = np.zeros(0, dtype=np.int32)
            if found.below.size:
                name = f"input {j}" if self.names is None else f"input {self.names[j]!r}"
                made = encode_cuts(program, int(inputs[j]), found, name)
            columns.append(made)
        trees = [_Walk(tree, cuts, columns) for tree in self.trees]
        best = sum(max(walk.lengths) for walk in trees) / len(trees)
        wanted = self.least - _TIE
        if best < wanted:
            msg = f"no point within the bounds is in the {self.describe()}: the mean path length "
            msg += f"is at most {best:.4g} there, {self.least:.4g} is needed"
            raise EmbeddingError(msg)
        first = program.n_columns
        for walk in trees:
            walk.encode(program)
        lengths = np.concatenate([walk.lengths for walk in trees])
        leaves = AffineForm.of_columns(np.arange(first, program.n_columns, dtype=np.int32))
        mean = leaves.affine(lengths[None] / len(trees), np.zeros(1))
        program.add_rows(mean, lower=wanted, upper=np.inf)


class _Walk:
    """Leaves of a tree that its bounds leave, in order, and the cuts between them."""

    def __init__(self, tree: Tree, cuts: list[Cuts], columns: list[Index]) -> None:
        self.lengths: list[float] = []
        #: Column of each cut, with the numbers of the first leaf on its left, of the first on its
        #: right, and of the first one after these.
        self.splits: list[tuple[int, int, int, int]] = []
        ends = last_left(tree.threshold)
        place = np.zeros(tree.left.size, dtype=np.int64)
        for j, known in enumerate(cuts):
            at = (tree.feature == j) & (tree.left >= 0)
            group = known.group[np.searchsorted(known.ends, ends[at])]
            if columns[j].size:
                group = np.where(group >= 0, columns[j][np.maximum(group, 0)], group)
            place[at] = group
        self._descend(tree, place)

    def _descend(self, tree: Tree, place: Any) -> None:
        """Go through the tree from left to right, without recursion."""
        # A node to visit, or a split whose left (second entry -1) or right side is done.
        todo: list[tuple[int, int, int]] = [(0, -2, -2)]
        while todo:
            node, begin, middle = todo.pop()
            here = len(self.lengths)
            if begin == -2:
                if tree.left[node] < 0:
                    self.lengths.append(float(tree.length[node]))
                elif place[node] == LEFT:
                    todo.append((int(tree.left[node]), -2, -2))
                elif place[node] == RIGHT:
                    todo.append((int(tree.right[node]), -2, -2))
                else:
                    todo += [(node, here, -1), (int(tree.left[node]), -2, -2)]
            elif middle == -1:
                todo += [(node, begin, here), (int(tree.right[node]), -2, -2)]
            else:
                self.splits.append((int(place[node]), begin, middle, here))

    def encode(self, program: Program) -> None:
        """Append columns of the leaves, and their rows."""
        n = len(self.lengths)
        leaves = AffineForm.of_columns(program.add_columns(np.zeros(n), np.ones(n)))
        program.add_rows(leaves.sum(), lower=1.0, upper=1.0)
        if not self.splits:
            return
        column, begin, middle, end = np.array(self.splits, dtype=np.int64).T
        y = AffineForm.of_columns(np.arange(program.n_columns, dtype=np.int32)).select(column)
        left, right = (leaves.affine(_ranges(a, b, n), np.zeros(column.size))
                       for a, b in ((begin, middle), (middle, end)))  # fmt: skip
        program.add_rows(left - y, lower=-np.inf, upper=0.0)
        program.add_rows(right + y, lower=-np.inf, upper=1.0)


def _ranges(begin: Any, end: Any, width: int) -> sp.csr_array:
    """Rows with ones from ``begin`` up to ``end``."""
    counts = end - begin
    starts = np.concatenate([[0], np.cumsum(counts)])
    indices = np.arange(starts[-1]) - np.repeat(starts[:-1] - begin, counts)
    return sp.csr_array((np.ones(indices.size), indices, starts), shape=(counts.size, width))


def is_forest(source: Any) -> bool:
    """Whether something is a scikit-learn isolation forest, without loading scikit-learn."""
    return any(
        cls.__name__ == "IsolationForest" and cls.__module__.startswith("sklearn.ensemble")
        for cls in type(source).__mro__
    )
