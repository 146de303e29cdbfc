"""scikit-learn steps besides scalers, and linear models: the same function as their own."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import entries, named_exactly
from sklearn import linear_model, svm
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import NMF, PCA, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectFromModel, SelectKBest, VarianceThreshold, f_regression
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from mipnet.errors import ReadError, UnsupportedError
from mipnet.network.readers import load

RNG = np.random.default_rng(8)
X = RNG.normal(size=(50, 4)) * [1.0, 10.0, 0.1, 2.0] + [0.0, 5.0, -1.0, 3.0]
Y = X @ [1.0, 0.1, 2.0, 0.0] + np.abs(X[:, 0])
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 5)


def fit(model, x=X, y=Y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x, y)


def mlp(kind=MLPRegressor, **options):
    return kind(**{"hidden_layer_sizes": (5,), "max_iter": 4, "random_state": 1, **options})


def same(model, x=X):
    """Whether the network predicts what the model does; the network."""
    net = load(model)
    np.testing.assert_allclose(
        net(x).reshape(len(x), -1), model.predict(x).reshape(len(x), -1), rtol=1e-9, atol=1e-9
    )
    return net


def gaps():
    """Data with missing values, and a column without any."""
    holed = X.copy()
    holed[::7, 1] = np.nan
    return np.hstack([holed, np.full((len(X), 1), np.nan)])


STEPS = {
    "pca": lambda: PCA(3),
    "white pca": lambda: PCA(2, whiten=True),
    "incremental": lambda: IncrementalPCA(2, whiten=True),
    "svd": lambda: TruncatedSVD(2),
    "ica": lambda: FastICA(2, random_state=0),
    "ica unwhitened": lambda: FastICA(whiten=False, random_state=0),
    "gaussian": lambda: GaussianRandomProjection(3, random_state=0),
    "sparse": lambda: SparseRandomProjection(3, random_state=0),
    "first degree": lambda: PolynomialFeatures(1),
    "no bias": lambda: PolynomialFeatures(1, include_bias=False),
    "one feature": lambda: make_pipeline(SelectKBest(f_regression, k=1),
                                         PolynomialFeatures(3, interaction_only=True)),
    "best": lambda: SelectKBest(f_regression, k=2),
    "variance": lambda: VarianceThreshold(0.5),
    "from a model": lambda: SelectFromModel(linear_model.Ridge()),
    "imputed": SimpleImputer,
    "indicated": lambda: SimpleImputer(add_indicator=True),
    "identity": FunctionTransformer,
    "clipped": lambda: MinMaxScaler((-1, 2), clip=True),
    "robust": RobustScaler,
    "union": lambda: make_union(PCA(2), StandardScaler(), PolynomialFeatures(1)),
    "columns": lambda: ColumnTransformer(
        [("a", make_pipeline(StandardScaler(), PCA(2)), [0, 2]), ("b", "drop", [1]),
         ("c", PolynomialFeatures(1), [3])], remainder="passthrough"),
    "unions of unions": lambda: FeatureUnion(
        [("u", make_union(TruncatedSVD(2), MaxAbsScaler())), ("d", "drop"),
         ("p", "passthrough")], transformer_weights={"u": 3.0}),
}  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(
    names=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=3),
    target=st.sampled_from([None, StandardScaler, MinMaxScaler]),
)
def test_steps_one_after_the_other(names, target):
    parts = [STEPS[name]() for name in names]
    model = make_pipeline(*parts, mlp())
    model = model if target is None else TransformedTargetRegressor(model, transformer=target())
    try:
        fit(model)
    except ValueError:
        # Too few columns are left for a step.
        return
    try:
        net = same(model)
    except UnsupportedError as error:
        # A whitening behind a union that repeats columns.
        if "rounding errors" not in str(error):
            raise
        return
    assert net.input_shape == (4,)
    np.testing.assert_allclose(net(3.0 * X), model.predict(3.0 * X).reshape(-1, 1), atol=1e-7)


@pytest.mark.parametrize("name", STEPS)
def test_every_step(name):
    same(fit(make_pipeline(STEPS[name](), mlp())))


@pytest.mark.parametrize("indicated", [False, True])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("strategy", ["mean", "most_frequent", "constant"])
@pytest.mark.filterwarnings("ignore:Skipping features")
def test_imputation_of_data_with_gaps(indicated, kept, strategy):
    imputer = SimpleImputer(strategy=strategy, keep_empty_features=kept, add_indicator=indicated)
    model = fit(make_pipeline(imputer, mlp()), gaps())
    same(model, np.hstack([X, X[:, :1]]))


REGRESSORS = [
    linear_model.LinearRegression(), linear_model.Ridge(fit_intercept=False),
    linear_model.Lasso(0.01), linear_model.ElasticNetCV(cv=3), linear_model.HuberRegressor(),
    linear_model.BayesianRidge(), linear_model.SGDRegressor(max_iter=5), linear_model.LassoLarsCV(),
    svm.LinearSVR(max_iter=50),
]  # fmt: skip


@pytest.mark.parametrize("model", REGRESSORS, ids=lambda m: type(m).__name__)
def test_linear_regressors(model):
    net = same(fit(make_pipeline(StandardScaler(), model)))
    assert [node.layer.kind for node in net.nodes] == ["Affine"]
    same(fit(TransformedTargetRegressor(model, transformer=RobustScaler())))


def test_linear_regressors_of_several_targets():
    targets = np.stack([Y, -2 * Y, Y**2], axis=1)
    for model in (linear_model.Ridge(), linear_model.LinearRegression(fit_intercept=False)):
        same(fit(model, y=targets))
    same(fit(linear_model.MultiTaskLasso(0.1), y=targets))


CLASSIFIERS = [
    linear_model.LogisticRegression(), linear_model.RidgeClassifier(),
    linear_model.SGDClassifier(max_iter=9, random_state=0),
    linear_model.Perceptron(random_state=0), svm.LinearSVC(), LinearDiscriminantAnalysis(),
]  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda m: type(m).__name__)
def test_linear_classifiers(model, classes):
    labels = np.array(["a", "b", "c"])[np.minimum(LABELS, classes - 1)]
    model = fit(make_pipeline(StandardScaler(), model), y=labels)
    outputs = load(model)(X)
    assert outputs.shape == (len(X), classes)
    np.testing.assert_array_equal(model.classes_[outputs.argmax(1)], model.predict(X))
    decided = outputs if classes > 2 else outputs[:, 1]
    np.testing.assert_allclose(decided, model.decision_function(X), rtol=1e-9, atol=1e-9)
    if hasattr(model, "predict_proba"):
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        expected = model.predict_proba(X)
        np.testing.assert_allclose(powers / powers.sum(1, keepdims=True), expected, atol=1e-9)


def test_steps_keep_the_precision_of_the_model():
    single = X.astype(np.float32)
    model = fit(make_pipeline(PCA(2, whiten=True), mlp()), single, Y.astype(np.float32))
    assert load(model).dtype == "float32"
    assert load(fit(make_pipeline(PCA(2), mlp()))).dtype == "float64"


REFUSED = {
    "no variance": (
        make_pipeline(make_union("passthrough", MaxAbsScaler()), PCA(whiten=True)),
        "rounding errors",
    ),
    "normalizer": (Normalizer(), "divides by the norm"),
    "binarizer": (Binarizer(), "jumps"),
    "quantiles": (QuantileTransformer(n_quantiles=5), "bends every feature"),
    "powers": (PowerTransformer(), "bends every feature"),
    "second degree": (PolynomialFeatures(2), "multiplies features by each other"),
    "interactions": (PolynomialFeatures(2, interaction_only=True), "multiplies features"),
    "function": (FunctionTransformer(np.abs), "calls a function"),
    "categories": (OneHotEncoder(handle_unknown="ignore", sparse_output=False), "categories"),
    "neighbours": (KNNImputer(), "computed ones"),
    "zeros": (SimpleImputer(missing_values=0.0), "replaces the value 0.0"),
    "nmf": (make_pipeline(MinMaxScaler(), NMF(2)), "solves a problem for every row"),
}


@settings(deadline=None, max_examples=30)
@given(
    planted=st.lists(st.sampled_from(sorted(REFUSED)), min_size=1, max_size=4, unique=True),
    model=st.sampled_from([mlp(), mlp(activation="relu"), linear_model.Ridge()]),
    nested=st.booleans(),
)
def test_every_refused_step_is_named_with_a_remedy(planted, model, nested):
    steps = [(f"{name}", REFUSED[name][0]) for name in planted]
    if nested:
        union = FeatureUnion([*steps, ("scaled", StandardScaler())])
        steps = [("columns", ColumnTransformer([("u", union, [0, 1, 3]), ("o", "drop", [2])]))]
    else:
        steps = [(name, FeatureUnion([("s", StandardScaler()), ("r", s)])) for name, s in steps]
        # Their union gives what no later step refuses while it is fitted.
        steps = [("all", make_union(*(union for _, union in steps)))]
    found = entries(fit(Pipeline([*steps, ("model", model)])))
    named_exactly(found, [REFUSED[name][1] for name in planted])


def test_what_is_no_network_is_named():
    named_exactly(entries(fit(KMeans(2, n_init=1))), ["KMeans: is no network"])
    named_exactly(entries(fit(linear_model.PoissonRegressor(), y=np.abs(Y))), ["exponential"])
    named_exactly(entries(fit(PCA(2))), ["PCA: holds 0 models"])
    target = TransformedTargetRegressor(mlp(), transformer=QuantileTransformer(n_quantiles=4))
    named_exactly(entries(fit(target)), ["as a target, only scalers"])
    with pytest.raises(ReadError, match="leaves no column"):
        load(_emptied())
    with pytest.raises(ReadError, match="not fitted"):
        load(linear_model.Ridge())
    with pytest.raises(ReadError, match="not fitted"):
        load(make_pipeline(PCA(2), mlp()))


def _emptied():
    """A union that lost its parts after it was fitted."""
    model = fit(make_pipeline(make_union(StandardScaler()), mlp()))
    model[0].transformer_list = [("gone", "drop")]
    return model


def test_multilabel_and_binary_perceptrons_behind_projections():
    for labels in (LABELS > 0, np.stack([LABELS > 0, X[:, 2] > -1], axis=1).astype(int)):
        model = fit(make_pipeline(StandardScaler(), PCA(3), mlp(MLPClassifier)), y=labels)
        outputs, predicted = load(model)(X), model.predict(X)
        wanted = outputs > 0 if predicted.ndim > 1 else outputs.argmax(1) > 0
        np.testing.assert_array_equal(wanted, predicted.astype(bool))
