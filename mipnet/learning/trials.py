"""Fitting, shrinking and measuring candidates."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mipnet.bounds import compute_bounds
from mipnet.choice import Choice
from mipnet.embedding.inputs import is_pandas
from mipnet.encode import encode
from mipnet.errors import QueryError
from mipnet.learning.candidates import Array, predictor
from mipnet.learning.selection import Trial
from mipnet.network import Network, scaled
from mipnet.network.readers import load
from mipnet.network.rewrite import fold
from mipnet.pruning import finetune, prune
from mipnet.region import Box

#: Name, network and classes of one variant of a candidate.
Variant = tuple[str, Network, Any]


@dataclass(frozen=True, eq=False)
class Table:
    """Data of a selection.

    Attributes
    ----------
    given : DataFrame or array
        What estimators are fitted on.
    points : array, shape (n, n_inputs)
        Its numbers.
    y : array, shape (n,) or (n, n_targets)
    classify : bool
        Whether the targets are labels.
    """

    given: Any
    points: Array
    y: Any
    classify: bool

    def rows(self, at: Any) -> tuple[Any, Any]:
        """Return inputs and targets of some rows."""
        return (self.given.iloc[at] if is_pandas(self.given) else self.given[at]), self.y[at]


@dataclass(eq=False)
class Trials:
    """How candidates are tried; see :func:`mipnet.learning.select_network`."""

    data: Table
    splits: list[tuple[Any, Any]]
    score: Any
    box: Box
    formulation: Choice
    keep: tuple[float, ...]
    method: str
    epochs: int
    seed: int
    _spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def of(self, name: str, estimator: Any) -> Iterator[Trial]:
        """Trials of a candidate and its pruned variants.

        Raises
        ------
        QueryError
            When it cannot be fitted, read, pruned or scored; names it and the fold.
        """
        scores: list[list[float]] = []
        try:
            for train, test in self.splits:
                inputs, targets = self.data.rows(test)
                _, made = self._variants(name, estimator, train)
                nets = (predictor(network, classes) for _, network, classes in made)
                scores.append([float(self.score(net, inputs, targets)) for net in nets])
            fitted, made = self._variants(name, estimator, np.arange(len(self.data.points)))
        except Exception as error:
            where = f"fold {len(scores)}" if len(scores) < len(self.splits) else "all data"
            msg = f"candidate {name!r}, {where}: {error}"
            raise QueryError(msg) from error
        for k, (label, network, _) in enumerate(made):
            column = tuple(of_fold[k] for of_fold in scores)
            if not np.isfinite(column).all():
                msg = f"candidate {label!r}: a score is not finite: {column}"
                raise QueryError(msg)
            yield self._measured(label, column, network, fitted)

    def _variants(self, name: str, estimator: Any, rows: Any) -> tuple[Any, list[Variant]]:
        """Fit on some rows: the estimator, and its network with the pruned ones."""
        from sklearn.base import clone
        from sklearn.exceptions import ConvergenceWarning

        begin = time.perf_counter()
        inputs, targets = self.data.rows(rows)
        fitted = clone(estimator)
        with warnings.catch_warnings():
            # The scores say whether it was fitted well enough.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.fit(inputs, targets)
        network, classes = load(fitted), fitted.classes_ if self.data.classify else None
        made: list[Variant] = [(name, network, classes)]
        self._spent[name] += time.perf_counter() - begin
        labels = targets if classes is None else np.searchsorted(classes, targets)
        points = self.data.points[rows]
        for share in self.keep:
            begin = time.perf_counter()
            label = f"{name} keep {share:g}"
            how = {"keep": share, "data": points, "y": labels, "random_state": self.seed}
            small = prune(network, self.method, **how).network
            made.append((label, self._trained(small, points, labels), classes))
            self._spent[label] += time.perf_counter() - begin
        return fitted, made

    def _trained(self, network: Network, points: Array, y: Any) -> Network:
        """Train a network further, on inputs and targets in units of their deviation."""
        if not self.epochs:
            return network
        mean, spread = _moments(points)
        inside = scaled(network, inputs=(-mean / spread, 1.0 / spread))
        outputs = None
        if not self.data.classify:
            targets = y.reshape(len(y), -1)
            outputs = centre, size = _moments(targets)
            inside = scaled(inside, outputs=(-centre / size, 1.0 / size))
            y = (targets - centre) / size
        trained = finetune(
            fold(inside),
            (points - mean) / spread,
            y,
            epochs=self.epochs,
            seed=self.seed,
            task="classification" if self.data.classify else "regression",
        )
        return fold(scaled(trained, inputs=(mean, spread), outputs=outputs))

    def _measured(
        self, label: str, scores: tuple[float, ...], network: Network, estimator: Any
    ) -> Trial:
        """Trial of a network, with the size of its program over the box."""
        bounds = compute_bounds(network, self.box, "crown")
        program = encode(
            network,
            self.box,
            bounds.intervals,
            formulation_name=self.formulation,
            output_columns=True,
        )
        arrays = program.arrays()
        weights = [p for node in network.nodes for p in node.layer.parameters]
        return Trial(
            name=label,
            scores=scores,
            binaries=program.n_binaries,
            unstable=sum(layer.unstable for layer in program.layers),
            columns=arrays.n_columns,
            rows=arrays.n_rows,
            nonzeros=arrays.n_nonzeros,
            parameters=sum(int(np.count_nonzero(p)) for p in weights),
            fit_s=self._spent[label],
            network=network,
            estimator=estimator,
        )


def _moments(values: Array) -> tuple[Array, Array]:
    spread = values.std(axis=0)
    return values.mean(axis=0), np.where(spread > 0.0, spread, 1.0)
