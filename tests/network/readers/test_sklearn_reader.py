"""scikit-learn estimators: the same function as ``predict`` and ``predict_proba``."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import KernelPCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_selection import VarianceThreshold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from mipnet.errors import NetworkError, ReadError, UnsupportedError
from mipnet.network import Affine
from mipnet.network.readers import load

RNG = np.random.default_rng(5)
X = RNG.normal(size=(40, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, -1.0]
Y = np.stack([X @ [1.0, 0.1, 2.0], np.abs(X[:, 0])], axis=1) * 20.0 + 100.0
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 5)


def fit(model, x=X, y=Y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x, y)


def mlp(kind=MLPRegressor, **options):
    return kind(**{"hidden_layer_sizes": (6, 4), "max_iter": 4, "random_state": 1, **options})


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


SCALERS = st.sampled_from(
    [
        "passthrough",
        None,
        StandardScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        StandardScaler(with_mean=False, with_std=False),
        MinMaxScaler(),
        MinMaxScaler(feature_range=(-3, 1)),
        make_pipeline(MinMaxScaler(), StandardScaler()),
    ]
)


@settings(deadline=None, max_examples=25)
@given(
    scalers=st.lists(SCALERS, max_size=2),
    target=st.sampled_from([False, None, StandardScaler(), MinMaxScaler((-1, 2))]),
    hidden=st.sampled_from([(), (5,), (6, 4)]),
    activation=st.sampled_from(["relu", "identity"]),
    outputs=st.integers(1, 2),
)
def test_regressors_predict_the_same(scalers, target, hidden, activation, outputs):
    model = mlp(hidden_layer_sizes=hidden, activation=activation, solver="lbfgs")
    model = Pipeline([(f"s{k}", s) for k, s in enumerate(scalers)] + [("mlp", model)])
    if target is not False:
        model = TransformedTargetRegressor(model, transformer=target)
    y = Y[:, 0] if outputs == 1 else Y
    fit(model, X, y)
    net = load(model)
    expected = model.predict(X).reshape(len(X), -1)
    np.testing.assert_allclose(net(X), expected, rtol=1e-9, atol=1e-9)
    # Scalers cost no layer of their own.
    assert sum(isinstance(node.layer, Affine) for node in net.nodes) == len(hidden) + 1
    assert net.dtype == "float64"


@pytest.mark.parametrize("scaled", [False, True])
def test_multiclass_outputs_are_logits(scaled):
    model = mlp(MLPClassifier)
    model = fit(make_pipeline(StandardScaler(), model) if scaled else model, y=LABELS)
    outputs = load(model)(X)
    np.testing.assert_allclose(softmax(outputs), model.predict_proba(X), atol=1e-12)
    np.testing.assert_array_equal(model.classes_[outputs.argmax(1)], model.predict(X))


def test_binary_classifiers_have_two_outputs():
    model = fit(mlp(MLPClassifier), y=np.where(LABELS > 0, "yes", "no"))
    net = load(model)
    outputs = net(X)
    assert outputs.shape == (40, 2)
    np.testing.assert_array_equal(outputs[:, 0], 0.0)
    np.testing.assert_allclose(softmax(outputs), model.predict_proba(X), atol=1e-12)
    np.testing.assert_array_equal(model.classes_[outputs.argmax(1)], model.predict(X))
    # The constant output is exact zeros, not a product of rounding.
    assert not net.nodes[-1].layer.weight[0].any()
    assert not np.signbit(net.nodes[-1].layer.weight[0]).any()


def test_multilabel_outputs_are_logits():
    labels = np.stack([LABELS > 0, LABELS > 1, X[:, 2] > -1], axis=1).astype(int)
    model = fit(mlp(MLPClassifier), y=labels)
    outputs = load(model)(X)
    np.testing.assert_allclose(1 / (1 + np.exp(-outputs)), model.predict_proba(X), atol=1e-12)
    np.testing.assert_array_equal(outputs > 0, model.predict(X))


def test_precision_is_the_one_of_the_parameters():
    single = fit(mlp(), X.astype(np.float32), Y.astype(np.float32))
    assert single.coefs_[0].dtype == np.float32
    assert load(single).dtype == "float32"
    assert load(fit(mlp())).dtype == "float64"


def test_nothing_is_changed():
    model = fit(make_pipeline(StandardScaler(), mlp()))
    before = [w.copy() for w in model[-1].coefs_]
    net = load(model)
    for old, new in zip(before, model[-1].coefs_, strict=True):
        np.testing.assert_array_equal(old, new)
    model[-1].coefs_[0][:] = 0.0
    assert net.nodes[0].layer.weight.any()


@pytest.mark.parametrize(
    "model",
    [
        MLPRegressor(),
        MLPClassifier(),
        make_pipeline(StandardScaler(), MLPRegressor()),
        TransformedTargetRegressor(MLPRegressor()),
    ],
)
def test_unfitted_models_are_refused(model):
    with pytest.raises(ReadError, match="not fitted"):
        load(model)


def test_all_unsupported_steps_are_listed():
    steps = (KernelPCA(2), QuantileTransformer(n_quantiles=5), StandardScaler(), mlp())
    model = fit(make_pipeline(*steps))
    model[-1].activation = "elu"
    with pytest.raises(UnsupportedError) as caught:
        load(model)
    listing = "\n".join(caught.value.operations)
    assert len(caught.value.operations) == 3
    for word in ("KernelPCA", "QuantileTransformer", "'elu'"):
        assert word in listing
    columns = ColumnTransformer([("a", OneHotEncoder(), [0]), ("b", KBinsDiscretizer(3), [1])])
    model = fit(make_pipeline(columns, mlp()), np.round(X), Y)
    with pytest.raises(UnsupportedError, match=r"(?s)columntransformer.a': OneHot.*b': KBins"):
        load(model)


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_smooth_activations(activation):
    model = fit(make_pipeline(StandardScaler(), mlp(activation=activation)))
    net = load(model)
    np.testing.assert_allclose(net(X), model.predict(X), rtol=1e-9, atol=1e-9)
    assert [n.layer.kind for n in net.nodes][1] == {"tanh": "Tanh", "logistic": "Sigmoid"}[
        activation
    ]


SELECTED = st.sampled_from(
    [
        "passthrough",
        "drop",
        StandardScaler(),
        MinMaxScaler(),
        MaxAbsScaler(),
        RobustScaler(),
        RobustScaler(with_centering=False, quantile_range=(10, 90)),
        make_pipeline(RobustScaler(with_scaling=False), MaxAbsScaler()),
    ]
)
COLUMNS = st.sampled_from([[0], [2, 0], slice(1, 3), [True, False, True], make_column_selector()])


@settings(deadline=None, max_examples=30)
@given(
    parts=st.lists(st.tuples(SELECTED, COLUMNS), min_size=1, max_size=3),
    remainder=st.sampled_from(["drop", "passthrough", StandardScaler()]),
    weighted=st.booleans(),
    before=st.sampled_from([None, RobustScaler(), VarianceThreshold(1e-9)]),
)
def test_columns_are_selected_and_scaled(parts, remainder, weighted, before):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    named = [(f"t{k}", step, columns) for k, (step, columns) in enumerate(parts)]
    weights = {"t0": 2.5} if weighted else None
    if before is not None:
        # Behind a step without names, there are numbers only.
        frame = X
        named = [(n, s, [0, 1] if callable(c) else c) for n, s, c in named]
    columns = ColumnTransformer(named, remainder=remainder, transformer_weights=weights)
    dropped = all(isinstance(s, str) and s == "drop" for _, s, _ in named)
    # Nothing may be left for the model.
    assume(not (dropped and (isinstance(remainder, str) or len(parts) > 1)))
    assume(not dropped or not callable(parts[0][1]))
    model = fit(Pipeline([("b", before), ("c", columns), ("mlp", mlp(solver="lbfgs"))]), frame)
    net = load(model)
    assert net.input_shape == (3,)
    np.testing.assert_allclose(net(X), model.predict(frame), rtol=1e-9, atol=1e-9)
    assert sum(isinstance(node.layer, Affine) for node in net.nodes) == 3


def test_columns_by_name_unions_and_clipping():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    columns = ColumnTransformer([("one", StandardScaler(), ["c", "a"])], remainder="passthrough")
    model = fit(make_pipeline(columns, mlp()), frame)
    np.testing.assert_allclose(load(model)(X), model.predict(frame), rtol=1e-9, atol=1e-9)
    union = FeatureUnion([("s", StandardScaler()), ("m", MinMaxScaler(clip=True))])
    model = fit(make_pipeline(union, mlp()), X[:20], Y[:20])
    net = load(model)
    np.testing.assert_allclose(net(X), model.predict(X), rtol=1e-9, atol=1e-9)
    assert "Clip" in [node.layer.kind for node in net.nodes]


@pytest.mark.parametrize(
    "target", [MaxAbsScaler(), RobustScaler(), make_pipeline(RobustScaler(), MinMaxScaler())]
)
def test_targets_are_scaled_back(target):
    model = fit(TransformedTargetRegressor(mlp(), transformer=target))
    np.testing.assert_allclose(load(model)(X), model.predict(X), rtol=1e-9, atol=1e-9)


def test_other_estimators_and_targets_are_refused():
    with pytest.raises(UnsupportedError, match="RandomForestRegressor"):
        load(fit(RandomForestRegressor(2)))
    with pytest.raises(UnsupportedError, match="StandardScaler: holds 0 models"):
        load(fit(StandardScaler()))
    model = TransformedTargetRegressor(mlp(), func=np.log, inverse_func=np.exp)
    with pytest.raises(UnsupportedError, match=r"transformer.*FunctionTransformer"):
        load(fit(model))


def test_other_output_activations_are_refused():
    model = fit(mlp())
    model.out_activation_ = "exp"
    with pytest.raises(UnsupportedError, match="output activation 'exp'"):
        load(model)


def test_broken_parameters_are_refused():
    model = fit(mlp())
    model.coefs_[1][2, 1] = np.nan
    with pytest.raises(NetworkError, match=r"MLPRegressor: weight of 'affine1'.*NaN"):
        load(model)
    model = fit(mlp())
    model.coefs_[1] = np.ones((7, 4))
    with pytest.raises(NetworkError, match=r"'affine1'.*'affine0'"):
        load(model)
    pipe = fit(make_pipeline(StandardScaler(), mlp()))
    pipe[0].scale_[0] = 0.0
    with pytest.raises(NetworkError, match=r"standardscaler.*divides by zero"):
        load(pipe)
