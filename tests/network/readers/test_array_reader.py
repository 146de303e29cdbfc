"""Plain arrays: every accepted form, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_cases import evaluate, random_layers

from mipnet.errors import MipnetError, NetworkError, ReadError
from mipnet.network.readers import from_arrays, load


@settings(deadline=None, max_examples=40)
@given(
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=6),
    seed=st.integers(0, 2**32 - 1),
    single=st.booleans(),
    as_lists=st.booleans(),
)
def test_every_form_is_the_same_function(widths, seed, single, as_lists):
    dtype = np.float32 if single else np.float64
    weights, biases = random_layers(widths, seed, dtype)
    if as_lists:
        weights, biases = [w.tolist() for w in weights], [b.tolist() for b in biases]
    forms = [
        from_arrays(weights, biases),
        load((weights, biases)),
        load([weights, biases]),
        load(list(zip(weights, biases, strict=True))),
        load(tuple(zip(weights, biases, strict=True))),
    ]
    if len(weights) == 1:
        forms.append(load((weights[0], biases[0])))
    x = np.random.default_rng(seed).normal(size=(4, widths[0]))
    expected = evaluate(weights, biases, x)
    for net in forms:
        assert net.dtype == ("float32" if single and not as_lists else "float64")
        np.testing.assert_allclose(net(x), expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(net.nodes[0].layer.parameters[0], np.asarray(weights[0]))


def test_missing_biases_are_zero():
    net = from_arrays([[[1.0]], [[2.0]]], [None, [1.0]])
    assert net([3.0]) == [7.0]
    assert from_arrays([[[1.0]]])([3.0]) == [3.0]
    assert load([([[1.0]], None)])([3.0]) == [3.0]


def test_names_bounds_and_source():
    net = from_arrays([np.eye(2), np.eye(2)], lower=0.0, upper=[1.0, 2.0], names=["in", "out"])
    assert [node.name for node in net.nodes] == ["in", "relu0", "out"]
    assert net.input_bounds[1].tolist() == [1.0, 2.0]
    assert from_arrays([np.eye(2)], lower=0.0).input_bounds[1].tolist() == [np.inf, np.inf]
    assert load(([np.eye(2)], [np.zeros(2)]), names=["fc"]).nodes[0].name == "fc"


def test_sources_are_not_aliased():
    weight = np.ones((1, 2))
    net = load([(weight, np.zeros(1))])
    weight[:] = 7.0
    assert net([1.0, 1.0]) == [2.0]


def test_integers_are_read_as_float64():
    assert from_arrays([np.ones((1, 2), np.int32)], [np.zeros(1, np.int8)]).dtype == "float64"
    mixed = from_arrays([np.ones((1, 2), np.float16)], [np.zeros(1, np.int8)])
    assert mixed.dtype == "float32"


@pytest.mark.parametrize(
    ("weights", "biases", "error", "text"),
    [
        ([], [], ReadError, "at least one"),
        ([np.eye(2)], [], ReadError, "1 weights, 0 biases"),
        ([np.ones(3)], [np.ones(3)], NetworkError, r"'affine0'.*\(n_out, n_in\)"),
        ([np.ones((2, 2, 2))], [np.ones(2)], NetworkError, "'affine0'"),
        ([np.ones((0, 3))], [np.ones(0)], NetworkError, "'affine0'"),
        ([np.ones((2, 3))], [np.ones(4)], NetworkError, r"\(2, 3\) and \(4,\)"),
        ([np.ones((2, 3))], [np.ones(3)], NetworkError, "transposed.*W.T"),
        ([np.ones((2, 3))], [np.ones((2, 1))], NetworkError, r"\(2, 1\)"),
        ([np.eye(2), np.ones((2, 3))], [None, None], NetworkError, "'affine1'.*'affine0'"),
        ([[[np.nan, 1.0]]], [None], NetworkError, "weight of 'affine0'.*NaN.*0, 0"),
        ([np.eye(1), [[1.0]]], [None, [np.inf]], NetworkError, "bias of 'affine1'.*infinite"),
        ([[["a"]]], [None], ReadError, "not real numbers"),
        ([np.eye(2) * 1j], [None], ReadError, "complex"),
        ([[[1.0], [2.0, 3.0]]], [None], ReadError, "cannot be read as an array"),
        ([np.array([[None]])], [None], ReadError, "object"),
    ],
)
def test_bad_arrays(weights, biases, error, text):
    with pytest.raises(error, match=text):
        from_arrays(weights, biases)


def test_bad_bounds():
    with pytest.raises(MipnetError, match="empty or NaN at input"):
        from_arrays([np.eye(2)], lower=1.0, upper=0.0)
    with pytest.raises(MipnetError, match="do not fit"):
        from_arrays([np.eye(2)], lower=[0.0, 0.0, 0.0], upper=1.0)
