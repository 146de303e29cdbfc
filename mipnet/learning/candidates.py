"""Networks to choose from: estimators to fit, and networks as estimators to score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mipnet.errors import QueryError
from mipnet.network import Network

Array = npt.NDArray[np.float64]

#: Widths of hidden layers that are tried when nobody says which.
WIDTHS = ((8,), (16,), (32,), (8, 8), (16, 16), (32, 32))
#: Data up to which the quasi-Newton method is used for fitting.
_FEW = 2000


def estimators(candidates: Any, *, classify: bool, count: int, seed: int) -> dict[str, Any]:
    """Unfitted estimators by name.

    Parameters
    ----------
    candidates : None, sequence or mapping of str to it
        Widths of hidden layers (an int or a tuple), or unfitted scikit-learn estimators.
    classify : bool
    count : int
        Number of data.
    seed : int
        Given to every random part without one.

    Raises
    ------
    QueryError
        When there is none, a name occurs twice, or one is neither widths nor an estimator.
    """
    chosen = WIDTHS if candidates is None else candidates
    if not isinstance(chosen, Mapping | Sequence) or isinstance(chosen, str):
        msg = "candidates are a list or a mapping of widths, or of unfitted estimators"
        raise QueryError(msg)
    pairs = list(chosen.items()) if isinstance(chosen, Mapping) else [("", c) for c in chosen]
    found: dict[str, Any] = {}
    for given, candidate in pairs:
        widths = _widths(candidate)
        if widths is not None:
            name = given or "x".join(map(str, widths))
            made = _perceptron(widths, classify=classify, count=count)
        elif hasattr(candidate, "fit") and hasattr(candidate, "get_params"):
            from sklearn.base import clone

            name, made = given or type(candidate).__name__, clone(candidate)
            _check_kind(name, made, classify=classify)
        else:
            msg = "a candidate is widths of hidden layers, such as (16, 16), or an estimator, not "
            raise QueryError(f"{msg}{candidate!r}")
        if name in found:
            msg = f"two candidates are called {name!r}; give them names: a mapping"
            raise QueryError(msg)
        found[str(name)] = _seeded(made, seed)
    if not found:
        msg = "there are no candidates"
        raise QueryError(msg)
    return found


def _widths(candidate: Any) -> tuple[int, ...] | None:
    """Widths of hidden layers; None where a candidate is something else."""
    listed = candidate if isinstance(candidate, tuple | list) else (candidate,)
    whole = all(isinstance(w, int | np.integer) and not isinstance(w, bool) for w in listed)
    return tuple(int(w) for w in listed) if listed and whole and min(listed) > 0 else None


def _perceptron(widths: tuple[int, ...], *, classify: bool, count: int) -> Any:
    """Multilayer perceptron between scalers of its inputs and targets."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    options = {
        "hidden_layer_sizes": widths,
        "solver": "lbfgs" if count <= _FEW else "adam",
        "alpha": 1e-3,
        "max_iter": 1000,
    }
    if classify:
        return make_pipeline(StandardScaler(), MLPClassifier(**options))
    inner = make_pipeline(StandardScaler(), MLPRegressor(**options))
    return TransformedTargetRegressor(inner, transformer=StandardScaler())


def _check_kind(name: str, estimator: Any, *, classify: bool) -> None:
    from sklearn.base import is_classifier

    if is_classifier(estimator) != classify:
        wanted, found = ("classifiers", "none") if classify else ("regressors", "one")
        msg = f"candidate {name!r}: the task asks for {wanted}, and it is {found}; pass task="
        raise QueryError(f"{msg}{'regression' if classify else 'classification'!r}")


def _seeded(estimator: Any, seed: int) -> Any:
    """Give a seed to every random part that has none."""
    free = {
        key: seed
        for key, value in estimator.get_params(deep=True).items()
        if key.rpartition("__")[2] == "random_state" and value is None
    }
    return estimator.set_params(**free)


def predictor(network: Network, classes: Any) -> Any:
    """Return the network as a fitted scikit-learn estimator, for scorers.

    Parameters
    ----------
    network : Network
        Of logits where it classifies.
    classes : array or None
        Labels of its outputs; None where it is a regression.
    """
    from scipy.special import softmax
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Regression(RegressorMixin, BaseEstimator):  # type: ignore[misc]
        """Values of the outputs."""

        fitted_ = True

        def predict(self, X: Any) -> Array:
            """Return the outputs; flat where there is one."""
            found = _outputs(network, X)
            return found[:, 0] if found.shape[1] == 1 else found

    class Classification(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        """Labels of the largest outputs."""

        classes_ = classes

        def predict(self, X: Any) -> Any:
            """Labels."""
            return np.asarray(classes)[_outputs(network, X).argmax(axis=1)]

        def predict_proba(self, X: Any) -> Array:
            """Probabilities of the classes."""
            return np.asarray(softmax(_outputs(network, X), axis=1))

    return Regression() if classes is None else Classification()


def _outputs(network: Network, X: Any) -> Array:
    points = np.asarray(X, dtype=np.float64)
    return np.asarray(network(points)).reshape(len(points), -1)
