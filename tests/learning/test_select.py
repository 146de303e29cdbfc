import warnings

import numpy as np
import pandas as pd
import pyomo.environ as pyo
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import mipnet
from mipnet import select_network, solve
from mipnet.errors import QueryError, RegionError
from mipnet.learning.candidates import estimators, predictor
from mipnet.network.readers import load

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, size=(90, 2)) * [1.0, 100.0]
Y = np.abs(X[:, 0]) + X[:, 1] / 100 + 0.01 * RNG.normal(size=90)
LABELS = np.where(Y > 0.6, "high", np.where(Y < 0.0, "low", "middle"))


@pytest.fixture(scope="module")
def regression():
    return select_network(X, Y, [(2,), (6,), (6, 6)], keep=(0.5,), cv=3)


def test_scores_are_those_of_networks_fitted_on_the_other_folds(regression):
    named = estimators([(2,), (6,), (6, 6)], classify=False, count=90, seed=0)
    splits = list(KFold(3, shuffle=True, random_state=0).split(X))
    assert [t.name for t in regression.trials[::2]] == list(named) == ["2", "6", "6x6"]
    for trial, estimator in zip(regression.trials[::2], named.values(), strict=True):
        expected = [
            r2_score(Y[test], clone(estimator).fit(X[train], Y[train]).predict(X[test]))
            for train, test in splits
        ]
        assert trial.scores == pytest.approx(expected, abs=1e-6)
        assert trial.mean == pytest.approx(np.mean(expected))
        assert trial.standard_error == pytest.approx(np.std(expected, ddof=1) / np.sqrt(3))


def test_nothing_is_fitted_on_what_it_is_scored_on():
    seen = []

    class Spy(MLPRegressor):
        def fit(self, inputs, targets):
            seen.append(set(np.round(inputs[:, 0], 12)))
            return super().fit(inputs, targets)

    Spy.__module__ = MLPRegressor.__module__
    Spy.__name__ = MLPRegressor.__name__
    held = []

    def spy(estimator, inputs, targets):
        held.append(set(np.round(inputs[:, 0], 12)))
        assert set(np.round(targets, 12)) == {y for x, y in pairs if x in held[-1]}
        return -len(held)

    pairs = list(zip(np.round(X[:, 0], 12), np.round(Y, 12), strict=True))
    spied = Spy(hidden_layer_sizes=(3,), solver="lbfgs", max_iter=20)
    found = select_network(X, Y, {"spy": spied}, keep=(0.5,), cv=4, scoring=spy)
    assert len(held) == 8
    assert len(seen) == 5
    for fold, used in enumerate(seen[:4]):
        assert held[2 * fold] == held[2 * fold + 1]
        assert not used & held[2 * fold]
        assert used | held[2 * fold] == seen[4] == set(np.round(X[:, 0], 12))
    assert found.scoring == "spy"
    assert found.trials[0].scores == (-1.0, -3.0, -5.0, -7.0)


def test_sizes_are_those_of_the_embedded_network(regression):
    low, high = X.min(axis=0), X.max(axis=0)
    for trial in regression.trials:
        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(2))
        nn = mipnet.add_network(m, trial.network, m.x, lower=low, upper=high)
        report = nn.report()
        assert (report.binaries, report.unstable) == (trial.binaries, trial.unstable)
        assert (report.columns, report.rows) == (trial.columns, trial.rows)
        assert report.nonzeros == trial.nonzeros
        assert report.parameters - report.zeros == trial.parameters
    narrow = select_network(X, Y, [(6,)], cv=2, lower=[0.4, 50.0], upper=[0.5, 51.0])
    assert narrow.chosen.binaries < next(t for t in regression.trials if t.name == "6").binaries


def test_the_chosen_network_is_fitted_on_all_data_and_ready(regression):
    chosen = regression.chosen
    assert regression.network is chosen.network
    first = regression.trials[0]
    assert first.network(X)[:, 0] == pytest.approx(first.estimator.predict(X), abs=1e-8)
    assert first.estimator.n_features_in_ == 2
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(0, 1))
    mipnet.add_network(m, regression.network, m.x)
    assert solve(m).replay_error < 1e-6


def test_rules(regression):
    trials = regression.trials
    best = max(trials, key=lambda t: t.mean)
    assert regression.least == best.mean - best.standard_error
    enough = [t for t in trials if t.mean >= regression.least]
    assert regression.chosen is min(enough, key=lambda t: (t.binaries, t.nonzeros))
    options = {"candidates": [(2,), (6,), (6, 6)], "keep": (0.5,), "cv": 3}
    assert select_network(X, Y, rule="best", **options).chosen == best
    budget = sorted(t.binaries for t in trials)[1]
    small = select_network(X, Y, rule="best", max_binaries=budget, **options).chosen
    assert small == max((t for t in trials if t.binaries <= budget), key=lambda t: t.mean)
    with pytest.raises(QueryError, match="no candidate has 0 binaries or fewer; the smallest, 2"):
        select_network(X, Y, max_binaries=0, **options)


def test_one_standard_error_takes_the_smaller_one():
    def noisy(estimator, inputs, targets):
        del targets
        return float(inputs[0, 0]) + 0.01 * len(estimator.predict(inputs))

    found = select_network(X, Y, [(6,), (2,)], cv=3, scoring=noisy)
    assert found.chosen.name == "2"
    assert found.trials[0].scores == found.trials[1].scores


def test_equal_arguments_give_equal_results(regression):
    again = select_network(X, Y, [(2,), (6,), (6, 6)], keep=(0.5,), cv=3)
    assert again == regression
    assert [t.network.fingerprint for t in again.trials] == [
        t.network.fingerprint for t in regression.trials
    ]
    assert select_network(X, Y, [(2,)], cv=3, random_state=1).trials != again.trials[:1]


def test_the_front_holds_what_nothing_beats(regression):
    for trial in regression.trials:
        beaten = any(
            t.mean >= trial.mean and t.binaries <= trial.binaries
            and (t.mean, t.binaries) != (trial.mean, trial.binaries)
            for t in regression.trials
        )  # fmt: skip
        assert (trial in regression.pareto) is not beaten
    sizes = [t.binaries for t in regression.pareto]
    assert sizes == sorted(sizes)


def test_tables(regression):
    frame = regression.frame()
    assert list(frame.index) == [t.name for t in regression.trials]
    assert frame["chosen"].sum() == 1
    assert frame.loc[regression.chosen.name, "binaries"] == regression.chosen.binaries
    text, page = str(regression), regression._repr_html_()
    assert text.splitlines()[0].startswith(f"{regression.chosen.name} of 6 (r2 over 3 folds")
    assert len(text.splitlines()) == 8
    assert page.count("<tr>") == 7
    odd = select_network(X, Y, {"<b>": (2,)}, cv=2)
    assert "<td><b>" not in odd._repr_html_()


@pytest.mark.parametrize("labels", [LABELS, LABELS == "high", (Y > 0.3).astype(int) + 5])
def test_classes_of_any_kind(labels):
    found = select_network(X, labels, [(3,)], cv=3)
    named = estimators([(3,)], classify=True, count=90, seed=0)
    expected = [
        accuracy_score(
            labels[test], clone(named["3"]).fit(X[train], labels[train]).predict(X[test])
        )
        for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(X, labels)
    ]
    assert found.scoring == "accuracy"
    assert found.chosen.scores == pytest.approx(expected)
    fitted = found.chosen.estimator
    net = predictor(found.network, fitted.classes_)
    assert (net.predict(X) == fitted.predict(X)).all()
    assert net.predict_proba(X) == pytest.approx(fitted.predict_proba(X), abs=1e-9)
    assert log_loss(labels, net.predict_proba(X)) < 1.0


def test_probabilities_are_scored_and_several_targets():
    found = select_network(X, LABELS, [(3,)], cv=2, scoring="neg_log_loss")
    assert found.chosen.mean < 0.0
    both = np.column_stack([Y, -2.0 * Y])
    assert select_network(X, both, [(4,)], cv=2).network.n_outputs == 2


def test_estimators_frames_and_splitters():
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = make_pipeline(
        make_column_transformer((MinMaxScaler(), ["b"]), (StandardScaler(), ["a"])),
        MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=500),
    )
    splits = [(range(60), range(60, 90)), (range(30, 90), range(30))]
    found = select_network(frame, pd.Series(Y), {"mine": model, "plain": 4}, cv=splits)
    assert [len(t.scores) for t in found.trials] == [2, 2]
    first = found.trials[0]
    assert first.network(X)[:, 0] == pytest.approx(first.estimator.predict(frame), abs=1e-8)
    assert model.get_params()["mlpregressor__random_state"] is None  # nothing is mutated
    assert first.estimator.get_params()["mlpregressor__random_state"] == 0
    assert not hasattr(model[-1], "coefs_")


def test_training_further_helps_pruned_networks():
    pytest.importorskip("torch")
    options = {"candidates": [(8,)], "keep": (0.5,), "cv": 2}
    plain, trained = (select_network(X, Y, epochs=e, **options).trials[1] for e in (0, 30))
    assert trained.mean > plain.mean
    assert trained.name == "8 keep 0.5"
    assert trained.network.n_inputs == 2
    labels = select_network(X, LABELS, epochs=5, **options).trials[1]
    assert labels.network.n_outputs == 3


class Broken(MLPRegressor):
    def fit(self, inputs, targets):
        msg = "it does not fit"
        raise ValueError(msg)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": []}, "no candidates"),
        ({"candidates": [(4,), 4]}, "called '4'"),
        ({"candidates": ["big"]}, "widths of hidden layers.*'big'"),
        ({"candidates": "big"}, "a list or a mapping"),
        ({"candidates": [(0,)]}, "widths of hidden layers"),
        ({"candidates": {"mine": MLPClassifier()}}, "candidate 'mine': the task asks"),
        ({"candidates": {"mine": Broken()}}, "candidate 'mine', fold 0: it does not fit"),
        ({"scoring": lambda *_: float("nan")}, "candidate '2': a score is not finite"),
        ({"scoring": "fame"}, "scoring is a name"),
        ({"rule": "luck"}, "one_se, best"),
        ({"max_binaries": -1}, "budget"),
        ({"keep": (1.0,)}, "keep holds fractions"),
        ({"keep": (0.5,), "method": "luck"}, "unknown pruning method"),
        ({"epochs": -1}, "epochs"),
        ({"task": "fun"}, "the task is"),
        ({"cv": 1}, "cv=1"),
        ({"cv": [(range(50), range(40, 90))]}, "fold 0: .* overlap"),
        ({"cv": []}, "no fold"),
        ({"y": np.arange(90)}, "pass task='regression'"),
        ({"y": Y[:-1]}, "90 rows"),
        ({"y": np.where(Y > 1, np.nan, Y)}, r"y\[\d+\] is nan"),
        ({"y": np.column_stack([LABELS, LABELS]), "task": "classification"}, "one column"),
        ({"y": LABELS, "task": "regression"}, "are numbers"),
    ],
)
def test_bad_arguments_are_told(change, message):
    options = {"X": X, "y": Y, "candidates": [(2,)], "cv": 2} | change
    with pytest.raises(QueryError, match=message):
        select_network(**options)


def test_gaps_in_the_data_are_told():
    with pytest.raises(RegionError, match="row 3, column 1 is nan"):
        select_network(np.where(np.arange(180).reshape(90, 2) == 7, np.nan, X), Y, [(2,)])


def test_the_default_grid_is_read():
    for classify in (True, False):
        found = estimators(None, classify=classify, count=10, seed=3)
        assert "16x16" in found
        target = LABELS if classify else Y
        fitted = clone(found["8"]).set_params(
            **{k: 5 for k in found["8"].get_params() if k.endswith("max_iter")}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert load(fitted.fit(X, target)).n_inputs == 2
