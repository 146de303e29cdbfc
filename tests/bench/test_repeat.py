"""One cell asked again from its record."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from bench_cases import bench, plan_file, records, tiny

from mipnet.bench import StoreError, load_plan, repeat_cell, run

PLAN = """
[plan]
name = "again"
[networks.tiny]
file = "tiny.npz"
data = "digits"
[[problems]]
kind = "maximize"
radius = 0.1
items = 1
[solve]
bounds = "interval"
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("again")
    tiny(folder / "tiny.npz", widths=(64, 8, 10))
    assert run(load_plan(plan_file(folder, PLAN)), folder / "r").ok
    return folder / "r"


def test_the_same_answer_and_nothing_changed(results: Path) -> None:
    (cell,) = records(results)
    before = {p: p.read_bytes() for p in results.rglob("*") if p.is_file()}
    log = io.StringIO()
    found = repeat_cell(results, cell[:6], log=log)
    assert found.now["status"] == found.before["status"] == "optimal"
    assert found.now["objective"] == found.before["objective"]
    assert found.contradiction == ""
    assert bool(log.getvalue()) == (found.now["solves"] > 0)
    assert {p: p.read_bytes() for p in results.rglob("*") if p.is_file()} == before


def test_a_record_that_cannot_be_right_is_shown(results: Path, tmp_path: Path) -> None:
    (cell,) = records(results)
    path = results / "cells" / f"{cell}.json"
    kept = path.read_bytes()
    record = json.loads(kept)
    record["result"]["objective"] -= 5.0
    record["result"]["bound"] = record["result"]["objective"]
    path.write_text(json.dumps(record), encoding="utf-8")
    try:
        done = bench("repeat", results, cell, "--quiet", "--json")
    finally:
        path.write_bytes(kept)
    assert done.returncode == 1
    assert "beats the proven bound" in json.loads(done.stdout)["contradiction"]


def test_unknown_cells_are_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no cell begins with 'ffffffffff0'"):
        repeat_cell(results, "ffffffffff0")
    with pytest.raises(StoreError, match="no identity of a cell"):
        repeat_cell(results, "../cells/*")
    with pytest.raises(StoreError, match="no results folder"):
        repeat_cell(tmp_path, "abc")
