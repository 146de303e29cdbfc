"""scikit-learn models that end a pipeline: multilayer perceptrons and linear models."""

from __future__ import annotations

from typing import Any

import numpy as np

from mipnet.network.layers import Identity, Layer, ReLU, Sigmoid, Tanh
from mipnet.network.readers.base import is_instance
from mipnet.network.readers.combine import elementwise
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.products import dense
from mipnet.network.readers.sklearn_refusals import fitted
from mipnet.network.readers.values import RefusalError, Value

#: Layers of the activations of hidden units.
HIDDEN: dict[str, type[Layer]] = {
    "identity": Identity,
    "logistic": Sigmoid,
    "relu": ReLU,
    "tanh": Tanh,
}
OUTPUTS = ("identity", "softmax", "logistic")
#: Regressors whose prediction is ``x @ coef_.T + intercept_``.
REGRESSORS = (
    *("ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars"),
    *("LarsCV", "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC"),
    *("LinearRegression", "MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso"),
    *("MultiTaskLassoCV", "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV"),
    *("PassiveAggressiveRegressor", "QuantileRegressor", "Ridge", "RidgeCV", "SGDRegressor"),
    "TheilSenRegressor",
)
#: Classifiers whose decision function is that.
CLASSIFIERS = (
    *("LogisticRegression", "LogisticRegressionCV", "PassiveAggressiveClassifier", "Perceptron"),
    *("RidgeClassifier", "RidgeClassifierCV", "SGDClassifier"),
)
LINEAR = [
    *(("sklearn.linear_model", kind) for kind in (*REGRESSORS, *CLASSIFIERS)),
    ("sklearn.svm", "LinearSVR"),
    ("sklearn.svm", "LinearSVC"),
    ("sklearn.discriminant_analysis", "LinearDiscriminantAnalysis"),
]
PERCEPTRONS = [("sklearn.neural_network", f"MLP{kind}") for kind in ("Regressor", "Classifier")]


def is_model(step: object) -> bool:
    """Whether a step predicts, and is read."""
    return any(is_instance(step, *place) for place in (*PERCEPTRONS, *LINEAR))


def check(step: Any, name: str) -> None:
    """Refuse a model that was never fitted.

    Raises
    ------
    ReadError
        When it has no coefficients.
    """
    if is_model(step):
        linear = any(is_instance(step, *place) for place in LINEAR)
        fitted(step, "coef_" if linear else "coefs_", name)


def inputs_of(model: Any) -> int:
    """Return the number of features a fitted model takes."""
    if hasattr(model, "coefs_"):
        return len(model.coefs_[0])
    return int(np.shape(model.coef_)[-1])


def predicted(graph: Graph, name: str, model: Any, value: Value) -> Value:
    """Predictions of a regressor, logits or decision values of a classifier.

    Raises
    ------
    RefusalError
        When an activation is not read.
    """
    if any(is_instance(model, *place) for place in PERCEPTRONS):
        value = _perceptron(graph, value, model)
    else:
        coefficients = np.asarray(model.coef_)
        weight = np.atleast_2d(coefficients)
        bias = np.broadcast_to(np.ravel(model.intercept_), (len(weight),))
        value = dense(graph, name, value, weight, bias)
    if hasattr(model, "classes_") and value.shape == (1, 1):
        # The first class has a logit of zero.
        pair = value.view("classes", lambda a: np.broadcast_to(a, (1, 2)))
        return pair.apply("classes", "mul", np.array([0.0, 1.0]))
    return value


def _perceptron(graph: Graph, value: Value, model: Any) -> Value:
    if model.activation not in HIDDEN:
        reason = f"activation {model.activation!r} of the hidden layers is not supported; use "
        raise RefusalError(reason + ", ".join(HIDDEN))
    if model.out_activation_ not in OUTPUTS:
        reason = f"output activation {model.out_activation_!r} is not supported; use "
        raise RefusalError(reason + ", ".join(OUTPUTS))
    last = len(model.coefs_) - 1
    for k, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        value = dense(graph, f"affine{k}", value, np.transpose(weight), bias)
        if k < last and model.activation != "identity":
            layer = HIDDEN[model.activation]
            value = elementwise(graph, f"{layer.kind.lower()}{k}", value, layer)
    return value
