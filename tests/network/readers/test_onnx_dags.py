"""ONNX graphs with branches: the same function as onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_cases import run
from onnx_dags import GROWERS, Dag, grow

from mipnet.network.readers import load
from mipnet.network.readers.onnx_ops import STEPS

SHAPES = [(1, 2, 4, 4), (1, 3, 3, 2), (1, 6), (1, 2, 5)]


def agree(model, shape, points=2):
    net = load(model)
    for seed in range(points):
        x = (2.0 * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)
        expected, result = run(model, x), net(x.ravel()).ravel()
        assert result.shape == expected.shape
        # Large results before a sum cost digits of single precision.
        sizes = [np.abs(v).max() for v in net.trace(x.astype(float)).values()]
        np.testing.assert_allclose(result, expected, rtol=2e-4, atol=2e-5 * (1.0 + max(sizes)))
    return net


@settings(deadline=None, max_examples=150)
@given(
    kinds=st.lists(st.sampled_from(sorted(GROWERS)), min_size=1, max_size=10),
    shape=st.sampled_from(SHAPES),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_graphs(kinds, shape, seed):
    dag = Dag(shape, seed=seed)
    for kind in kinds:
        grow(dag, kind)
    net = agree(dag.model(), shape)
    assert net.dtype == "float32"
    assert net.input_shape == shape[1:]


@pytest.mark.parametrize("kind", sorted(GROWERS))
def test_every_operation(kind):
    for seed in range(4):
        dag = Dag((1, 3, 4, 3), seed=seed)
        dag.add("Conv", "x", dag.normal(2, 3, 2, 2), shape=(1, 2, 3, 2))
        dag.add("Flatten", "x", shape=(1, 36))
        dag.add("ReduceMean", "x", np.array([3]), shape=(1, 3, 4), keepdims=0)
        grow(dag, kind)
        agree(dag.model(), (1, 3, 4, 3))


def test_every_rule_has_a_case():
    special = {"Cast", "Flatten", "Erf", "Pow", "Shape", "Size", "Swish"}
    grown = {k.removesuffix("2") for k in GROWERS} - {"erf", "silu", "tanh-gelu"}
    assert set(STEPS) == grown | special
