"""scikit-learn's steps that make or complete features: polynomials of degree one, imputation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mipnet.errors import ReadError
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.sklearn_refusals import PRODUCTS, fitted
from mipnet.network.readers.values import RefusalError, Value


def polynomial(graph: Graph, name: str, step: Any, value: Value) -> Value:
    """Features of degree at most one: the constant and the columns themselves."""
    del graph
    fitted(step, "n_output_features_", name)
    powers = np.asarray(step.powers_)
    if powers.sum(axis=1).max(initial=0) > 1:
        reason = f"PolynomialFeatures of degree {step.degree}: {PRODUCTS}"
        raise RefusalError(reason)
    return _columns(name, value, powers.argmax(axis=1), powers.sum(axis=1) == 0, 1.0)


def impute(graph: Graph, name: str, step: Any, value: Value) -> Value:
    """Nothing, where NaN counts as missing: the inputs of a network are numbers.

    Columns without any value in the training data are left out, as scikit-learn does; indicators of
    missing values are zero.
    """
    del graph
    fitted(step, "statistics_", name)
    missing = step.missing_values
    if not (isinstance(missing, float) and np.isnan(missing)):
        reason = f"SimpleImputer: replaces the value {missing!r}, at which the function jumps; "
        reason += "let NaN stand for missing values"
        raise RefusalError(reason)
    columns = np.arange(len(step.statistics_))
    if not step.keep_empty_features:
        kinds = np.asarray(step.statistics_, dtype=np.float64)
        columns = columns[~np.isnan(kinds)]
    if not columns.size:
        msg = f"{name}: leaves no column; keep at least one"
        raise ReadError(msg)
    flags = 0 if step.indicator_ is None else len(step.indicator_.features_)
    places = np.concatenate([columns, np.zeros(flags, columns.dtype)])
    return _columns(name, value, places, np.arange(len(places)) >= len(columns), 0.0)


def _columns(name: str, value: Value, places: Any, fixed: Any, number: float) -> Value:
    """Columns of a result, some replaced by a number."""
    picked = value.view(name, lambda a: a[:, np.asarray(places, dtype=np.int64)])
    if not np.any(fixed):
        return picked
    kept = picked.apply(name, "mul", np.where(fixed, 0.0, 1.0))
    return kept.apply(name, "add", np.where(fixed, number, 0.0))


FEATURES: dict[tuple[str, str], Callable[[Graph, str, Any, Value], Value]] = {
    ("sklearn.preprocessing", "PolynomialFeatures"): polynomial,
    ("sklearn.impute", "SimpleImputer"): impute,
}
