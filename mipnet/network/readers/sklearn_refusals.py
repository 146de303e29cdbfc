"""What scikit-learn steps must have to be read, and what to do about those that are not read."""

from __future__ import annotations

from typing import Any

from mipnet.errors import ReadError

JUMPS = "jumps, which no layer does; leave it out, or transform the data first and train on that"
CURVED = "bends every feature by a curve; use StandardScaler, RobustScaler or MinMaxScaler"
CATEGORIES = (
    "takes categories, not numbers; encode the data first, and make the encoded columns the inputs"
)
NO_NETWORK = (
    "is no network; train an MLPRegressor, MLPClassifier or a linear model, on its predictions if "
    "need be"
)
PRODUCTS = "multiplies features by each other; use PCA, or the features themselves"
#: What to do when nothing more is known of a step.
OTHERS = (
    "this kind of step is not supported; use scalers, selections of columns, PCA and others that "
    "docs/formats.md lists"
)

#: By the name of a class.
REMEDIES: dict[str, str] = {}
for _remedy, _names in {
    JUMPS: "Binarizer KBinsDiscretizer LabelBinarizer MissingIndicator",
    CURVED: "QuantileTransformer PowerTransformer SplineTransformer",
    CATEGORIES: (
        "OneHotEncoder OrdinalEncoder TargetEncoder LabelEncoder MultiLabelBinarizer "
        "DictVectorizer FeatureHasher CountVectorizer TfidfVectorizer"
    ),
    "divides by the norm of the row; divide by constants, as MaxAbsScaler does": "Normalizer",
    "replaces missing values by computed ones; fill the data first": "KNNImputer IterativeImputer",
    "measures distances or kernels; use PCA or TruncatedSVD": (
        "KernelPCA Nystroem RBFSampler KernelCenterer AdditiveChi2Sampler Isomap "
        "LocallyLinearEmbedding PolynomialCountSketch SkewedChi2Sampler"
    ),
    "solves a problem for every row; use PCA or TruncatedSVD": (
        "NMF MiniBatchNMF DictionaryLearning SparsePCA MiniBatchSparsePCA SparseCoder "
        "LatentDirichletAllocation FactorAnalysis"
    ),
    "applies an exponential to the output; load the linear part by coef_ and intercept_": (
        "PoissonRegressor GammaRegressor TweedieRegressor"
    ),
    "calls a function that is not known; use scalers and selections of columns": (
        "FunctionTransformer"
    ),
}.items():
    REMEDIES |= dict.fromkeys(_names.split(), _remedy)


def refusal(step: Any) -> str:
    """Why a step cannot be read, and what to do about it."""
    kind = type(step).__name__ if not isinstance(step, str) else step
    guess = NO_NETWORK if hasattr(step, "predict") else OTHERS
    return f"{kind}: {REMEDIES.get(kind, guess)}"


def fitted(step: Any, attribute: str, name: str) -> None:
    """Refuse a step that was never fitted.

    Raises
    ------
    ReadError
        When it lacks the attribute.
    """
    if not hasattr(step, attribute):
        msg = f"{name} is not fitted; call fit first"
        raise ReadError(msg)
