"""Fitted scikit-learn estimators: models alone, in pipelines, or with transformed targets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from mipnet.network.network import Network
from mipnet.network.readers.base import Reader, is_instance, register_reader
from mipnet.network.readers.complaints import Complaints
from mipnet.network.readers.graph import Graph
from mipnet.network.readers.sklearn_models import check, inputs_of, is_model, predicted
from mipnet.network.readers.sklearn_refusals import fitted
from mipnet.network.readers.sklearn_steps import Steps, nothing
from mipnet.network.readers.values import LOST, located


@register_reader("sklearn")
class SklearnReader(Reader):
    """Fitted multilayer perceptrons and linear models in pipelines, and scaled targets.

    Scalers, ``ColumnTransformer`` and ``FeatureUnion``, selections of features, projections such as
    ``PCA``, ``PolynomialFeatures`` of degree one and ``SimpleImputer`` are folded into the first
    layer where they are no layer of their own, scalers of a ``TransformedTargetRegressor`` into the
    last.

    The outputs of a classifier are its logits, or its decision values. A binary classifier has one
    logit ``z``; its network returns ``[0, z]``, so that ``softmax`` of the outputs is
    ``predict_proba`` (where there is one) and their ``argmax`` indexes ``classes_``, as for more
    classes. A multilabel classifier has one logit per label, positive where the label is predicted.
    """

    takes = "fitted scikit-learn MLP or linear model, or a pipeline that ends in one"

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
        NetworkError
            When shapes do not fit or a parameter is NaN or infinite.
        """
        origin = f"sklearn {type(source).__name__}"
        complaints = Complaints()
        graph = Graph(origin, complaints.fault)
        steps = Steps(graph, complaints)
        with located(origin):
            order = list(_steps(source, type(source).__name__))
            models = [step for _, step, _ in order if is_model(step)]
            known = all(is_model(step) or nothing(step) for _, step, _ in order)
            if len(models) != 1 and (known or not any(_predicts(s) for _, s, _ in order)):
                reason = f"holds {len(models)} models that are read, not one; end it in an "
                reason += "MLPRegressor, MLPClassifier or linear model"
                complaints.refuse(type(source).__name__, reason)
            value = graph.start((_width(order),))
            for name, step, inverse in order:
                if is_model(step):
                    act = partial(predicted, graph, name, step, value)
                else:
                    act = partial(steps.invert if inverse else steps.apply, name, step, value)
                value = complaints.attempt(repr(name), act, lambda: LOST)
            complaints.tell(origin)
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
        check(estimator, name)
        yield name, estimator, False


def _predicts(step: object) -> bool:
    """Whether a step is a model, of whatever kind."""
    return hasattr(step, "predict")


def _width(order: list[tuple[str, Any, bool]]) -> int:
    """Return the number of features that go in: what the first step was fitted on."""
    for _, step, _ in order:
        found = inputs_of(step) if is_model(step) else getattr(step, "n_features_in_", None)
        if found is not None:
            return int(found)
    return 1
