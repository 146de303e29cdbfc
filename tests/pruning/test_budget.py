import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.errors import MaskError
from mipnet.pruning.budget import count, select


@pytest.mark.parametrize(
    ("keep", "width", "kept"),
    [
        (0.0, 9, 0),
        (1.0, 9, 9),
        (0.5, 4, 2),
        (0.5, 5, 3),
        (0.1, 25, 3),
        (0.24, 10, 2),
        (0.145, 100, 15),
        (0.7, 10, 7),
        (0.001, 10, 1),
        (0.5, 0, 0),
    ],
)
def test_count_rounds_to_the_nearest_and_leaves_one(keep, width, kept):
    assert count(keep, width) == kept


def test_layer_scope_shares_evenly_and_global_scope_by_score():
    scores = {"a": np.array([1.0, 2.0, 3.0, 4.0]), "b": np.array([10.0, 40.0, 30.0, 20.0])}
    layer = {n: k.tolist() for n, k in select(scores, 0.5, "layer").items()}
    assert layer == {"a": [2, 3], "b": [1, 2]}
    # Four of eight: all of b would win, but a keeps its best.
    overall = {n: k.tolist() for n, k in select(scores, 0.5, "global").items()}
    assert overall == {"a": [3], "b": [1, 2, 3]}


def test_ties_go_to_the_earlier_unit_and_layer():
    scores = {"a": np.zeros(4), "b": np.zeros(4)}
    assert select(scores, 0.5)["b"].tolist() == [0, 1]
    overall = {n: k.tolist() for n, k in select(scores, 0.5, "global").items()}
    assert overall == {"a": [0, 1, 2], "b": [0]}


scored = st.lists(
    st.lists(
        st.one_of(st.integers(-5, 5).map(float), st.sampled_from([np.inf, -np.inf])),
        min_size=1,
        max_size=6,
    ).map(np.array),
    min_size=1,
    max_size=4,
).map(lambda rows: {f"layer{i}": row for i, row in enumerate(rows)})


@settings(deadline=None, max_examples=150)
@given(scored, st.floats(0, 1), st.sampled_from(["layer", "global"]))
def test_kept_units_never_score_below_removed_ones(scores, keep, scope):
    kept = select(scores, keep, scope)
    total = sum(v.size for v in scores.values())
    for name, values in scores.items():
        removed = np.setdiff1d(np.arange(values.size), kept[name])
        assert len(kept[name]) + len(removed) == values.size
        assert (len(kept[name]) > 0) == (keep > 0)
        if len(kept[name]) and len(removed):
            assert values[kept[name]].min() >= values[removed].max()
        if scope == "layer":
            assert len(kept[name]) == count(keep, values.size)
    if scope == "global":
        least = len(scores) if keep else 0
        assert sum(len(k) for k in kept.values()) == max(count(keep, total), least)
        # Beyond the best unit of each layer, no removed unit beats a kept one anywhere.
        spare = [np.sort(scores[n][k])[:-1] for n, k in kept.items()]
        lost = [np.delete(scores[n], k) for n, k in kept.items()]
        if any(map(len, spare)) and any(map(len, lost)):
            assert np.concatenate(spare).min() >= np.concatenate(lost).max()


@pytest.mark.parametrize("keep", [-0.1, 1.1, np.nan, True, "half", None])
def test_keep_must_be_a_fraction(keep):
    with pytest.raises(MaskError, match="keep must be"):
        select({"a": np.ones(2)}, keep)


def test_unknown_scope_lists_what_there_is():
    with pytest.raises(MaskError, match="'local'; there are layer, global"):
        select({"a": np.ones(2)}, 0.5, "local")
