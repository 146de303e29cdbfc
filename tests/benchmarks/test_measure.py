"""Supervised workers, records that can be resumed, and means."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path

import _measure
import pytest
from _measure import Records, measure_all, shifted_geometric_mean, supervise, table

KEYS = ("net", "seed")


def worker(code: str) -> list[str]:
    return [sys.executable, "-c", f"import json, os, sys, time\n{code}"]


def test_the_mean_is_shifted_and_geometric() -> None:
    assert shifted_geometric_mean([0.0, 3.0]) == pytest.approx(1.0)
    assert shifted_geometric_mean([2.0, 8.0], shift=0.0) == pytest.approx(4.0)
    assert shifted_geometric_mean([5.0]) == pytest.approx(5.0)
    assert math.isnan(shifted_geometric_mean([]))


def test_a_worker_gets_the_request_and_one_thread() -> None:
    code = (
        "request = json.load(sys.stdin); print('chatter of a solver')\n"
        "print(json.dumps({'twice': 2 * request['x'], 'threads': os.environ['OMP_NUM_THREADS']}))"
    )
    assert supervise(worker(code), {"x": 21}, 10.0) == {"twice": 42, "threads": "1"}


@pytest.mark.parametrize("code", ["raise ValueError('no licence')", "print('no answer')"])
def test_a_worker_without_an_answer_is_an_error(code: str) -> None:
    answer = supervise(worker(code), {}, 10.0)
    assert answer["status"] == "error"
    assert "no licence" in answer["detail"] or "exit status 0" in answer["detail"]


@pytest.mark.skipif(sys.platform == "win32", reason="asks for process groups")
def test_a_worker_that_does_not_end_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_measure, "GRACE_SECONDS", 1.0)
    note = tmp_path / "child"
    code = (
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(note)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    start = time.perf_counter()
    answer = supervise(worker(code), {}, 0.5)
    assert answer["status"] == "killed"
    assert time.perf_counter() - start < 30.0
    child = int(note.read_text(encoding="utf-8"))
    for _ in range(100):
        if not alive(child):
            break
        time.sleep(0.05)
    assert not alive(child)


def alive(process: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    status = Path(f"/proc/{process}/stat")
    if Path("/proc/self/stat").exists():
        return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_finished_cells_are_kept_and_errors_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    cells = [{"net": "a", "seed": seed} for seed in range(3)]
    asked: list[int] = []

    def work(cell: dict[str, object]) -> dict[str, object]:
        asked.append(int(str(cell["seed"])))
        return {"status": "error" if cell["seed"] == 1 else "optimal", "seconds": 0.5}

    measure_all(cells, Records(path, KEYS, False, {"limit": 3}), work)
    assert sorted(asked) == [0, 1, 2]
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert first["limit"] == 3
    assert first["environment"]["versions"]["mipnet"]

    resumed = Records(path, KEYS, True, {})
    measure_all(cells, resumed, work)
    assert asked[3:] == [1]
    assert [r["seed"] for r in resumed.of(cells)] == [0, 1, 2]
    assert resumed.of([{"net": "b", "seed": 0}]) == []

    assert Records(path, KEYS, False, {}).found == []
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1


def test_the_order_is_shuffled_and_repeatable(tmp_path: Path) -> None:
    cells = [{"net": "a", "seed": seed} for seed in range(20)]
    orders: list[list[int]] = []
    for name in ("one", "two"):
        seen: list[int] = []

        def work(cell: dict[str, object], seen: list[int] = seen) -> dict[str, object]:
            seen.append(int(str(cell["seed"])))
            return {"status": "optimal"}

        measure_all(cells, Records(tmp_path / name, KEYS, False, {}), work)
        orders.append(seen)
    assert orders[0] == orders[1] != sorted(orders[0])
    assert sorted(orders[0]) == list(range(20))


def test_tables_are_aligned() -> None:
    lines = table(("a", "long"), [("wide cell", "1")]).splitlines()
    assert lines == ["| a         | long |", "| --------- | ---- |", "| wide cell | 1    |"]
