"""Fitted scikit-learn transformers as affine views, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from mipnet.errors import ReadError
from mipnet.network.layers import Clip
from mipnet.network.numbers import Array
from mipnet.network.readers.base import is_instance
from mipnet.network.readers.combine import elementwise, joined
from mipnet.network.readers.complaints import Complaints
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.sklearn_features import FEATURES
from mipnet.network.readers.sklearn_projections import PROJECTIONS
from mipnet.network.readers.sklearn_refusals import fitted, refusal
from mipnet.network.readers.values import LOST, RefusalError, Value

PREPROCESSING = "sklearn.preprocessing"


class Steps:
    """Applies transformers to the inputs, and their inverses to the outputs.

    Parameters
    ----------
    graph : Graph
    complaints : Complaints
        Takes what is wrong with the steps inside of others.
    """

    def __init__(self, graph: Graph, complaints: Complaints) -> None:
        self.graph, self.complaints = graph, complaints

    def inner(self, name: str, step: Any, value: Value) -> Value:
        """Return the result of a step inside of another one; refused, it is listed by itself."""
        act = partial(self.apply, name, step, value)
        return self.complaints.attempt(repr(name), act, lambda: LOST)

    def apply(self, name: str, step: Any, value: Value) -> Value:
        """Return the result of ``step.transform``.

        Raises
        ------
        RefusalError
            When the kind of step is not affine, or not known.
        ReadError
            When it is not fitted.
        """
        if nothing(step):
            return value
        for (module, kind), rule in FORWARD.items():
            if is_instance(step, module, kind):
                return rule(self, name, step, value)
        for place, make in (*PROJECTIONS.items(), *FEATURES.items()):
            if is_instance(step, *place):
                return make(self.graph, name, step, value)
        raise RefusalError(refusal(step))

    def invert(self, name: str, step: Any, value: Value) -> Value:
        """Return the result of ``step.inverse_transform``; raises as :meth:`apply`."""
        if nothing(step):
            return value
        if is_instance(step, "sklearn.pipeline", "Pipeline"):
            for label, part in reversed(step.steps):
                value = self.invert(f"{name}.{label}", part, value)
            return value
        for (module, kind), pair in SCALERS.items():
            if is_instance(step, module, kind):
                shift, scale = pair(step)
                value = self._arithmetic(name, step, scale, value, inverse=True)
                return self._arithmetic(name, step, shift, value, inverse=True)
        reason = f"{type(step).__name__}: as a target, only scalers are read; use one, or fit the "
        raise RefusalError(reason + "transformed target itself")

    def scaled(self, name: str, step: Any, value: Value) -> Value:
        """Return the result of a scaler."""
        pair = next(rule for key, rule in SCALERS.items() if is_instance(step, *key))
        for part in pair(step):
            value = self._arithmetic(name, step, part, value)
        if getattr(step, "clip", False):
            ends = getattr(step, "feature_range", (-1.0, 1.0))
            return elementwise(self.graph, name, value, lambda: Clip(*ends))
        return value

    def _arithmetic(
        self,
        name: str,
        step: Any,
        part: tuple[str, str] | None,
        value: Value,
        *,
        inverse: bool = False,
    ) -> Value:
        """Apply one attribute of a scaler: a subtraction, sum, product or quotient."""
        if part is None:
            return value
        operation, attribute = part
        fitted(step, attribute, name)
        constant = self.constant(step, attribute, name)
        opposite = {"sub": "add", "add": "sub", "mul": "div", "div": "mul"}
        chosen: Any = opposite[operation] if inverse else operation
        return value.apply(name, chosen, constant)

    def constant(self, step: Any, attribute: str, name: str) -> Array:
        """Attribute of a step as float64."""
        return self.graph.constant(getattr(step, attribute), f"{attribute} of {name!r}")

    def picked(self, name: str, value: Value, columns: Sequence[int]) -> Value:
        """Return some columns, in the given order."""
        index = np.asarray(columns, dtype=np.int64)
        return value.view(name, lambda a: a[:, index])

    def beside(self, name: str, parts: Sequence[Value]) -> Value:
        """Columns of several results, one after the other; a view where they are of one node."""
        if not parts:
            msg = f"{name}: leaves no column; keep at least one"
            raise ReadError(msg)
        if any(p.lost for p in parts):
            return LOST
        first = parts[0]
        if any(p.base != first.base for p in parts):
            return joined(self.graph, name, list(parts), 1)
        index, scale, shift = (
            np.concatenate([getattr(p, key) for p in parts], axis=1)
            for key in ("index", "scale", "shift")
        )
        return replace(first, index=index, scale=scale, shift=shift, moves=None, reshaping=name)

    def columns(self, name: str, step: Any, value: Value) -> Value:
        """Return the result of a ColumnTransformer; columns that nothing takes are dropped."""
        fitted(step, "transformers_", name)
        places = step._transformer_to_input_indices
        weights = step.transformer_weights or {}
        parts = []
        for label, part, _ in step.transformers_:
            taken = list(places[label])
            if not taken or (isinstance(part, str) and part == "drop"):
                continue
            place = f"{name}.{label}"
            result = self.inner(place, part, self.picked(place, value, taken))
            parts.append(self._weighted(place, result, weights.get(label)))
        return self.beside(name, parts)

    def union(self, name: str, step: Any, value: Value) -> Value:
        """Return the result of a FeatureUnion."""
        weights = step.transformer_weights or {}
        parts = []
        for label, part in step.transformer_list:
            if not (isinstance(part, str) and part == "drop"):
                result = self.inner(f"{name}.{label}", part, value)
                parts.append(self._weighted(f"{name}.{label}", result, weights.get(label)))
        return self.beside(name, parts)

    def _weighted(self, name: str, value: Value, weight: float | None) -> Value:
        return value if weight is None else value.apply(name, "mul", np.asarray(float(weight)))

    def chained(self, name: str, step: Any, value: Value) -> Value:
        """Return the result of a Pipeline."""
        for label, part in step.steps:
            value = self.inner(f"{name}.{label}", part, value)
        return value

    def selected(self, name: str, step: Any, value: Value) -> Value:
        """Return the result of a feature selection."""
        return self.picked(name, value, step.get_support(indices=True))


def nothing(step: Any) -> bool:
    """Whether a step does nothing."""
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return True
    empty = is_instance(step, PREPROCESSING, "FunctionTransformer")
    return empty and step.func is None and step.inverse_func is None


Part = tuple[str, str] | None
#: Shift and scale of every scaler, in the order they are applied.
SCALERS: dict[tuple[str, str], Callable[[Any], tuple[Part, Part]]] = {
    (PREPROCESSING, "StandardScaler"): lambda s: (
        ("sub", "mean_") if s.with_mean else None,
        ("div", "scale_") if s.with_std else None,
    ),
    (PREPROCESSING, "MinMaxScaler"): lambda s: (("mul", "scale_"), ("add", "min_")),
    (PREPROCESSING, "MaxAbsScaler"): lambda s: (None, ("div", "scale_")),
    (PREPROCESSING, "RobustScaler"): lambda s: (
        ("sub", "center_") if s.with_centering else None,
        ("div", "scale_") if s.with_scaling else None,
    ),
}
FORWARD: dict[tuple[str, str], Callable[[Steps, str, Any, Value], Value]] = {
    **dict.fromkeys(SCALERS, Steps.scaled),
    ("sklearn.compose", "ColumnTransformer"): Steps.columns,
    ("sklearn.pipeline", "FeatureUnion"): Steps.union,
    ("sklearn.pipeline", "Pipeline"): Steps.chained,
    ("sklearn.feature_selection", "SelectorMixin"): Steps.selected,
}
