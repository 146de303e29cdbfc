"""Runs: everything is done once, goes on where it stopped, and repeats."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_cases import NAPS, plan_file, records, tiny

from mipnet.bench import collect, load, load_plan, outlook, run, status
from mipnet.bench.errors import RunError, StoreError
from mipnet.bench.plan import expand
from mipnet.bench.runner.lock import locked
from mipnet.bench.runner.worker import Report
from mipnet.bench.tasks import Task, identity, in_shard

#: Two networks from files, two methods, two kinds of question, two seeds.
REAL = """
[plan]
name = "real"
[networks.tiny]
file = "tiny.npz"
data = "wine"
[[masks]]
method = ["magnitude", "random"]
keep = 0.5
[[problems]]
kind = "adversarial"
radius = 0.2
items = 2
[[problems]]
kind = "maximize"
[solve]
seeds = [0, 1]
permute = true
[[hardware]]
array = "4x4"
[limits]
time = 10
"""


pytestmark = pytest.mark.usefixtures("nursery")


@pytest.fixture(scope="module")
def real(nursery: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A plan carried out twice, in two folders."""
    del nursery
    folder = tmp_path_factory.mktemp("real")
    tiny(folder / "tiny.npz", widths=(13, 6, 6, 3))
    path = plan_file(folder, REAL)
    plan = load_plan(path)
    for name in ("a", "b"):
        found = run(plan, folder / name)
        assert found.ok, found
        assert (found.kept, found.missing, found.end) == (0, 0, "done")
    return path, folder / "a", folder / "b"


class TestTwoRuns:
    def test_same_answers_masks_and_cycles(self, real: tuple[Path, Path, Path]) -> None:
        first, second = (load(folder) for folder in real[1:])
        keys = ["cell", "status", "verdict", "objective", "original_value", "regret"]
        keys += ["size_binaries", "size_nonzeros", "m_median", "m_max", "parameters"]
        keys += ["mask_hash", "fingerprint", "cycles", "energy_pj", "accuracy", "agreement"]
        a, b = (r.cells[keys].sort_values("cell").reset_index(drop=True) for r in (first, second))
        assert a.equals(b)
        assert len(a) == 3 * 3 * 2
        masks = [
            (folder / "artefacts" / i / "mask.safetensors").read_bytes()
            for folder in real[1:]
            for i in sorted(r["id"] for r in records(folder, "artefacts").values())
            if (folder / "artefacts" / i / "mask.safetensors").exists()
        ]
        assert len(masks) == 4
        assert masks[:2] == masks[2:]
        assert a["cycles"].notna().all()

    def test_a_record_says_everything(self, real: tuple[Path, Path, Path]) -> None:
        for task_id, record in records(real[1]).items():
            assert identity("solve", record["key"]) == task_id == record["id"]
            result, process, about = record["result"], record["process"], record["run"]
            clocks = sum(result[f"{c}_s"] for c in ("attack", "bound", "build", "solve", "check"))
            assert 0.0 < clocks <= result["total_s"] <= process["seconds"]
            assert process["peak_memory_mb"] > 10.0
            assert record["key"]["threads"] == 1
            assert set(record["key"]["versions"]) >= {"mipnet", "numpy", "highs"}
            assert about["machine"]["cores"] >= 1
            assert about["calibration_s"] > 0.0
            assert about["started"].endswith("Z")
            assert result["replay_error"] is None or result["replay_error"] < 1e-9
        assert {r["labels"]["method"] for r in records(real[1]).values()} == {
            "dense",
            "magnitude",
            "random",
        }

    def test_logs_and_trajectories_are_kept(self, real: tuple[Path, Path, Path]) -> None:
        results = load(real[1])
        solved = results.cells[results.cells["solver_version"].notna() & (results.cells.solves > 0)]
        assert len(solved)
        for log in solved["log"]:
            assert "HiGHS" in (real[1] / log).read_text(encoding="utf-8") or log
        tops = results.cells.query("kind == 'maximize' and solves > 0")
        for _, cell in tops.iterrows():
            path = results.trajectories[results.trajectories["cell"] == cell["cell"]]
            assert path["seconds"].is_monotonic_increasing
            assert path["incumbent"].max() <= cell["objective"] + 1e-6
            assert path["bound"].min() >= cell["objective"] - 1e-6
            assert 0.0 <= cell["primal_integral"] <= cell["primal_dual_integral"] <= cell["total_s"]

    def test_nothing_is_done_twice(self, real: tuple[Path, Path, Path]) -> None:
        path, folder, _ = real
        before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.json") if "runs" not in p.parts}
        found = run(load_plan(path), folder)
        assert found.ok
        assert found.kept == 1 + 2 + 3 + 18
        after = {p: p.stat().st_mtime_ns for p in before if p.name != "plan.json"}
        assert after == {p: before[p] for p in after}
        ahead = outlook(load_plan(path), folder)
        assert set(ahead.left.values()) == {0}
        assert ahead.most_seconds == 0.0

    def test_pruned_decisions_are_seen_in_the_dense_network(
        self, real: tuple[Path, Path, Path]
    ) -> None:
        cells = load(real[1]).cells.query("kind == 'maximize'")
        dense = cells[cells["method"] == "dense"]
        assert np.allclose(dense["original_value"], dense["objective"])
        assert np.allclose(dense["regret"], 0.0, atol=1e-6)
        pruned = cells[cells["method"] != "dense"]
        best = dense["objective"].iloc[0]
        assert np.allclose(pruned["regret"], best - pruned["original_value"], atol=1e-6)
        assert (pruned["regret"] >= 0.0).all()


def test_a_plan_that_grows_keeps_what_it_has(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    path = plan_file(tmp_path, NAPS.format(count=3, seconds=0.0, wall=20))
    assert run(path, str(folder)).counts == Counter(optimal=3)
    plan = load_plan(path)
    more = load_plan(plan_file(tmp_path, NAPS.format(count=5, seconds=0.0, wall=20)))
    found = run(more, folder)
    assert (found.kept, found.counts) == (1 + 3, Counter(optimal=5))
    # And one that shrinks names what it leaves out.
    run(plan, folder)
    assert len(status(folder).strangers) == 2
    results = load(folder)
    assert len(results.cells) == 3
    assert any("2 record(s) belong to no task" in note for note in results.notes)
    assert len(records(folder)) == 5


def test_progress_and_order(tmp_path: Path) -> None:
    plan = load_plan(plan_file(tmp_path, NAPS.format(count=12, seconds=0.0, wall=20)))
    seen: list[tuple[str, int, int, Report | None]] = []
    run(plan, tmp_path / "r", progress=lambda *step: seen.append(step))
    assert [(s, d, t) for s, d, t, _ in seen][-1] == ("cells", 13, 13)
    names = [report.name for s, _, _, report in seen if s == "cells" and report]
    numbers = [int(name.split("number ")[1].split()[0]) for name in names]
    assert sorted(numbers) == list(range(12))
    assert numbers != sorted(numbers)


def test_shards_are_disjoint_and_whole(tmp_path: Path) -> None:
    plan = load_plan(plan_file(tmp_path, NAPS.format(count=9, seconds=0.0, wall=20)))
    cells = {t.id for t in expand(plan).cells}
    folders = [tmp_path / f"s{i}" for i in (1, 2)]
    for i, folder in enumerate(folders, start=1):
        found = run(plan, folder, shard=(i, 2))
        assert found.ok
        assert set(records(folder)) == {c for c in cells if in_shard(c, (i, 2))}
    assert sum(len(records(f)) for f in folders) == 9
    merged = collect(folders, tmp_path / "all")
    assert set(merged.cells["cell"]) == cells
    assert merged.missing == 0
    again = load(tmp_path / "all")
    assert again.cells.equals(merged.cells)
    with pytest.raises(StoreError, match="say where"):
        collect(folders)


def test_errors_are_kept_until_asked_again(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    text = f"""
[networks.tiny]
file = "tiny.npz"
[[problems]]
kind = "trouble"
how = "error"
once = "{flag}"
[limits]
wall = 30
time = 5
"""
    plan = load_plan(plan_file(tmp_path, text, "once.toml"))
    first = run(plan, tmp_path / "r")
    assert not first.ok
    assert first.counts == Counter(error=1)
    assert first.failed[0].reason == "ValueError: this is no good"
    second = run(plan, tmp_path / "r")
    assert (second.counts, second.ok) == (Counter(error=1), False)
    third = run(plan, tmp_path / "r", retry_errors=True)
    assert third.counts == Counter(optimal=1)
    assert third.ok
    (record,) = records(tmp_path / "r").values()
    assert [p["status"] for p in record["run"]["previous"]] == ["error"]


def test_cells_of_an_artefact_that_fails_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = load_plan(plan_file(tmp_path, NAPS.format(count=2, seconds=0.0, wall=20)))
    matrix = expand(plan)
    monkeypatch.setattr("mipnet.bench.runner.run.expand", lambda plan: matrix)
    tiny(tmp_path / "tiny.npz", seed=7)
    found = run(plan, tmp_path / "r")
    assert found.counts == Counter(error=2)
    reasons = {r["reason"] for r in records(tmp_path / "r").values()}
    assert len(reasons) == 1
    assert "its artefact" in reasons.pop()


def test_a_file_that_changes_under_a_run(tmp_path: Path) -> None:
    plan = load_plan(plan_file(tmp_path, NAPS.format(count=1, seconds=0.0, wall=20)))
    path = plan.networks[0].file
    assert path is not None
    matrix = expand(plan)
    tiny(path, seed=5)
    network = matrix.networks[0]
    assert isinstance(network, Task)
    from mipnet.bench.stages.artefacts import make_network
    from mipnet.bench.stages.place import Place

    with pytest.raises(StoreError, match="has changed since the plan was read"):
        make_network(network, Place(tmp_path / "r"))


class TestFolders:
    def test_a_folder_of_another_plan_is_refused(self, tmp_path: Path) -> None:
        text = NAPS.format(count=1, seconds=0.0, wall=20)
        run(load_plan(plan_file(tmp_path, text)), tmp_path / "r")
        other = load_plan(plan_file(tmp_path, text.replace('"naps"', '"other"'), "other.toml"))
        with pytest.raises(StoreError, match="holds the results of the plan 'naps', not of 'othe"):
            run(other, tmp_path / "r")
        with pytest.raises(StoreError, match="not empty and no results folder"):
            run(other, tmp_path)
        (tmp_path / "file").touch()
        with pytest.raises((StoreError, FileExistsError)):
            run(other, tmp_path / "file")

    def test_one_runner_at_a_time(self, tmp_path: Path) -> None:
        plan = load_plan(plan_file(tmp_path, NAPS.format(count=1, seconds=0.0, wall=20)))
        (tmp_path / "r").mkdir()
        errors: list[Exception] = []

        def second() -> None:
            try:
                run(plan, tmp_path / "r")
            except RunError as error:
                errors.append(error)

        with locked(tmp_path / "r", None):
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()
        assert "is in use by process" in str(errors[0])
        # Shards go beside each other, but not beside themselves or a whole run.
        with locked(tmp_path / "r", (1, 2)), locked(tmp_path / "r", (2, 2)):
            for shard in (None, (1, 2)):
                with pytest.raises(RunError, match="in use"), locked(tmp_path / "r", shard):
                    pass

    def test_damaged_records_are_set_aside_and_done_again(self, tmp_path: Path) -> None:
        plan = load_plan(plan_file(tmp_path, NAPS.format(count=6, seconds=0.0, wall=20)))
        folder = tmp_path / "r"
        run(plan, folder)
        paths = sorted((folder / "cells").glob("*.json"))
        good = [path.read_text(encoding="utf-8") for path in paths]
        paths[0].write_text(good[0][:100], encoding="utf-8")
        paths[1].write_text("", encoding="utf-8")
        paths[2].write_text(good[3], encoding="utf-8")
        paths[3].write_text(good[3].replace('"schema":2', '"schema":9'), encoding="utf-8")
        paths[4].write_text(json.dumps([1]), encoding="utf-8")
        wrong = {
            paths[0].name: "no JSON",
            paths[1].name: "the file is empty",
            paths[2].name: "does not belong to its name",
            paths[3].name: "schema version 9; this release reads version 2",
            paths[4].name: "not list",
        }
        damaged = status(folder).damaged
        assert len(damaged) == 5
        results = load(folder)
        assert len(results.cells) == 1
        assert results.missing == 5
        assert sum("left out" in note for note in results.notes) == 5
        found = run(plan, folder)
        assert found.ok
        assert found.counts == Counter(optimal=6)
        for name, reason in wrong.items():
            assert any(name in note and reason in note for note in found.notes)
            assert (folder / "set_aside" / "cells" / name).exists()
        notes = status(folder).set_aside
        assert {Path(note["file"]).name for note in notes} == set(wrong)
        assert (folder / "set_aside" / "cells" / paths[2].name).read_text() == good[3]

    def test_values_of_a_wrong_type_are_damage(self, tmp_path: Path) -> None:
        plan = load_plan(plan_file(tmp_path, NAPS.format(count=5, seconds=0.0, wall=20)))
        folder = tmp_path / "r"
        run(plan, folder)
        paths = sorted((folder / "cells").glob("*.json"))
        changes: list[tuple[str, str, Any]] = [
            ("result", "objective", {"a": 1}),
            ("result", "total_s", "soon"),
            ("process", "seconds", [1]),
            ("labels", "seed", 0.5),
        ]
        for path, (part, name, value) in zip(paths, changes, strict=False):
            record = json.loads(path.read_text(encoding="utf-8"))
            record[part][name] = value
            path.write_text(json.dumps(record), encoding="utf-8")
        assert len(status(folder).damaged) == 4
        results = load(folder)
        assert (len(results.cells), results.missing) == (1, 4)
        for path, (part, name, _) in zip(paths, changes, strict=False):
            assert any(path.name in n and f"{part}.{name} must be" in n for n in results.notes)
        found = run(plan, folder)
        assert found.counts == Counter(optimal=5)
        assert found.kept == 2
        assert {Path(n["file"]).name for n in status(folder).set_aside} == {
            path.name for path in paths[:4]
        }
        assert len(load(folder).cells) == 5


def test_outlook_writes_nothing(tmp_path: Path) -> None:
    plan = load_plan(plan_file(tmp_path, NAPS.format(count=4, seconds=0.0, wall=20)))
    ahead = outlook(plan, tmp_path / "r", jobs=2)
    assert ahead.tasks == {"network": 1, "mask": 0, "cost": 0, "solve": 4}
    assert ahead.most_seconds == 4 * 5 / 2
    assert ahead.likely_seconds is None
    assert not (tmp_path / "r").exists()


def test_status_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no plan\.json"):
        status(tmp_path)


def test_interrupt_in_a_search_is_no_answer(tmp_path: Path) -> None:
    """A search answers Ctrl-C with what it knows; the cell must not be recorded for it."""
    from mipnet.bench.problems.base import interrupt_if

    del tmp_path
    with pytest.raises(KeyboardInterrupt):
        interrupt_if("interrupted")
    interrupt_if("time limit reached")
