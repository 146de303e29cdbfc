"""scikit-learn ``MLPRegressor`` and ``MLPClassifier``, alone or behind scalers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mipnet.errors import ReadError, UnsupportedError
from mipnet.network.network import Network
from mipnet.network.numbers import Array
from mipnet.network.readers.base import Reader, is_instance, register_reader
from mipnet.network.readers.combine import relu
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.products import dense
from mipnet.network.readers.values import Value, located

OUTPUTS = ("identity", "softmax", "logistic")


@register_reader("sklearn")
class SklearnReader(Reader):
    """Fitted multilayer perceptrons, pipelines with scalers, and scaled targets.

    ``StandardScaler``, ``MinMaxScaler`` and ``"passthrough"`` steps are folded into the first
    layer, those of a ``TransformedTargetRegressor`` into the last.

    The outputs of a classifier are its logits. A binary classifier has one logit ``z``; its
    network returns ``[0, z]``, so that ``softmax`` of the outputs is ``predict_proba`` and their
    ``argmax`` indexes ``classes_``, as for more classes. A multilabel classifier has one logit per
    label, positive where the label is predicted.
    """

    takes = "fitted scikit-learn MLPRegressor, MLPClassifier or a pipeline of scalers and one"

    def accepts(self, source: object) -> bool:
        """See :meth:`Reader.accepts`."""
        return is_instance(source, "sklearn.base", "BaseEstimator")

    def read(self, source: Any) -> Network:
        """Read a fitted estimator.

        Raises
        ------
        ReadError
            When it or one of its steps is not fitted.
        UnsupportedError
            When a step, an activation or a scaler option cannot be read.
        """
        origin = f"sklearn {type(source).__name__}"
        steps = list(_steps(source, type(source).__name__, origin))
        refused = [entry for name, step in steps for entry in _refusals(name, step)]
        models = [k for k, (_, step) in enumerate(steps) if _is_mlp(step)]
        if not refused and len(models) != 1:
            refused = [f"{origin}: holds {len(models)} multilayer perceptrons, expected one"]
        if refused:
            raise UnsupportedError(origin, refused)
        graph = Graph(origin)
        with located(origin):
            width = len(steps[models[0]][1].coefs_[0])
            value = graph.start((width,))
            for k, (name, step) in enumerate(steps):
                if k == models[0]:
                    value = _perceptron(graph, value, step)
                else:
                    value = _scale(graph, name, value, step, inverse=k > models[0])
            return graph.finish(value)


def _steps(estimator: Any, name: str, origin: str) -> Iterator[tuple[str, Any]]:
    """Fitted estimators in the order they act, scalers of the target last."""
    if is_instance(estimator, "sklearn.pipeline", "Pipeline"):
        for label, step in estimator.steps:
            yield from _steps(step, f"{name}.{label}", origin)
    elif is_instance(estimator, "sklearn.compose", "TransformedTargetRegressor"):
        _require(estimator, "regressor_", name, origin)
        yield from _steps(estimator.regressor_, f"{name}.regressor", origin)
        yield from _steps(estimator.transformer_, f"{name}.transformer", origin)
    elif estimator is not None and estimator != "passthrough":
        if _is_mlp(estimator):
            _require(estimator, "coefs_", name, origin)
        elif _is_standard(estimator) or _is_min_max(estimator):
            _require(estimator, "n_features_in_", name, origin)
        yield name, estimator


def _require(estimator: Any, attribute: str, name: str, origin: str) -> None:
    if not hasattr(estimator, attribute):
        msg = f"{origin}: {name} is not fitted; call fit first"
        raise ReadError(msg)


def _is_mlp(step: object) -> bool:
    module = "sklearn.neural_network"
    return is_instance(step, module, "MLPRegressor") or is_instance(step, module, "MLPClassifier")


def _is_standard(step: object) -> bool:
    return is_instance(step, "sklearn.preprocessing", "StandardScaler")


def _is_min_max(step: object) -> bool:
    return is_instance(step, "sklearn.preprocessing", "MinMaxScaler")


def _is_identity(step: Any) -> bool:
    """Whether a step is a FunctionTransformer without functions, as an untransformed target has."""
    return (
        is_instance(step, "sklearn.preprocessing", "FunctionTransformer")
        and step.func is None
        and step.inverse_func is None
    )


def _refusals(name: str, step: Any) -> Iterator[str]:
    label = f"{name!r} ({type(step).__name__})"
    if _is_mlp(step):
        if step.activation not in ("relu", "identity"):
            yield f"{label}: activation {step.activation!r} of the hidden layers is not supported"
        if step.out_activation_ not in OUTPUTS:
            yield f"{label}: output activation {step.out_activation_!r} is not supported"
    elif _is_min_max(step):
        if step.clip:
            yield f"{label}: clip=True is not supported; fit with clip=False"
    elif not (_is_standard(step) or _is_identity(step)):
        yield f"{label}: this kind of step is not supported"


def _perceptron(graph: Graph, value: Value, model: Any) -> Value:
    last = len(model.coefs_) - 1
    for k, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        value = dense(graph, f"affine{k}", value, np.transpose(weight), bias)
        if k < last and model.activation == "relu":
            value = relu(graph, f"relu{k}", value)
    if is_instance(model, "sklearn.neural_network", "MLPClassifier") and value.shape == (1, 1):
        pair = value.view("classes", lambda a: np.broadcast_to(a, (1, 2)))
        return pair.apply("classes", "mul", np.array([0.0, 1.0]))
    return value


def _scale(graph: Graph, name: str, value: Value, scaler: Any, *, inverse: bool) -> Value:
    """Apply a scaler, or its inverse to the outputs."""

    def constant(attribute: str) -> Array:
        return graph.constant(getattr(scaler, attribute), f"{attribute} of {name!r}")

    if _is_identity(scaler):
        return value
    if _is_min_max(scaler):
        if inverse:
            value = value.apply(name, "sub", constant("min_"))
            return value.apply(name, "div", constant("scale_"))
        return value.apply(name, "mul", constant("scale_")).apply(name, "add", constant("min_"))
    if inverse:
        if scaler.with_std:
            value = value.apply(name, "mul", constant("scale_"))
        return value.apply(name, "add", constant("mean_")) if scaler.with_mean else value
    if scaler.with_mean:
        value = value.apply(name, "sub", constant("mean_"))
    return value.apply(name, "div", constant("scale_")) if scaler.with_std else value
