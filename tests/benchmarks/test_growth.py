"""Growing questions end where they break, and their table and plots say so."""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import growth
import pytest
from _measure import Records
from growth import FAMILIES, breaks, decided, lines, plot, report, run_line

KEYS = ("series", "family", "seed", "depth", "width", "radius", "limit", "epochs")


def given(folder: Path, **changes: Any) -> argparse.Namespace:
    plain = {"families": ["friedman"], "seeds": 1, "sizes": None, "epochs": 1, "limit": 5.0}
    return argparse.Namespace(**{**plain, "output": folder, "resume": False, **changes})


def record(**changes: Any) -> dict[str, Any]:
    plain = {"series": "radius", "family": "digits", "seed": 0, "depth": 2, "width": 50}
    result = {"status": "optimal", "seconds": 1.0, "unstable": 10, "limit": 5.0}
    return {**plain, "radius": 0.1, **result, **changes}


def test_lines_grow_in_one_size_only(tmp_path: Path) -> None:
    made = list(lines(given(tmp_path, families=list(FAMILIES), seeds=2)))
    assert len(made) == 8
    for line in made:
        size = "radius" if line[0]["series"] == "radius" else "depth"
        sizes = [cell[size] for cell in line]
        assert sizes == sorted(set(sizes))
        assert len({tuple(v for k, v in cell.items() if k != size) for cell in line}) == 1
        assert all(set(KEYS) <= set(cell) for cell in line)


def test_a_line_ends_after_two_undecided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["optimal", "time_limit", "optimal", "time_limit", "time_limit", "optimal"])
    monkeypatch.setattr(growth, "question", lambda cell, given: {})
    monkeypatch.setattr(
        growth, "supervise", lambda *_: {"status": next(answers), "seconds": 1.0, "unstable": 3}
    )
    options = given(tmp_path)
    line = next(iter(lines(options)))
    records = Records(tmp_path / "growth.jsonl", KEYS, False, {})
    run_line(line, records, options)
    assert [r["status"] == "optimal" for r in records.found] == [True, False, True, False, False]
    # Resumed, it asks nothing again and still knows where it broke.
    run_line(line, Records(tmp_path / "growth.jsonl", KEYS, True, {}), options)
    assert next(answers) == "optimal"


def test_late_answers_are_undecided() -> None:
    assert decided(record(seconds=6.4))
    assert not decided(record(seconds=6.6))
    assert not decided(record(status="time_limit"))
    assert not decided({"status": "killed", "limit": 5.0})


def test_tables_tell_where_it_breaks() -> None:
    found = [record(), record(seed=1, seconds=2.0, unstable=20)]
    found += [record(radius=0.2, unstable=40), record(radius=0.2, seed=1, status="time_limit")]
    rows = [[c.strip() for c in row.strip("|").split("|")] for row in report(found).splitlines()]
    assert rows[2][3:] == ["0.1", "15", "2/2", "2.00", "2.00"]
    assert rows[3][3:] == ["0.2", "25", "1/2", ">5", ">5"]
    row = [c.strip() for c in breaks(found).splitlines()[2].strip("|").split("|")]
    assert row == ["radius", "digits", "40", "10", "0.2", "0.2"]
    killed = {"status": "killed", "detail": "did not end"}
    lost = {k: v for k, v in record(**killed).items() if k not in {"seconds", "unstable"}}
    assert "0/1" in report([lost])


def test_the_script_writes_table_and_networks(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, str(growth.__file__), "--output", str(tmp_path)]
    command += ["--families", "friedman", "--seeds", "1", "--sizes", "1", "--epochs", "1"]
    command += ["--limit", "20", "--no-plots"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "growth.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["series"] for row in rows] == ["radius", "depth"]
    for row in rows:
        assert row["status"] == "optimal"
        assert float(row["bound"]) <= float(row["value"])
        assert int(row["unstable"]) <= int(row["depth"]) * int(row["width"])
    assert len(list((tmp_path / "nets").glob("*.npz"))) == 2
    assert "fewest unstable undecided" in done.stdout


def test_plots_are_asked_for_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(growth, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["growth.py", "--output", str(tmp_path / "new")])
    with pytest.raises(SystemExit) as ended:
        growth.main()
    assert ended.value.code == 2
    assert "mipnet[plots]" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("series", ["radius", "depth"])
def test_equal_records_give_equal_plots(series: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = [record(series=series), record(series=series, unstable=30, status="time_limit")]
    for name in ("one.svg", "two.svg"):
        plot(found, series, tmp_path / name)
    drawn = (tmp_path / "one.svg").read_bytes()
    assert b"<svg" in drawn
    assert drawn == (tmp_path / "two.svg").read_bytes()
