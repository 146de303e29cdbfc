import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mipnet.errors import GraphError
from mipnet.graph import AFFINITIES, asym, cka, cos, degree, flow, js, stationary, transition
from mipnet.graph import affinity as module

P = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
KERNELS = {"js": js, "asym": asym, "cos": cos, "cka": cka, "flow": lambda x: flow(x.T)}


def test_every_name_has_a_kernel():
    assert set(AFFINITIES) == set(KERNELS)


def test_js_values_of_the_card():
    found = js(P)
    for (i, j), divergence in {(0, 1): 0.010040, (0, 2): 0.418364, (1, 2): 0.404193}.items():
        assert 1.0 - found[i, j] == pytest.approx(divergence, abs=5e-7)
    # The published figures stop a power iteration at 1e-6; the degrees are exact.
    pi = stationary(transition(found))
    np.testing.assert_allclose(pi, [0.362554, 0.365822, 0.271625], atol=2e-6)
    np.testing.assert_allclose(pi, degree(found), atol=1e-11)


def test_js_is_averaged_over_rows_and_scaled():
    rows = np.stack([P, P[::-1]], axis=1)
    np.testing.assert_allclose(js(rows), (js(P) + js(P[::-1])) / 2, atol=1e-12)
    np.testing.assert_allclose(js(7.0 * P), js(P), atol=1e-12)
    assert js([[1.0, 0.0], [0.0, 1.0]])[0, 1] == pytest.approx(0.0, abs=1e-12)


def test_asym_is_the_kernel_of_the_kl_divergence():
    found = asym(P, tau=2.0)
    divergence = float(np.sum(P[0] * np.log(P[0] / P[2])))
    assert found[0, 2] == pytest.approx(np.exp(-divergence / 2.0))
    assert found[0, 2] != pytest.approx(found[2, 0])
    # The support of the second lacks a place of the first: infinite one way, finite the other.
    lopsided = asym([[0.5, 0.5], [1.0, 0.0]])
    assert lopsided[0, 1] == 0.0
    assert lopsided[1, 0] == pytest.approx(0.5)


def test_cos_is_the_positive_part_averaged_over_a_batch():
    units = np.array([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])
    found = cos(units)
    assert found[0, 1] == pytest.approx(np.sqrt(0.5))
    assert found[0, 2] == 0.0
    turned = units[:, ::-1] * [1.0, 2.0]
    both = cos(np.stack([units, turned]))
    np.testing.assert_allclose(both, (found + cos(turned)) / 2)


def test_cka_of_single_features_is_the_squared_correlation():
    x = np.random.default_rng(0).normal(size=(4, 30))
    wanted = np.corrcoef(x) ** 2
    np.fill_diagonal(wanted, 0.0)
    np.testing.assert_allclose(cka(x), wanted, atol=1e-12)


def test_cka_of_many_features_is_its_formula_and_ignores_rotations():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 20, 4))
    a, b = (v - v.mean(axis=0) for v in x[:2])
    wanted = np.linalg.norm(a.T @ b) ** 2 / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    assert cka(x)[0, 1] == pytest.approx(wanted)
    turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    np.testing.assert_allclose(cka(x @ turn * 3.0 + 1.0), cka(x), atol=1e-12)


def test_flow_without_loops_taken_out_has_the_outgoing_norm_as_degree():
    weight = np.random.default_rng(2).normal(size=(5, 4))
    size = np.abs(weight)
    walk = size.T @ (size / size.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(walk.sum(axis=1), size.sum(axis=0))
    np.fill_diagonal(walk, 0.0)
    np.testing.assert_allclose(flow(weight), walk)


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_units_without_signal_have_no_affinity(name):
    x = np.abs(np.random.default_rng(3).normal(size=(4, 6)))
    x[2] = 0.0
    found = KERNELS[name](x)
    assert not found[2].any()
    assert not found[:, 2].any()
    assert found[0, 1] > 0.0


def test_a_constant_unit_is_no_signal_for_cka():
    x = np.vstack([np.random.default_rng(4).normal(size=(2, 50)), np.full(50, 0.1)])
    assert not cka(x)[2].any()


@pytest.mark.parametrize("name", ["js", "cos", "cka", "flow"])
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 6))
def test_symmetric_affinities_rank_by_degree(name, seed, n):
    x = np.random.default_rng(seed).random((n, 7)) + 0.01
    affinity = KERNELS[name](x)
    np.testing.assert_allclose(affinity, affinity.T, atol=1e-12)
    assert (affinity >= 0.0).all()
    assert not np.diag(affinity).any()
    pi = stationary(transition(affinity), method="eigenvector")
    np.testing.assert_allclose(pi, degree(affinity), atol=1e-9)


def test_large_tables_are_cut_into_blocks(monkeypatch):
    x = np.random.default_rng(5).random((9, 3, 4))
    whole = js(x), asym(x)
    monkeypatch.setattr(module, "_CHUNK", 30)
    for before, after in zip(whole, (js(x), asym(x)), strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: js([[0.5, -0.5], [1.0, 0.0]]), "unit 0 has one"),
        (lambda: js([0.5, 0.5]), r"2 or 3 axes.*\(2,\)"),
        (lambda: cos([[np.nan, 1.0]]), r"NaN or infinite at \[0, 0\]"),
        (lambda: cka(np.empty((0, 3))), "none empty"),
        (lambda: flow([["a", "b"]]), "numbers"),
        (lambda: asym(P, tau=0.0), "tau"),
    ],
)
def test_bad_input_is_refused(call, match):
    with pytest.raises(GraphError, match=match):
        call()
