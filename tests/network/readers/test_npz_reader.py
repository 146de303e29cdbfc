"""The ``.npz`` format: network, box, objective, and every refusal."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_cases import evaluate, random_layers

from mipnet.errors import MipnetError, NetworkError, ReadError
from mipnet.network import Affine, Network, ReLU
from mipnet.network.readers import from_arrays, load, read_problem, save_npz

GOOD = {"W0": np.ones((3, 2)), "b0": np.zeros(3), "W1": np.ones((1, 3)), "b1": np.zeros(1)}


@pytest.fixture
def write(tmp_path: Path):
    def save(**changes):
        path = tmp_path / "net.npz"
        arrays = {**GOOD, **changes}
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return path

    return save


@settings(deadline=None, max_examples=30)
@given(
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=13),
    seed=st.integers(0, 2**32 - 1),
    single=st.booleans(),
    compressed=st.booleans(),
    scalars=st.booleans(),
)
def test_files_hold_the_documented_function(
    tmp_path_factory, widths, seed, single, compressed, scalars
):
    weights, biases = random_layers(widths, seed, np.float32 if single else np.float64)
    path = tmp_path_factory.mktemp("npz") / "net.npz"
    arrays = {f"W{k}": weight for k, weight in enumerate(weights)}
    arrays |= {f"b{k}": bias for k, bias in enumerate(biases)}
    arrays["lb"] = np.float64(-1) if scalars else np.full(widths[0], -1.0)
    arrays["ub"] = np.array([2.0]) if scalars else np.full(widths[0], 2.0)
    arrays["c"] = np.array(0.5) if scalars else np.full(widths[-1], 0.5)
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    problem = read_problem(path)
    x = np.random.default_rng(seed).normal(size=(4, widths[0]))
    np.testing.assert_allclose(problem.network(x), evaluate(weights, biases, x), atol=1e-11)
    assert problem.network.dtype == ("float32" if single else "float64")
    assert problem.lower.tolist() == [-1.0] * widths[0]
    assert problem.upper.tolist() == [2.0] * widths[0]
    assert problem.objective.tolist() == [0.5] * widths[-1]
    box = problem.network.input_box()
    assert (box.lower == -1.0).all()
    assert (box.upper == 2.0).all()
    assert load(path).fingerprint == problem.network.fingerprint
    saved = path.with_name("again.npz")
    save_npz(problem.network, saved, objective=problem.objective)
    again = read_problem(saved)
    assert again.network.dtype == problem.network.dtype
    assert again.network.fingerprint == problem.network.fingerprint
    assert again.lower.tolist() == problem.lower.tolist()
    assert again.objective.tolist() == problem.objective.tolist()


def test_what_is_absent_is_none(write):
    problem = read_problem(write())
    assert (problem.lower, problem.upper, problem.objective) == (None, None, None)
    assert problem.network.input_bounds is None
    assert problem.network([1.0, 2.0]) == [9.0]


def test_one_sided_bounds_are_kept(write):
    problem = read_problem(write(lb=[0.0, 1.0]))
    assert problem.upper is None
    assert problem.network.input_bounds[0].tolist() == [0.0, 1.0]
    assert problem.network.input_bounds[1].tolist() == [np.inf, np.inf]


def test_other_names_and_other_suffixes(write, tmp_path):
    path = write(epochs=np.array(3), note=np.array("hello"))
    renamed = tmp_path / "net.dat"
    shutil.copy(path, renamed)
    assert load(path).fingerprint == load(renamed).fingerprint
    assert load(np.load(path)).fingerprint == load(path).fingerprint
    assert load(GOOD).fingerprint == load(path).fingerprint


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"b1": None}, ReadError, "lacks b1"),
        ({"W0": None}, ReadError, "lacks W0"),
        ({"W1": None, "b1": None, "W2": np.ones((1, 3)), "b2": np.ones(1)}, ReadError, "W1, b1"),
        ({"W0": None, "W1": None, "b0": None, "b1": None}, ReadError, "holds no W0"),
        ({"W99999999": np.ones((1, 3))}, ReadError, "lacks b2|lacks W2"),
        ({"W0": np.ones((2, 3))}, NetworkError, r"'W0'.*\(n_out, n_in\).*transposed.*\(3, 2\)"),
        ({"W0": np.ones(6)}, NetworkError, r"'W0'.*\(n_out, n_in\)"),
        ({"W0": np.ones((3, 2, 1))}, NetworkError, "'W0'"),
        ({"b0": np.zeros(4)}, NetworkError, "'W0'"),
        ({"W1": np.ones((1, 4))}, NetworkError, "'W1'.*vectors of 4.*'W0'"),
        ({"W0": np.full((3, 2), np.nan)}, NetworkError, "'W0'.*NaN"),
        ({"b1": np.array([np.inf])}, NetworkError, "bias of 'W1'.*infinite"),
        ({"W0": np.full((3, 2), "x")}, ReadError, "not real numbers"),
        ({"lb": np.zeros(3)}, ReadError, r"lb: must be a scalar or of shape \(2,\)"),
        ({"ub": np.zeros((2, 1))}, ReadError, "ub"),
        ({"c": np.zeros(2)}, ReadError, r"c: must be a scalar or of shape \(1,\)"),
        ({"lb": np.nan}, ReadError, "lb: holds NaN"),
        ({"ub": np.array([1.0, np.nan])}, ReadError, r"ub: holds NaN, first at \[1\]"),
        ({"c": np.nan}, ReadError, "c: holds NaN"),
        ({"c": np.inf}, ReadError, "c: holds infinite"),
        ({"lb": 1.0, "ub": 0.0}, ReadError, "empty box.*input 0"),
        ({"lb": np.zeros(2), "ub": np.array([1.0, -1.0])}, ReadError, "empty box.*input 1"),
        ({"lb": np.inf}, ReadError, "empty box"),
        ({"ub": np.array([0.0, -np.inf])}, ReadError, "empty box.*input 1"),
    ],
)
def test_bad_contents(write, changes, error, text):
    path = write(**changes)
    with pytest.raises(error, match=text) as caught:
        load(path)
    assert str(path) in str(caught.value)


class Bomb:
    """Leaves a file behind when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("key", ["W0", "lb", "unrelated"])
def test_object_arrays_are_never_unpickled(write, tmp_path, key):
    trap = tmp_path / "exploded"
    path = write(**{key: np.array([Bomb(trap)], dtype=object)})
    trap.unlink(missing_ok=True)
    with pytest.raises(ReadError, match=r"object arrays.*never opened"):
        load(path)
    assert not trap.exists()


def test_a_pickle_in_disguise_is_never_unpickled(tmp_path):
    trap = tmp_path / "exploded"
    path = tmp_path / "net.npz"
    path.write_bytes(pickle.dumps(Bomb(trap)))
    with pytest.raises(ReadError, match=r"not an .npz file"):
        load(path)
    assert not trap.exists()


def test_every_truncation_is_refused(write, tmp_path):
    whole = write(lb=0.0).read_bytes()
    path = tmp_path / "cut.npz"
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ReadError):
            load(path)


def test_damaged_contents_are_refused(write, tmp_path):
    whole = bytearray(write().read_bytes())
    where = whole.index(np.ones(6).tobytes())
    whole[where + 3] ^= 0xFF
    path = tmp_path / "damaged.npz"
    path.write_bytes(whole)
    with pytest.raises(MipnetError, match=r"damaged.*CRC"):
        load(path)


def test_saving_keeps_float64_where_float32_would_round(tmp_path):
    net = from_arrays([np.full((1, 1), 0.1)])
    net = Network(net.nodes, net.input_shape, dtype="float32")
    save_npz(net, tmp_path / "net.npz", lower=0.0, upper=1.0)
    assert load(tmp_path / "net.npz").nodes[0].layer.weight == [[0.1]]


def test_other_networks_are_saved_with_their_architecture(tmp_path):
    layers = [Affine(np.eye(2), np.zeros(2)), ReLU()]
    net = Network.sequential(layers, names=["first", "last"], input_bounds=([0.0, 1.0], 2.0))
    save_npz(net, tmp_path / "net.npz", objective=1.0)
    problem = read_problem(tmp_path / "net.npz")
    assert problem.network.fingerprint == net.fingerprint
    assert problem.lower.tolist() == [0.0, 1.0]
    assert problem.objective.tolist() == [1.0, 1.0]
    # A chain under other names can still be read by whatever knows W0 and b0.
    save_npz(Network.sequential(layers[:1], names=["first"]), tmp_path / "net.npz")
    assert load(tmp_path / "net.npz").nodes[0].name == "first"
    with np.load(tmp_path / "net.npz") as arrays:
        assert arrays["W0"].tolist() == np.eye(2).tolist()
