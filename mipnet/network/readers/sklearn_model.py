"""scikit-learn ``MLPRegressor`` and ``MLPClassifier``, alone or in pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mipnet.errors import UnsupportedError
from mipnet.network.layers import Identity, Layer, ReLU, Sigmoid, Tanh
from mipnet.network.network import Network
from mipnet.network.readers.base import Reader, is_instance, register_reader
from mipnet.network.readers.combine import elementwise
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.products import dense
from mipnet.network.readers.sklearn_steps import Steps, fitted, nothing
from mipnet.network.readers.values import LOST, RefusalError, Value, located

#: Layers of the activations of hidden units.
HIDDEN: dict[str, type[Layer]] = {
    "identity": Identity,
    "logistic": Sigmoid,
    "relu": ReLU,
    "tanh": Tanh,
}
OUTPUTS = ("identity", "softmax", "logistic")


@register_reader("sklearn")
class SklearnReader(Reader):
    """Fitted multilayer perceptrons in pipelines, and scaled targets.

    ``StandardScaler``, ``MinMaxScaler``, ``MaxAbsScaler``, ``RobustScaler``, ``ColumnTransformer``
    and ``FeatureUnion`` of these, selections of features and ``"passthrough"`` are folded into the
    first layer, scalers of a ``TransformedTargetRegressor`` into the last.

    The outputs of a classifier are its logits. A binary classifier has one logit ``z``; its
    network returns ``[0, z]``, so that ``softmax`` of the outputs is ``predict_proba`` and their
    ``argmax`` indexes ``classes_``, as for more classes. A multilabel classifier has one logit per
    label, positive where the label is predicted.
    """

    takes = "fitted scikit-learn MLPRegressor, MLPClassifier or a pipeline that ends in one"

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
            When a step, an activation or an option cannot be read; all of them are listed.
        """
        origin = f"sklearn {type(source).__name__}"
        graph, refused = Graph(origin), list[str]()
        steps = Steps(graph)
        with located(origin):
            order = list(_steps(source, type(source).__name__))
            models = [step for _, step, _ in order if _is_mlp(step)]
            known = all(_is_mlp(step) or nothing(step) for _, step, _ in order)
            if len(models) != 1 and (known or not models):
                refused.append(f"{origin}: holds {len(models)} multilayer perceptrons, not one")
            value = graph.start((_width(order),))
            for name, step, inverse in order:
                try:
                    if _is_mlp(step):
                        value = _perceptron(graph, value, step)
                    elif inverse:
                        value = steps.invert(name, step, value)
                    else:
                        value = steps.apply(name, step, value)
                except RefusalError as error:
                    refused.append(f"{name!r}: {error}")
                    value = LOST
            if refused:
                raise UnsupportedError(origin, refused)
            return graph.finish(value)


def _steps(estimator: Any, name: str) -> Iterator[tuple[str, Any, bool]]:
    """Fitted estimators in the order they act, and whether their inverse does."""
    if is_instance(estimator, "sklearn.pipeline", "Pipeline"):
        for label, step in estimator.steps:
            yield from _steps(step, f"{name}.{label}")
    elif is_instance(estimator, "sklearn.compose", "TransformedTargetRegressor"):
        fitted(estimator, "regressor_", name)
        yield from _steps(estimator.regressor_, f"{name}.regressor")
        yield f"{name}.transformer", estimator.transformer_, True
    elif estimator is not None:
        if _is_mlp(estimator):
            fitted(estimator, "coefs_", name)
        yield name, estimator, False


def _is_mlp(step: object) -> bool:
    module = "sklearn.neural_network"
    return is_instance(step, module, "MLPRegressor") or is_instance(step, module, "MLPClassifier")


def _width(order: list[tuple[str, Any, bool]]) -> int:
    """Return the number of features that go in: what the first step was fitted on."""
    for _, step, _ in order:
        found = len(step.coefs_[0]) if _is_mlp(step) else getattr(step, "n_features_in_", None)
        if found is not None:
            return int(found)
    return 1


def _perceptron(graph: Graph, value: Value, model: Any) -> Value:
    if model.activation not in HIDDEN:
        reason = f"activation {model.activation!r} of the hidden layers is not supported"
        raise RefusalError(reason)
    if model.out_activation_ not in OUTPUTS:
        reason = f"output activation {model.out_activation_!r} is not supported"
        raise RefusalError(reason)
    last = len(model.coefs_) - 1
    for k, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        value = dense(graph, f"affine{k}", value, np.transpose(weight), bias)
        if k < last and model.activation != "identity":
            layer = HIDDEN[model.activation]
            value = elementwise(graph, f"{layer.kind.lower()}{k}", value, layer)
    if is_instance(model, "sklearn.neural_network", "MLPClassifier") and value.shape == (1, 1):
        pair = value.view("classes", lambda a: np.broadcast_to(a, (1, 2)))
        return pair.apply("classes", "mul", np.array([0.0, 1.0]))
    return value
