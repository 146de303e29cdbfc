"""The demo: deterministic, and every stored answer checked again without the package."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from recheck import least_margin
from sklearn.datasets import load_digits

from mipnet.bench.demo import run_demo
from mipnet.bench.demo_files import write_demo
from mipnet.bench.demo_records import TEST_SIZE, DemoResult, DemoSettings
from mipnet.errors import QueryError
from mipnet.network.readers import load
from mipnet.pruning import Mask

pytest.importorskip("torch")

#: Small enough for the enumeration of :mod:`oracle`, and still with every kind of verdict.
TINY = DemoSettings(
    seed=2,
    images=10,
    depths=(2,),
    width=10,
    keeps=(0.5,),
    epochs=12,
    linf_radius=0.08,
    l1_radius=1.0,
    restarts=1,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def result(folder: Path) -> DemoResult:
    found = run_demo(TINY, folder)
    write_demo(found, folder)
    return found


@pytest.fixture(scope="module")
def rows(result: DemoResult, folder: Path) -> list[dict[str, str]]:
    del result
    with (folder / "results.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def parameters(path: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    with np.load(path, allow_pickle=False) as file:
        count = sum(name.startswith("W") for name in file.files)
        return [file[f"W{k}"] for k in range(count)], [file[f"b{k}"] for k in range(count)]


def centre(row: dict[str, str]) -> np.ndarray:
    digits = load_digits()
    assert int(row["label"]) == digits.target[int(row["image"])]
    return digits.data[int(row["image"])] / 16.0


def test_two_runs_agree(result: DemoResult, tmp_path: Path) -> None:
    again = run_demo(TINY, tmp_path)
    assert again.rows == result.rows
    assert again.networks == result.networks
    assert again.summary == result.summary


def test_another_seed_is_another_experiment(result: DemoResult, tmp_path: Path) -> None:
    other = run_demo(replace(TINY, seed=4, images=1, epochs=1), tmp_path)
    assert other.rows[0].fingerprint != result.rows[0].fingerprint
    assert other.rows[0].image != result.rows[0].image


def test_every_network_is_asked_about_the_same_images(rows: list[dict[str, str]]) -> None:
    asked: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        asked.setdefault((row["network"], row["norm"]), []).append(row["image"])
    assert len(asked) == 4
    assert len({tuple(images) for images in asked.values()}) == 1
    assert {row["verdict"] for row in rows} == {"robust", "witness"}
    assert "mip" in {row["method"] for row in rows}


def test_witnesses_hold_in_plain_arithmetic(rows: list[dict[str, str]], folder: Path) -> None:
    found = [row for row in rows if row["verdict"] == "witness"]
    for row in found:
        point, start = np.array(json.loads(row["witness"])), centre(row)
        assert point.min() >= float(row["domain_lower"])
        assert point.max() <= float(row["domain_upper"])
        moved = [abs(Fraction(p) - Fraction(c)) for p, c in zip(point, start, strict=True)]
        size = max(moved) if row["norm"] == "linf" else sum(moved)
        assert size <= Fraction(float(row["radius"]))
        weights, biases = parameters(folder / row["network_file"])
        outputs = oracle.exact_trace(weights, biases, point)[-1]
        best = max(range(len(outputs)), key=outputs.__getitem__)
        assert best == int(row["predicted"]) != int(row["label"])
        margin = float(outputs[best] - outputs[int(row["label"])])
        assert margin == pytest.approx(float(row["margin"]), abs=1e-9)
        assert margin > 0.0


def test_robust_verdicts_hold_for_another_model(rows: list[dict[str, str]], folder: Path) -> None:
    """One row of each norm and kind of proof, against every other class."""
    kinds = {(r["norm"], r["method"]): r for r in rows if r["verdict"] == "robust"}
    assert set(kinds) == {(norm, how) for norm in ("linf", "l1") for how in ("bounds", "mip")}
    for row in kinds.values():
        weights, biases = parameters(folder / row["network_file"])
        start, radius, label = centre(row), float(row["radius"]), int(row["label"])
        box = np.clip(start - radius, 0.0, 1.0), np.clip(start + radius, 0.0, 1.0)
        ball = (start, radius) if row["norm"] == "l1" else None
        rivals = [np.eye(10)[label] - np.eye(10)[k] for k in range(10) if k != label]
        margins = [least_margin(weights, biases, box, rival, ball) for rival in rivals]
        assert min(margins) > 0.0


def test_misclassified_images_are_witnesses(rows: list[dict[str, str]], folder: Path) -> None:
    wrong = 0
    for row in rows:
        weights, biases = parameters(folder / row["network_file"])
        if int(oracle.forward(weights, biases, centre(row)).argmax()) != int(row["label"]):
            wrong += 1
            assert row["verdict"] == "witness"
    assert wrong


def test_files_hold_what_was_asked(result: DemoResult, folder: Path) -> None:
    for entry in result.networks:
        read = load(folder / entry.file)
        asked = {r.fingerprint for r in result.rows if r.network == entry.name}
        assert asked == {read.fingerprint}
    dense, pruned = result.networks
    assert pruned.hidden == dense.hidden // 2
    mask = Mask.load(folder / "networks" / f"{pruned.name}.mask.safetensors")
    mask.check(dense.network)


def test_summary_adds_up(result: DemoResult) -> None:
    for entry in result.summary:
        group = [r for r in result.rows if (r.network, r.norm) == (entry.network, entry.norm)]
        assert entry.robust + entry.witness + entry.unresolved == entry.images == len(group)
        assert entry.certified == entry.robust / TINY.images <= entry.accuracy
        assert entry.total_s == pytest.approx(sum(r.total_s for r in group))
        clocks = entry.attack_s + entry.bound_s + entry.build_s + entry.solve_s + entry.check_s
        assert 0.0 < clocks <= entry.total_s
        dense = next(s for s in result.summary if (s.network, s.norm) == ("2x10-dense", entry.norm))
        assert entry.speed_ratio == pytest.approx(dense.total_s / entry.total_s)


def test_tables_read_back_unchanged(
    result: DemoResult, rows: list[dict[str, str]], folder: Path
) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pandas.read_parquet(folder / "results.parquet")
    assert len(table) == len(rows) == len(result.rows)
    for i, row in enumerate(result.rows):
        stored = table.iloc[i]
        if row.witness is None:
            assert rows[i]["witness"] == ""
            assert stored["witness"] is None
        else:
            assert tuple(json.loads(rows[i]["witness"])) == row.witness
            assert tuple(stored["witness"]) == row.witness
        assert float(rows[i]["bound"]) == row.bound == stored["bound"]
        assert rows[i]["verdict"] == row.verdict == stored["verdict"]


def test_without_pandas_a_stale_parquet_goes(
    result: DemoResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_demo(result, tmp_path)
    monkeypatch.setattr("mipnet.bench.demo_files.find_spec", lambda name: None)
    names = {path.name for path in write_demo(result, tmp_path)}
    assert names == {"results.csv", "summary.csv", "settings.json"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_settings_record_what_ran(result: DemoResult, folder: Path) -> None:
    del result
    stored = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    assert stored["settings"]["seed"] == TINY.seed
    assert stored["settings"]["linf_radius"] == TINY.linf_radius
    assert {"python", "highspy", "torch"} <= set(stored["versions"])


def test_progress_counts_every_step(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    settings = replace(TINY, images=1, epochs=1)
    run_demo(settings, tmp_path, lambda *step: seen.append(step))
    assert [done for _, done, _ in seen] == list(range(7))
    assert {total for *_, total in seen} == {6}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"images": 0}, "images"),
        ({"images": TEST_SIZE + 1}, "images"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"linf_radius": float("nan")}, "radii"),
        ({"l1_radius": -0.1}, "radii"),
        ({"time_limit": 0.0}, "time_limit"),
        ({"keeps": (0.0,)}, "keeps"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(QueryError, match=told):
        replace(TINY, **change)
