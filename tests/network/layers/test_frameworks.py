"""Every layer computes what torch and onnxruntime compute, on random shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.network.layers import LAYERS
from tests.network.layers.frameworks import ONNX, TORCH, run_onnx, run_torch
from tests.network.layers.layer_cases import CASES

SEEDS = st.integers(0, 2**32 - 1)


def test_every_layer_is_covered() -> None:
    assert sorted(LAYERS) == sorted(CASES)
    assert set(CASES) == set(TORCH)
    assert set(CASES) == set(ONNX)


def agree(ours: np.ndarray, theirs: np.ndarray, size: np.ndarray, relative: float) -> None:
    assert ours.shape == theirs.shape
    assert np.all(np.abs(ours - theirs) <= relative * (1.0 + size))


def sizes(layer, values: list[np.ndarray]) -> np.ndarray:
    """Largest terms that meet in each result, for the tolerance."""
    if layer.nonlinear:
        return np.max([np.abs(v).max(initial=0.0) for v in values])
    return layer.relax(*(_point(v) for v in values))[0]


def _point(values: np.ndarray):
    from mipnet.network import Interval

    return Interval(values, values)


def total(layer, values: list[np.ndarray]) -> np.ndarray:
    found = sizes(layer, values)
    return found if np.size(found) else np.max([np.abs(v).max() for v in values])


@pytest.mark.parametrize("kind", sorted(TORCH))
@settings(max_examples=40)
@given(seed=SEEDS)
def test_torch(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, shapes = CASES[kind](rng)
    values = [rng.normal(size=(2, *s)) * 3.0 for s in shapes]
    agree(layer.forward(*values), run_torch(layer, values), total(layer, values), 1e-8)
    # Replays stay in the type of the model.
    single = layer.cast("f4").forward(*(v.astype("f4") for v in values))
    assert single.dtype == np.float32
    agree(layer.forward(*values), single, total(layer, values), 1e-4)


@pytest.mark.parametrize("kind", sorted(ONNX))
@settings(max_examples=20)
@given(seed=SEEDS)
def test_onnxruntime(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, shapes = CASES[kind](rng)
    values = [(rng.normal(size=(2, *s)) * 3.0).astype("f4").astype(float) for s in shapes]
    agree(layer.forward(*values), run_onnx(layer, values), total(layer, values), 1e-4)
