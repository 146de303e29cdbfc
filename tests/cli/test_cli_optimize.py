"""``mipnet optimize``: right optima, strict JSON, bad input told apart from no proof."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from click.testing import CliRunner, Result

from mipnet.cli import main

KEYS = {
    "status",
    "objective",
    "bound",
    "objective_by_forward_pass",
    "bound_s",
    "build_s",
    "solve_s",
    "n_binaries",
    "n_rows",
    "n_nonzeros",
    "nodes",
}
SIZES = (2, 4, 4, 2)
RNG = np.random.default_rng(7)
WEIGHTS = [RNG.normal(size=(m, n)) for n, m in pairwise(SIZES)]
BIASES = [RNG.normal(size=m) for m in SIZES[1:]]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["optimize", *map(str, arguments)])


def strict(text: str) -> dict[str, Any]:
    """Parse JSON as the standard has it: NaN and Infinity are refused."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def store(path: Path, weights: list[np.ndarray] = WEIGHTS, **extra: Any) -> Path:
    layers = {f"W{k}": w for k, w in enumerate(weights)} | {
        f"b{k}": b for k, b in enumerate(BIASES)
    }
    np.savez(path, **layers, **extra)
    return path


def least(lower: Any, upper: Any, objective: Any) -> float:
    box = np.broadcast_to(lower, 2).astype(float), np.broadcast_to(upper, 2).astype(float)
    return oracle.minimum(WEIGHTS, BIASES, box, np.asarray(objective, float)).value


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return store(tmp_path / "net.npz", lb=-1.0, ub=np.array([1.0, 2.0]), c=np.array([1.0, -2.0]))


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return store(tmp_path / "bare.npz")


def test_minimises_what_the_file_says(net: Path) -> None:
    result = run(net, "--time-limit", 60, "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    found = strict(result.stdout)
    assert set(found) >= KEYS
    assert found["status"] == "optimal"
    exact = least(-1.0, [1.0, 2.0], [1.0, -2.0])
    for name in ("objective", "bound", "objective_by_forward_pass"):
        assert found[name] == pytest.approx(exact, abs=1e-5)
    point = np.array(found["point"])
    assert np.all(point >= -1.0)
    assert np.all(point <= [1.0, 2.0])
    replay = np.array([1.0, -2.0]) @ oracle.forward(WEIGHTS, BIASES, point)
    assert found["objective_by_forward_pass"] == pytest.approx(replay, abs=1e-12)
    assert found["bound"] <= found["objective"]


@pytest.mark.parametrize(
    ("options", "box", "objective"),
    [
        (["--lower", "0", "--upper", "0.5,1"], (0.0, [0.5, 1.0]), [1.0, -2.0]),
        (["--c", "-1,0.5"], (-1.0, [1.0, 2.0]), [-1.0, 0.5]),
        (["--c", "-1"], (-1.0, [1.0, 2.0]), [-1.0, -1.0]),
        (["--lower", "-2", "--threads", "2", "--seed", "5"], (-2.0, [1.0, 2.0]), [1.0, -2.0]),
    ],
)
def test_options_override_the_file(
    net: Path, options: list[str], box: tuple[Any, Any], objective: list[float]
) -> None:
    found = strict(run(net, *options, "--json").stdout)
    assert found["objective"] == pytest.approx(least(*box, objective), abs=1e-5)


def test_without_c_the_first_output_counts(bare: Path) -> None:
    found = strict(run(bare, "--lower", 0, "--upper", 1, "--json").stdout)
    assert found["objective"] == pytest.approx(least(0.0, 1.0, [1.0, 0.0]), abs=1e-5)


def test_other_formats_take_bounds_from_the_options(tmp_path: Path, bare: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "net.safetensors"
    names = [f"{k}.{part}" for k in range(3) for part in ("weight", "bias")]
    arrays = [values for pair in zip(WEIGHTS, BIASES, strict=True) for values in pair]
    save_file(dict(zip(names, arrays, strict=True)), path)
    options = ("--lower", 0, "--upper", 1, "--json")
    one, two = strict(run(path, *options).stdout), strict(run(bare, *options).stdout)
    assert one["objective"] == pytest.approx(two["objective"], abs=1e-9)


def test_text_names_the_same_facts(net: Path) -> None:
    result = run(net)
    assert result.exit_code == 0
    assert {line.split()[0] for line in result.stdout.splitlines()} >= KEYS


def test_no_proof_is_status_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = (20, 40, 40, 40, 1)
    layers = {f"W{k}": rng.normal(size=(m, n)) for k, (n, m) in enumerate(pairwise(sizes))}
    layers |= {f"b{k}": rng.normal(size=m) for k, m in enumerate(sizes[1:])}
    np.savez(tmp_path / "hard.npz", **layers, lb=-1.0, ub=1.0)
    result = run(tmp_path / "hard.npz", "--time-limit", 0.3, "--json")
    assert result.exit_code == 1
    found = strict(result.stdout)
    assert found["status"] == "time_limit"
    assert found["bound"] is None or found["bound"] < found["objective"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--lower"),
        (["--lower", "0"], "upper"),
        (["--lower", "1", "--upper", "0"], "empty"),
        (["--lower", "nan", "--upper", "1"], "finite"),
        (["--lower=-inf", "--upper", "1"], "finite"),
        (["--lower", "0,0,0", "--upper", "1"], "3"),
        (["--lower", "0", "--upper", "1", "--c", "1,2,3"], "2"),
        (["--lower", "0", "--upper", "1", "--c", "nan"], "finite"),
        (["--lower", "zero", "--upper", "1"], "zero"),
        (["--lower", "0", "--upper", "1", "--time-limit", "nan"], "nan"),
        (["--lower", "0", "--upper", "1", "--time-limit", "-1"], "-1"),
    ],
)
def test_bad_questions_are_status_two(bare: Path, options: list[str], told: str) -> None:
    result = run(bare, *options, "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def _missing(path: Path) -> None:
    del path


def _truncated(path: Path) -> None:
    path.write_bytes(store(path.with_name("whole.npz")).read_bytes()[:200])


def _text(path: Path) -> None:
    path.write_text("no network", encoding="utf-8")


def _objects(path: Path) -> None:
    np.savez(path, W0=np.array([{"a": 1}], dtype=object), b0=np.zeros(1))


def _mismatch(path: Path) -> None:
    store(path, [*WEIGHTS[:2], np.ones((2, 9))], lb=0.0, ub=1.0)


def _nan(path: Path) -> None:
    store(path, [np.full((4, 2), np.nan), *WEIGHTS[1:]], lb=0.0, ub=1.0)


@pytest.mark.parametrize("damage", [_missing, _truncated, _text, _objects, _mismatch, _nan])
def test_bad_files_are_status_two(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "bad.npz"
    damage(path)
    result = run(path, "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "bad.npz" in result.stderr
    assert "Traceback" not in result.stderr
