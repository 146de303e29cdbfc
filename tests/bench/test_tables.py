"""Tables: what records become, what only the whole can tell, and tables of other versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mipnet.bench import StoreError, compare, load
from mipnet.bench.comparison import Comparison
from mipnet.bench.demo_files import write_demo
from mipnet.bench.demo_records import DemoNetwork, DemoResult, DemoRow, DemoSettings
from mipnet.bench.store.collect import gather
from mipnet.bench.store.schema import CELLS, SCHEMA, TABLES
from mipnet.bench.store.tables import METADATA, Results, collect
from mipnet.bench.tasks import Task
from mipnet.cli import main

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
parquet = pytest.importorskip("pyarrow.parquet")

NOTHING = {"seconds": 0.5, "peak_memory_mb": 50.0, "user_s": 0.4, "system_s": 0.1}


def store(folder: Path, task: Task, status: str = "optimal", **parts: Any) -> None:
    """Write a record as a worker does."""
    record = {
        "schema": SCHEMA,
        "id": task.id,
        "pair": task.pair,
        "kind": task.kind,
        "key": task.key,
        "labels": task.labels,
        "status": status,
        "reason": "",
        "result": {},
        "trajectory": {},
        "process": NOTHING,
        "run": {"id": "r", "jobs": 1, "machine": {"node": "n", "cpu": "c"}, "calibration_s": 0.1},
        **parts,
    }
    place = folder / task.folder
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{task.id}.json").write_text(json.dumps(record), encoding="utf-8")


NETWORK = Task.make("network", {"file": "f", "data": "d"}, labels={"network": "net"})
MASK = Task.make(
    "mask",
    {"method": "magnitude", "keep": 0.5, "options": {"norm": "l2"}, "finetune": {}, "data": "d"},
    needs={"network": NETWORK},
    labels={"network": "net", "method": "magnitude", "keep": 0.5, "mask_seed": 0},
)


def cell(seed: int = 0, subject: Task = NETWORK, number: int = 0, version: str = "1") -> Task:
    needs = {"network": subject}
    if subject is MASK:
        needs["original"] = NETWORK
    return Task.make(
        "solve",
        {
            "problem": {"kind": "maximize"},
            "instance": {"number": number},
            "files": {},
            "data": "d",
            "solver": {"name": "highs", "profile": "auto", "options": {}},
            "threads": 1,
            "seed": seed,
            "time_limit": 10.0,
            "wall": 42.0,
            "memory_mb": 4096,
        },
        needs=needs,
        versions={"mipnet": version, "highs": "1.15.1"},
        labels={
            **subject.labels,
            "kind": "maximize",
            "problem": "top",
            "instance": f"number {number}",
            "formulation": "big_m",
            "bounds": "lp",
            "solver": "highs",
            "seed": seed,
        },
    )


def answer(value: float, seconds: float = 1.0, **others: Any) -> dict[str, Any]:
    return {
        "goal": "maximise",
        "objective": value,
        "bound": value,
        "original_value": value,
        "total_s": seconds,
        "method": "mip",
        **others,
    }


def folder_of(place: Path, tasks: list[Task], name: str = "p") -> Path:
    place.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, list[str]] = {"network": [], "mask": [], "cost": [], "solve": []}
    for task in (NETWORK, MASK, *tasks):
        kinds[task.kind].append(task.id)
    plan = {"schema": SCHEMA, "name": name, "tasks": kinds, "arrays": []}
    plan["pairs"] = [task.pair for task in tasks if task.kind == "solve"]
    (place / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    store(place, NETWORK, result={"units": 8, "accuracy": 0.9, "file": None})
    store(place, MASK, result={"units": 4, "accuracy": 0.8, "keep_reached": 0.5, "prune_s": 0.2})
    return place


class TestCells:
    def test_columns_of_a_cell(self, tmp_path: Path) -> None:
        task = cell(subject=MASK)
        folder = folder_of(tmp_path, [task])
        path = {
            "solve": [0, 0, 0],
            "seconds": [0.5, 1.0, 1.5],
            "incumbent": [None, 1.0, 2.0],
            "bound": [4.0, 4.0, 2.0],
            "nodes": [0, 1, 3],
        }
        store(folder, task, result=answer(2.0, 2.0), trajectory=path)
        results = load(folder)
        (row,) = results.cells.to_dict("records")
        assert row["cell"] == task.id
        assert (row["network"], row["method"], row["keep"]) == ("net", "magnitude", 0.5)
        assert row["pruning"] == "magnitude 0.5 norm=l2 tuned"
        assert (row["units"], row["units_before"]) == (4, 8)
        assert (row["accuracy"], row["accuracy_dense"]) == (0.8, 0.9)
        assert (row["decided_by"], row["solved"], row["gap"]) == ("mip", True, 0.0)
        assert (row["solver_version"], row["time_limit"]) == ("highs 1.15.1", 10.0)
        # Nothing for 1 s, half the optimum for 0.5 s.
        assert row["primal_integral"] == pytest.approx(1.25)
        # Nothing known for 1 s, incumbent 1 under bound 4 for 0.5 s.
        assert row["primal_dual_integral"] == pytest.approx(1.0 + 0.75 * 0.5)
        assert (row["first_s"], row["best_s"]) == (1.0, 1.5)
        assert list(results.trajectories["incumbent"].dropna()) == [1.0, 2.0]
        assert [c.name for c in CELLS] == list(results.cells.columns)
        assert all(column.meaning.endswith(".") for t in TABLES.values() for column in t)

    def test_cells_that_contradict_each_other(self, tmp_path: Path) -> None:
        tasks = [cell(seed) for seed in (0, 1)] + [cell(number=1)]
        folder = folder_of(tmp_path, tasks)
        for task, value in zip(tasks, (2.0, 2.5, 7.0), strict=True):
            store(folder, task, result=answer(value))
        results = load(folder)
        by_cell = results.cells.set_index("cell")
        for task in tasks[:2]:
            assert by_cell.loc[task.id, "status"] == "inconsistent"
            assert by_cell.loc[task.id, "status_cell"] == "optimal"
            assert not by_cell.loc[task.id, "solved"]
            assert "beats the proven bound" in by_cell.loc[task.id, "reason"]
        assert by_cell.loc[tasks[2].id, "status"] == "optimal"
        assert any(n.startswith("inconsistent: net dense, top, number 0") for n in results.notes)

    def test_pruned_networks_are_other_questions(self, tmp_path: Path) -> None:
        """Different optima of dense and pruned network are no contradiction, but a regret."""
        tasks = [cell(), cell(subject=MASK)]
        folder = folder_of(tmp_path, tasks)
        store(folder, tasks[0], result=answer(5.0))
        store(folder, tasks[1], result=answer(6.0, original_value=4.0))
        found = load(folder).cells.set_index("method")
        assert set(found["status"]) == {"optimal"}
        assert found["question"].nunique() == 1
        assert found["subject"].nunique() == 2
        assert found.loc["dense", "regret"] == 0.0
        assert found.loc["magnitude", "regret"] == 1.0

    def test_an_answer_beats_a_failure_of_another_shard(self, tmp_path: Path) -> None:
        task = cell()
        folders = [folder_of(tmp_path / name, [task]) for name in "ab"]
        store(folders[0], task, "error", reason="bad luck")
        store(folders[1], task, result=answer(1.0))
        for order in (folders, folders[::-1]):
            assert collect(order, tmp_path / "t").cells["status"].tolist() == ["optimal"]
        other = folder_of(tmp_path / "c", [task], name="other")
        with pytest.raises(StoreError, match="results of different plans"):
            gather([folders[0], other])


class TestFiles:
    def test_tables_are_read_until_records_change(self, tmp_path: Path) -> None:
        tasks = [cell(0), cell(1)]
        folder = folder_of(tmp_path, tasks)
        store(folder, tasks[0], result=answer(1.0))
        first = collect([folder])
        assert (len(first.cells), first.missing) == (1, 1)
        again = load(folder)
        assert again.cells.equals(first.cells)
        assert again.missing == 1
        store(folder, tasks[1], result=answer(1.0))
        assert len(load(folder).cells) == 2
        about = json.loads(parquet.read_schema(folder / "cells.parquet").metadata[METADATA])
        assert about["schema"] == SCHEMA
        assert about["plan"]["name"] == "p"

    def test_tables_that_lack_columns(self, tmp_path: Path) -> None:
        """A table written before a column existed is read, with missing values."""
        folder = folder_of(tmp_path / "r", [cell()])
        store(folder, cell(), result=answer(1.0))
        collect([folder], tmp_path / "t")
        path = tmp_path / "t" / "cells.parquet"
        table = parquet.read_table(path)
        parquet.write_table(
            table.drop_columns(["regret", "peak_memory_mb", "jobs", "solved"]), path
        )
        found = load(tmp_path / "t").cells
        assert list(found.columns) == [c.name for c in CELLS]
        assert found[["regret", "peak_memory_mb", "jobs"]].isna().all(axis=None)
        assert found["jobs"].dtype == "Int64"
        # What follows from other columns is filled in.
        assert found["solved"].tolist() == [True]
        assert compare(load(tmp_path / "t"), load(tmp_path / "t")).ok

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"schema": 99}, "schema version 99, this release reads up to"),
            ({}, "names no schema version"),
        ],
    )
    def test_tables_nobody_can_read(
        self, tmp_path: Path, change: dict[str, int], message: str
    ) -> None:
        table = pa.table({"cell": ["x"]})
        table = table.replace_schema_metadata({METADATA: json.dumps(change).encode()})
        parquet.write_table(table, tmp_path / "cells.parquet")
        with pytest.raises(StoreError, match=message):
            load(tmp_path)
        (tmp_path / "cells.parquet").write_bytes(b"PAR1 and no more")
        with pytest.raises(StoreError, match="no readable table"):
            load(tmp_path)

    def test_folders_without_results(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="holds no results"):
            load(tmp_path)
        (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
        with pytest.raises(StoreError, match="no plan of mipnet bench"):
            load(tmp_path)

    def test_schema_version_1_is_the_demo(self, tmp_path: Path) -> None:
        from mipnet.network.readers import load as load_network

        network = load_network(([np.eye(2), np.eye(2)], [np.zeros(2), np.zeros(2)]))
        common: dict[str, Any] = {"network": network, "hidden": 2, "train_s": 1.0, "prune_s": 0.1}
        dense = DemoNetwork("2x2-dense", "2x2-dense", file="a.npz", test_accuracy=0.9, **common)
        small = DemoNetwork("2x2-pruned75", "2x2-dense", file="b.npz", test_accuracy=0.8, **common)
        row: dict[str, Any] = {
            **dict.fromkeys(("attack_s", "bound_s", "build_s", "solve_s", "check_s"), 0.1),
            "total_s": 0.6,
            "fingerprint": "f",
            "image": 3,
            "label": 1,
            "norm": "l1",
            "radius": 0.7,
            "domain_lower": 0.0,
            "domain_upper": 1.0,
            "method": "mip",
            "reason": "",
            "bound": -0.5,
            "n_unstable": 4,
            "n_binaries": 4,
            "nodes": 7,
            "solver": "HiGHS 1.15.1",
            "seed": 0,
        }
        robust = DemoRow(
            network="2x2-dense", network_file="a.npz", verdict="robust", predicted=None,
            margin=None, witness=None, **row,
        )  # fmt: skip
        witness = DemoRow(
            network="2x2-pruned75", network_file="b.npz", verdict="witness", predicted=2,
            margin=0.25, witness=(0.5, 0.75), **row,
        )  # fmt: skip
        write_demo(DemoResult(DemoSettings(), (dense, small), (robust, witness), (), 1.0), tmp_path)
        found = load(tmp_path)
        assert found.schema == 1
        cells = found.cells.set_index("method")
        assert list(found.cells.columns) == [c.name for c in CELLS]
        assert cells["status"].to_dict() == {"dense": "infeasible", "magnitude": "optimal"}
        assert cells.loc["magnitude", "keep"] == pytest.approx(0.25)
        assert list(cells.loc["magnitude", "point"]) == [0.5, 0.75]
        assert cells.loc["dense", "nodes"] == 7
        assert cells["question"].nunique() == 1
        assert len(found.artefacts) == 2
        (tmp_path / "settings.json").write_text('{"format": 5}', encoding="utf-8")
        with pytest.raises(StoreError, match="format 5"):
            load(tmp_path)

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            ({"result": answer(1.0, nodes=2.5)}, "result.nodes must be a whole number, not 2.5"),
            ({"result": answer(1.0, nodes=10**30)}, "result.nodes must be a whole number"),
            ({"result": answer(float("inf"))}, "result.objective must be a finite number, not inf"),
            ({"result": answer(1.0, point=[0.0, None])}, "result.point must be a list of finite"),
            ({"result": answer(1.0, method=3)}, "result.method must be a string, not 3"),
            ({"process": {}}, "process.seconds is missing"),
            ({"run": {"machine": [1]}}, "run.machine must be a table"),
            ({"run": {"load": True}}, "run.load must be a finite number, not True"),
            ({"trajectory": {"seconds": 3}}, "trajectory.seconds must be a list"),
            ({"trajectory": {"seconds": [None]}}, "trajectory.seconds must hold a finite number"),
            ({"trajectory": {"seconds": [1.0], "bound": []}}, "differ in length"),
        ],
    )
    def test_values_that_fit_no_column_are_left_out_by_name(
        self, tmp_path: Path, parts: dict[str, Any], message: str
    ) -> None:
        tasks = [cell(0), cell(1)]
        folder = folder_of(tmp_path, tasks)
        store(folder, tasks[0], result=answer(1.0))
        store(folder, tasks[1], **parts)
        assert len(load(folder).cells) == 1
        found = collect([folder])
        assert found.cells["cell"].tolist() == [tasks[0].id]
        assert found.missing == 1
        (note,) = found.notes
        assert tasks[1].id in note
        assert message in note

    def test_a_killed_cell_with_a_trajectory_beside_an_answer(self, tmp_path: Path) -> None:
        tasks = [cell(0), cell(1)]
        folder = folder_of(tmp_path, tasks)
        path = {"seconds": [0.5], "incumbent": [1.0], "bound": [2.0], "solve": [0], "nodes": [1]}
        store(folder, tasks[0], result=answer(2.0), trajectory=path)
        store(folder, tasks[1], "killed", trajectory=path)
        found = load(folder).cells.set_index("status")["primal_integral"]
        assert found["optimal"] == pytest.approx(0.75)
        assert np.isnan(found["killed"])

    def test_a_killed_cell_turns_no_witnesses_into_optima(self, tmp_path: Path) -> None:
        tasks = [cell(0), cell(1), cell(2)]
        folder = folder_of(tmp_path, tasks)
        path = {"seconds": [0.5], "incumbent": [1.0], "bound": [2.0], "solve": [0], "nodes": [1]}
        store(folder, tasks[0], "killed")
        for task, margin in zip(tasks[1:], (1.0, 2.0), strict=True):
            found = {**answer(margin), "goal": "decide"}
            store(folder, task, result=found, trajectory=path)
        cells = load(folder).cells
        assert sorted(cells["status"]) == ["killed", "optimal", "optimal"]
        assert cells["primal_integral"].isna().all()

    @pytest.mark.parametrize(
        ("run", "message"),
        [
            ([1], "a run is a JSON object, not list"),
            ({"versions": {"numpy": 2}}, "run.versions.numpy must be a string, not 2"),
            ({"repository": "here"}, "run.repository must be a table"),
        ],
    )
    def test_damaged_runs_cost_no_cells(self, tmp_path: Path, run: Any, message: str) -> None:
        folder = folder_of(tmp_path, [cell()])
        store(folder, cell(), result=answer(1.0))
        (folder / "runs").mkdir()
        (folder / "runs" / "r.json").write_text(json.dumps(run), encoding="utf-8")
        found = load(folder)
        assert len(found.cells) == 1
        assert any("r.json" in note and message in note for note in found.notes)


class TestCompare:
    @staticmethod
    def run_of(place: Path, version: str, rows: dict[tuple[int, int], Any]) -> Results:
        """A run in which cell (instance, seed) took some seconds and found some value."""
        tasks = {key: cell(key[1], number=key[0], version=version) for key in rows}
        folder = folder_of(place, list(tasks.values()))
        for key, (seconds, value, status) in rows.items():
            store(folder, tasks[key], status, result=answer(value, seconds))
        return load(folder)

    def both(self, tmp_path: Path, first: Any, second: Any, **options: Any) -> Comparison:
        a = self.run_of(tmp_path / "a", "1", first)
        b = self.run_of(tmp_path / "b", "2", second)
        return compare(a, b, shift=0.0, **options)

    def test_twice_as_slow(self, tmp_path: Path) -> None:
        first = {(i, s): (1.0 + i, 1.0, "optimal") for i in range(6) for s in range(2)}
        second = {key: (2.0 * t, v, status) for key, (t, v, status) in first.items()}
        found = self.both(tmp_path, first, second)
        assert found.whole.ratio.ratio == pytest.approx(2.0)
        assert found.whole.ratio.pairs == 12
        assert (found.whole.wins, found.whole.ties, found.whole.losses) == (0, 0, 12)
        assert found.slower
        assert not found.ok
        assert not found.dropped
        back = compare(load(tmp_path / "b"), load(tmp_path / "a"), shift=0.0)
        assert back.whole.ratio.ratio == pytest.approx(0.5)
        assert back.ok

    def test_noise_is_not_slower(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        first = {(i, 0): (float(rng.lognormal()), 1.0, "optimal") for i in range(12)}
        second = {
            key: (t * float(rng.lognormal(0.15, 1.0)), v, s) for key, (t, v, s) in first.items()
        }
        found = self.both(tmp_path, first, second, threshold=1.0)
        assert found.whole.ratio.low < 1.0 < found.whole.ratio.high
        assert found.ok

    def test_what_is_left_out_and_why(self, tmp_path: Path) -> None:
        first = {
            (0, 0): (1.0, 1.0, "optimal"),
            (1, 0): (9.0, 1.0, "feasible-limit"),
            (2, 0): (9.9, 1.0, "feasible-limit"),
            (3, 0): (1.0, 1.0, "error"),
            (4, 0): (1.0, 1.0, "optimal"),
        }
        second = {
            (0, 0): (1.0, 1.0, "optimal"),
            (1, 0): (5.0, 1.0, "optimal"),
            (2, 0): (9.9, 1.0, "feasible-limit"),
            (3, 0): (1.0, 1.0, "optimal"),
            (5, 0): (1.0, 1.0, "optimal"),
        }
        found = self.both(tmp_path, first, second)
        assert found.whole.ratio.pairs == 2
        # One met its limit of 10 s and counts with it: sqrt(1 * 0.5).
        assert found.whole.ratio.ratio == pytest.approx(np.sqrt(0.5))
        assert found.whole.censored == 1
        assert found.solved == (0, 1)
        assert found.dropped == {
            "only in the first": 1,
            "only in the second": 1,
            "failed in the first only": 1,
            "solved by neither": 1,
        }

    def test_changed_answers_do_not_pass(self, tmp_path: Path) -> None:
        first = {(i, 0): (1.0, 1.0, "optimal") for i in range(3)}
        second = {**first, (1, 0): (0.1, 1.5, "optimal")}
        found = self.both(tmp_path, first, second)
        assert not found.slower
        assert not found.ok
        assert len(found.changed) == 1
        assert "number 1" in found.changed[0]

    @pytest.mark.parametrize("status", ["error", "killed", "memory", "inconsistent"])
    def test_a_run_that_fails_does_not_pass(self, tmp_path: Path, status: str) -> None:
        first = {(i, 0): (1.0, 1.0, "optimal") for i in range(3)}
        found = self.both(tmp_path, first, {**first, (1, 0): (0.1, 1.0, status)})
        assert not found.slower
        assert not found.ok
        assert len(found.broken) == 1
        assert "number 1" in found.broken[0]
        assert "1 cell(s) failed in B and not in A" in found.verdict("A", "B")
        a, b = load(tmp_path / "a"), load(tmp_path / "b")
        assert compare(a, b, allow_failed=True).ok
        assert compare(b, a).ok
        assert compare(b, a).dropped == {"failed in the first only": 1}

    def test_cells_that_are_missing_do_not_pass(self, tmp_path: Path) -> None:
        first = {(i, 0): (1.0, 1.0, "optimal") for i in range(3)}
        self.run_of(tmp_path / "a", "1", first)
        for gone in (1, 3):
            folder = tmp_path / f"b{gone}"
            self.run_of(folder, "2", first)
            for path in sorted((folder / "cells").glob("*.json"))[:gone]:
                path.unlink()
            found = compare(load(tmp_path / "a"), load(folder))
            assert len(found.lost) == gone
            assert not found.ok
            assert found.empty == (gone == 3)
            assert compare(load(folder), load(tmp_path / "a")).lost == () if gone == 1 else True
        shown = CliRunner().invoke(
            main, ["bench", "compare", str(tmp_path / "a"), str(tmp_path / "b1")]
        )
        assert shown.exit_code == 1
        assert "1 cell(s) of A are missing in B" in shown.output
        assert shown.output.count("lost: ") == 1
        allowed = ["bench", "compare", "--allow-failed", str(tmp_path / "a"), str(tmp_path / "b1")]
        assert CliRunner().invoke(main, allowed).exit_code == 0

    def test_nothing_comparable_is_no_pass(self, tmp_path: Path) -> None:
        first = {(i, 0): (9.9, 1.0, "feasible-limit") for i in range(3)}
        found = self.both(tmp_path, first, first, allow_failed=True)
        assert found.empty
        assert not found.ok
        assert "nothing to compare" in found.verdict("A", "B")
        assert "slower" not in found.verdict("A", "B")

    def test_nothing_in_common(self, tmp_path: Path) -> None:
        first, second = {(0, 0): (1.0, 1.0, "optimal")}, {(1, 0): (1.0, 1.0, "optimal")}
        with pytest.raises(StoreError, match="no cell in common"):
            self.both(tmp_path, first, second)
        a = load(tmp_path / "a")
        with pytest.raises(StoreError, match="unknown metric 'speed'"):
            compare(a, a, metric="speed")
