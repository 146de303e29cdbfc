"""Results folders after accidents: what is damaged is named, and costs nothing that is whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bench_cases import NAPS, plan_file, records, tiny
from click.testing import CliRunner

from mipnet.bench import StoreError, build_report, collect, compare, load, run, status
from mipnet.bench.errors import DamagedError
from mipnet.bench.following import follow
from mipnet.bench.provenance import node
from mipnet.bench.store.folder import read_plan
from mipnet.bench.store.markers import RUNNING
from mipnet.cli import main

pytestmark = pytest.mark.usefixtures("faulty", "nursery")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, nursery: None) -> Path:
    """A plan beside its results: three cells, all done."""
    del nursery
    place = tmp_path_factory.mktemp("finished")
    plan = plan_file(place, NAPS.format(count=3, seconds=0.0, wall=20))
    assert run(plan, place / "r").ok
    collect([place / "r"])
    return place


@pytest.fixture
def place(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that may be spoilt."""
    return Path(shutil.copytree(finished, tmp_path / "p"))


REAL = """
[plan]
name = "real"
[networks.tiny]
file = "tiny.npz"
data = "wine"
[[masks]]
method = "magnitude"
keep = 0.5
[[problems]]
kind = "adversarial"
radius = 0.2
items = 2
[[problems]]
kind = "maximize"
[[hardware]]
array = "4x4"
[limits]
time = 10
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, nursery: None) -> Path:
    """Results with one of everything."""
    del nursery
    place = tmp_path_factory.mktemp("real")
    tiny(place / "tiny.npz", widths=(13, 6, 6, 3))
    assert run(plan_file(place, REAL), place / "r").ok
    return place / "r"


@pytest.fixture
def whole(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of them that may be spoilt."""
    return Path(shutil.copytree(real, tmp_path_factory.mktemp("whole") / "r"))


def mark(folder: Path, task_id: str, **parts: Any) -> Path:
    """Write a marker as a worker does."""
    about = {"pid": os.getpid(), "node": node(), "started": "2024-01-01T00:00:00Z", "name": task_id}
    (folder / RUNNING).mkdir(exist_ok=True)
    path = folder / RUNNING / f"{task_id}.json"
    path.write_text(json.dumps(about | parts), encoding="utf-8")
    return path


def dead() -> int:
    """Number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


class TestMarkers:
    def test_only_processes_that_are_there_are_at_work(self, place: Path) -> None:
        folder = place / "r"
        ids = sorted(records(folder))
        (folder / "cells" / f"{ids[0]}.json").unlink()
        mark(folder, "alive")
        mark(folder, "elsewhere", node="another", pid=dead())
        mark(folder, ids[0], pid=dead())
        # It died between the record and the end of its marker.
        mark(folder, ids[1], pid=dead())
        (folder / RUNNING / "odd.json").write_text("[1]", encoding="utf-8")
        mark(folder, "older", pid="many")
        found = status(folder)
        assert {m["id"] for m in found.running} == {"alive", "elsewhere"}
        assert [m["id"] for m in found.interrupted] == [ids[0]]
        assert found.missing["solve"] == 1
        assert any("odd.json: a marker is a JSON object" in line for line in found.damaged)
        assert any("older.json: 'pid' is missing" in line for line in found.damaged)
        shown = CliRunner().invoke(main, ["bench", "status", str(folder)])
        assert shown.exit_code == 0
        assert shown.output.count("running since") == 2
        assert f"interrupted, waiting to be done again: {ids[0]}" in shown.output

    def test_a_run_clears_them_away(self, place: Path) -> None:
        folder = place / "r"
        ids = sorted(records(folder))
        (folder / "cells" / f"{ids[0]}.json").unlink()
        for task_id in ids[:2]:
            mark(folder, task_id, pid=dead())
        (folder / RUNNING / "odd.json").write_text("{", encoding="utf-8")
        done = run(place / "plan.toml", folder)
        assert done.counts == Counter(optimal=3)
        assert [n for n in done.notes if "cut off" in n] == [
            f"{ids[0]} was cut off and is done again"
        ]
        assert any("odd.json set aside" in n for n in done.notes)
        assert not list((folder / RUNNING).iterdir())

    def test_nobody_waits_for_a_dead_runner(self, place: Path) -> None:
        mark(place / "r", "gone", pid=dead())
        assert list(follow(place / "r", patience=0.0)) == []


PLANS: list[tuple[Any, str]] = [
    ("", "the file is empty"),
    ('{"schema": 2, "na', "no JSON"),
    ([], "it must be a JSON object, not list"),
    ({"name": None}, "'name' is missing or no string"),
    ({"schema": "2"}, "'schema' is missing or no whole number"),
    ({"tasks": [1]}, "'tasks' is missing or no table of network, mask, cost, solve"),
    ({"tasks": {"solve": []}}, "'tasks' is missing or no table"),
    ({"arrays": {"a": 1}}, "'arrays' is no list of tables"),
    ({"arrays": [3]}, "'arrays' is no list of tables"),
    ("ids", "'tasks.solve' is no list of strings"),
]


class TestPlan:
    @pytest.mark.parametrize(("change", "words"), PLANS)
    def test_a_damaged_plan_is_named_and_made_anew(
        self, place: Path, change: Any, words: str
    ) -> None:
        folder = place / "r"
        path = folder / "plan.json"
        known = json.loads(path.read_text(encoding="utf-8"))
        if change == "ids":
            change = {"tasks": {**known["tasks"], "solve": [1, 2]}}
        written = {**known, **change} if isinstance(change, dict) else change
        text = written if isinstance(written, str) else json.dumps(written)
        path.write_text(text, encoding="utf-8")
        for ask in (read_plan, status, load, lambda f: collect([f]), build_report):
            with pytest.raises(DamagedError) as caught:
                ask(folder)
            for part in (str(path), words, "run the plan again in this folder"):
                assert part in str(caught.value)
        before = {i: r["run"]["id"] for i, r in records(folder).items()}
        done = run(place / "plan.toml", folder)
        assert done.kept == 4
        assert any("plan.json set aside" in note and words in note for note in done.notes)
        assert {i: r["run"]["id"] for i, r in records(folder).items()} == before
        assert status(folder).missing["solve"] == 0
        assert len(load(folder).cells) == 3

    def test_a_plan_of_another_release_stays(self, place: Path) -> None:
        path = place / "r" / "plan.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 9}), encoding="utf-8")
        with pytest.raises(StoreError, match="schema version 9; this release reads 2"):
            run(place / "plan.toml", place / "r")

    def test_a_damaged_plan_of_another_is_not_taken_over(self, place: Path) -> None:
        (place / "r" / "plan.json").write_text("", encoding="utf-8")
        other = (place / "plan.toml").read_text(encoding="utf-8").replace('"naps"', '"other"')
        with pytest.raises(DamagedError, match="the file is empty"):
            run(plan_file(place, other, "other.toml"), place / "r")

    def test_a_plan_that_is_gone(self, place: Path) -> None:
        (place / "r" / "plan.json").unlink()
        done = run(place / "plan.toml", place / "r")
        assert (done.kept, done.notes) == (4, ["plan.json was gone and is made anew"])


class TestRecords:
    def test_no_record_is_believed_unchecked(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also not those that come while nobody listens any more."""
        from mipnet.bench.runner.engine import Engine

        folder = place / "r"
        paths = sorted((folder / "cells").glob("*.json"))
        texts = [path.read_text(encoding="utf-8") for path in paths]
        for path in paths:
            path.unlink()

        def broken(self: Engine, orders: object) -> Any:
            paths[0].write_text(texts[0], encoding="utf-8")
            paths[1].write_text(texts[1].replace('"optimal"', "[3]"), encoding="utf-8")
            paths[2].write_text(texts[1], encoding="utf-8")
            raise KeyboardInterrupt

        monkeypatch.setattr(Engine, "execute", broken)
        done = run(place / "plan.toml", folder)
        assert (done.counts, done.missing) == (Counter(optimal=1), 2)

    def test_networks_and_data_that_are_gone_are_made_again(self, tmp_path: Path) -> None:
        tiny(tmp_path / "tiny.npz", widths=(13, 5, 3))
        text = """
[networks.tiny]
file = "tiny.npz"
data = "wine"
[[masks]]
method = "random"
keep = 0.5
[[problems]]
kind = "nap"
"""
        plan = plan_file(tmp_path, text)
        folder = tmp_path / "r"
        assert run(plan, folder).ok
        (mask,) = folder.glob("artefacts/*/mask.safetensors")
        mask.unlink()
        (about,) = folder.glob("data/*/about.json")
        about.write_text("[]", encoding="utf-8")
        done = run(plan, folder)
        assert done.ok
        assert mask.is_file()
        assert any("mask.safetensors of mask tiny random" in note for note in done.notes)
        assert any("is written again" in note for note in done.notes)
        assert json.loads(about.read_text(encoding="utf-8"))["source"] == "wine"
        (about.parent / "targets.npy").write_bytes(b"")
        assert any("is written again" in note for note in run(plan, folder).notes)
        assert run(plan, folder).notes == []


#: A file that needs nothing but itself: what a crash, or an editor, leaves of it.
CUT = (b"", b"\xff\xfe", b"null", b"[1]", b'"x"', b"NaN", b"[" * 100_000)
#: Values of a wrong type for any part of a record.
WRONG: tuple[Any, ...] = (None, [1], {"a": [None]}, 10**40, True)


def everything(folder: Path, *, report: bool = True) -> tuple[list[str], int]:
    """Ask a folder all there is to ask: what it says, and how many cells it has."""
    said = list(status(folder).damaged)
    results = load(folder)
    said += results.notes
    if report:
        build_report(results)
        compare(results, results)
    return said, len(results.cells)


class TestEveryFile:
    def test_cut_short(self, whole: Path) -> None:
        for path in sorted(whole.rglob("*.json")):
            if path.name in {"plan.json", "about.json"}:
                continue
            content = path.read_bytes()
            for cut in (*CUT, content[: len(content) // 2]):
                path.write_bytes(cut)
                said, _ = everything(whole)
                assert any(path.name in line for line in said), (path, cut[:20])
            path.write_bytes(content)
        assert everything(whole) == ([], 6)

    def test_wrong_parts_of_records(self, whole: Path) -> None:
        """Either the record is as good as before, or it is named; never a traceback."""
        kinds: dict[str, Path] = {}
        for name in ("artefacts", "costs", "cells"):
            for path in sorted((whole / name).glob("*.json")):
                kinds.setdefault(json.loads(path.read_bytes())["kind"], path)
        for path in kinds.values():
            content = path.read_bytes()
            record = json.loads(content)
            spoilt: list[dict[str, Any]] = []
            for k, (part, value) in enumerate(record.items()):
                spoilt += [{**record, part: WRONG[i % len(WRONG)]} for i in (k, k + 2)]
                inner = value if isinstance(value, dict) else {}
                for i, name in enumerate(list(inner)[::2]):
                    spoilt.append({**record, part: {**inner, name: WRONG[(k + i) % len(WRONG)]}})
            for k, odd in enumerate(spoilt):
                path.write_text(json.dumps(odd), encoding="utf-8")
                said, cells = everything(whole, report=k % 8 == 0)
                named = any(path.name in line for line in said)
                assert named == (cells < 6) or path.parent.name != "cells", odd
            path.write_bytes(content)

    def test_tables(self, whole: Path, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        collect([whole])
        collect([whole], tmp_path)
        for place in (whole, tmp_path):
            for path in sorted(place.glob("*.parquet")):
                content = path.read_bytes()
                table = parquet.read_table(path)
                for cut in (*CUT[:3], content[: len(content) // 2]):
                    path.write_bytes(cut)
                    self.told(place, path)
                for column in table.column_names[::9]:
                    odd = pa.array([[{"a": 1}]] * len(table))
                    at = table.column_names.index(column)
                    parquet.write_table(table.set_column(at, column, odd), path)
                    self.told(place, path)
                path.write_bytes(content)

    @staticmethod
    def told(place: Path, path: Path) -> None:
        """With the records beside it they are read instead, else the table is refused by name."""
        if (place / "cells").exists():
            said, cells = everything(place, report=False)
            assert any(path.name in line for line in said)
            assert cells == 6
        else:
            with pytest.raises(StoreError, match=path.name):
                load(place)


def test_notes_that_cannot_be_read_are_said(place: Path) -> None:
    folder = place / "r"
    (folder / "set_aside").mkdir()
    path = folder / "set_aside" / "notes.jsonl"
    path.write_bytes(b'{"file": "a", "reason": "b"}\n[1]\n\xff\n{"file": 3}\n')
    found = status(folder).set_aside
    assert [n["reason"][:6] for n in found] == ["b", "line 2", "line 3", "line 4"]
    assert CliRunner().invoke(main, ["bench", "status", str(folder)]).exit_code == 0


def test_compare_and_report_of_a_spoilt_folder(place: Path) -> None:
    first = load(place / "r")
    path = min((place / "r" / "cells").glob("*.json"))
    path.write_text(path.read_text(encoding="utf-8")[:50], encoding="utf-8")
    second = load(place / "r")
    assert (len(first.cells), len(second.cells)) == (3, 2)
    found = compare(first, second)
    assert sum(found.dropped.values()) == 1
    assert any(path.name in note for note in build_report(place / "r").results.notes)
