"""Choosing a network by what it predicts and by what its program costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.choice import Choice
from mipnet.embedding.inputs import is_pandas
from mipnet.errors import QueryError
from mipnet.learning.candidates import Array, estimators
from mipnet.learning.region import table_of
from mipnet.learning.selection import Selection
from mipnet.learning.trials import Table, Trials
from mipnet.region import Box

RULES = ("one_se", "best")


def select_network(
    X: Any,
    y: Any,
    candidates: Any = None,
    *,
    keep: Sequence[float] = (),
    method: str = "magnitude",
    epochs: int = 0,
    task: str = "auto",
    cv: Any = 5,
    scoring: Any = None,
    rule: str = "one_se",
    max_binaries: int | None = None,
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
    formulation: Choice = "big_m",
    random_state: int = 0,
) -> Selection:
    """Cross-validate networks, measure their programs, and choose one.

    Every candidate is fitted on the training part of each fold and scored, as the network that
    would be embedded, on the rest; pruning and further training see the training part only. Then
    it is fitted on all data, bounded and encoded over the box: what is counted is what would be
    embedded. All candidates see the same folds.

    Parameters
    ----------
    X : DataFrame or array_like, shape (n, n_inputs)
    y : array_like, shape (n,) or (n, n_targets)
    candidates : sequence or mapping of str to its items, optional
        Widths of hidden layers, such as ``(16, 16)``: perceptrons between scalers. Or unfitted
        scikit-learn estimators that :func:`mipnet.load` reads. By default one or two layers of 8,
        16 and 32.
    keep : sequence of float
        Fractions of the units to keep: each candidate is also tried pruned to each of these.
    method : str
        Pruning method (:func:`mipnet.pruners`).
    epochs : int
        For how long pruned networks are trained further, on inputs and targets scaled to unit
        variance. Needs torch.
    task : {"auto", "classification", "regression"}
        By ``auto``, ``y`` of one column that are no floating-point numbers are classes.
    cv : int, splitter or iterable of (train, test)
        Number of shuffled folds, stratified for classes; or as in scikit-learn.
    scoring : str or callable, optional
        As in scikit-learn, larger is better; accuracy or R2 when absent. It gets the network as an
        estimator.
    rule : {"one_se", "best"}
        The smallest program whose mean score is within one standard error of the best one's
        (Breiman, Friedman, Olshen, Stone: Classification and regression trees, 1984, section
        3.4.3), or the best score. Smaller: fewer binaries, then fewer nonzeros.
    max_binaries : int, optional
        Programs with more are not chosen.
    lower, upper : array_like, optional
        Box of the inputs in the model to come; that of the data when absent.
    formulation : str, Formulation or mapping
        As for :class:`mipnet.NetworkBlock`.
    random_state : int
        Seed of folds, of estimators that have none of their own, of pruning and training. Equal
        arguments give equal results.

    Returns
    -------
    Selection

    Raises
    ------
    QueryError
        When an argument is out of range, a candidate cannot be fitted, read or scored (named), or
        none is within the budget.
    RegionError
        When ``X`` has a missing value.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).uniform(-1, 1, size=(120, 2))
    >>> found = select_network(X, np.abs(X).sum(axis=1), [(2,), (4,), (16,)], cv=3)
    >>> len(found.trials), found.network.n_inputs, found.chosen.mean > 0.9
    (3, 2, True)
    """
    _check_rule(rule, max_binaries, keep, epochs)
    data = _data(X, y, task)
    splits = list(_splits(cv, data, random_state))
    trying = Trials(
        data,
        splits,
        _scorer(scoring, data),
        Box(*_box(data, lower, upper)),
        formulation,
        tuple(keep),
        method,
        epochs,
        random_state,
    )
    named = estimators(
        candidates, classify=data.classify, count=len(data.points), seed=random_state
    )
    trials = [trial for name, made in named.items() for trial in trying.of(name, made)]
    allowed = [t for t in trials if max_binaries is None or t.binaries <= max_binaries]
    if not allowed:
        least = min(trials, key=lambda t: t.size)
        msg = f"no candidate has {max_binaries} binaries or fewer; the smallest, {least.name}, has "
        msg += f"{least.binaries}: add smaller ones, or keep= to prune"
        raise QueryError(msg)
    best = max(allowed, key=lambda t: (t.mean, [-s for s in t.size]))
    least_score = best.mean - (best.standard_error if rule == "one_se" else 0.0)
    chosen = best
    if rule == "one_se":
        chosen = min((t for t in allowed if t.mean >= least_score), key=lambda t: t.size)
    known = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    label = ("accuracy" if data.classify else "r2") if scoring is None else known
    return Selection(
        tuple(trials), chosen, rule, max_binaries, least_score, str(label), len(splits)
    )


def _check_rule(rule: str, max_binaries: int | None, keep: Sequence[float], epochs: int) -> None:
    if rule not in RULES:
        msg = f"the rule is one of {', '.join(RULES)}, not {rule!r}"
        raise QueryError(msg)
    if max_binaries is not None and max_binaries < 0:
        msg = f"a budget of binaries is 0 or more, not {max_binaries}"
        raise QueryError(msg)
    wrong = [k for k in keep if not 0.0 < k < 1.0]
    if wrong:
        msg = f"keep holds fractions of units between 0 and 1, not {wrong[0]!r}"
        raise QueryError(msg)
    if epochs < 0:
        msg = f"epochs is 0 or more, not {epochs}"
        raise QueryError(msg)


def _data(X: Any, y: Any, task: str) -> Table:
    points, _ = table_of(X)
    targets = y.to_numpy() if is_pandas(y) else np.asarray(y)
    if len(targets) != len(points) or targets.ndim not in {1, 2}:
        msg = f"X has {len(points)} rows, y is of shape {targets.shape}"
        raise QueryError(msg)
    if task not in {"auto", "classification", "regression"}:
        msg = f"the task is auto, classification or regression, not {task!r}"
        raise QueryError(msg)
    single = targets.ndim == 1 or targets.shape[1] == 1
    if task == "auto":
        task = "classification" if single and targets.dtype.kind != "f" else "regression"
    if task == "classification":
        if not single:
            msg = "classes are one column of labels; take one network for each of several"
            raise QueryError(msg)
        return Table(X if is_pandas(X) else points, points, targets.reshape(-1), True)
    try:
        numbers = targets.astype(np.float64)
    except (TypeError, ValueError) as error:
        msg = f"targets of a regression are numbers: {error}"
        raise QueryError(msg) from error
    for row in np.argwhere(~np.isfinite(numbers))[:1].tolist():
        msg = f"y{row} is {numbers[tuple(row)]}; leave such rows out"
        raise QueryError(msg)
    return Table(X if is_pandas(X) else points, points, numbers, False)


def _splits(cv: Any, data: Table, seed: int) -> Iterator[tuple[Any, Any]]:
    """Rows to fit on and rows to score on, for every fold."""
    from sklearn.model_selection import KFold, StratifiedKFold, check_cv

    try:
        if isinstance(cv, int | np.integer):
            kind = StratifiedKFold if data.classify else KFold
            chosen = kind(int(cv), shuffle=True, random_state=seed)
        else:
            chosen = check_cv(cv, data.y, classifier=data.classify)
        splits = [(np.asarray(a), np.asarray(b)) for a, b in chosen.split(data.points, data.y)]
    except (TypeError, ValueError) as error:
        msg = f"cv={cv!r} does not split these data: {error}"
        if data.classify:
            msg += "; if the targets are no classes but numbers, pass task='regression'"
        raise QueryError(msg) from error
    if not splits:
        msg = "cv gives no fold"
        raise QueryError(msg)
    for number, (train, test) in enumerate(splits):
        if not train.size or not test.size or np.intersect1d(train, test).size:
            msg = f"fold {number}: rows to fit on and rows to score on overlap, or there are none"
            raise QueryError(msg)
        yield train, test


def _scorer(scoring: Any, data: Table) -> Any:
    """Return a scorer of scikit-learn; accuracy or R2 when none is asked for."""
    from sklearn.metrics import get_scorer

    try:
        return get_scorer(("accuracy" if data.classify else "r2") if scoring is None else scoring)
    except ValueError as error:
        msg = f"scoring is a name that scikit-learn knows, or a callable: {error}"
        raise QueryError(msg) from error


def _box(
    data: Table, lower: npt.ArrayLike | None, upper: npt.ArrayLike | None
) -> tuple[Array, Array]:
    ends = data.points.min(axis=0), data.points.max(axis=0)
    low, high = (
        end if given is None else np.broadcast_to(np.asarray(given, float), end.shape)
        for given, end in zip((lower, upper), ends, strict=True)
    )
    return np.array(low), np.array(high)
