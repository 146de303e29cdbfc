"""Backends beside loky: a dask cluster of several workers here, ray where it is installed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from bench_cases import NAPS, plan_file, records
from test_bench_faults import below, finished, gone, nurseries, started, wait_for

from mipnet.bench import load_plan, run


def test_dask_cluster_survives_the_death_of_a_worker(tmp_path: Path, faulty: Path) -> None:
    pytest.importorskip("distributed")
    del faulty
    plan = plan_file(tmp_path, NAPS.format(count=30, seconds=0.3, wall=20))
    folder = tmp_path / "r"
    with started(plan, folder, "--jobs", "3", "--backend", "dask") as process:
        wait_for(lambda: finished(folder) >= 3)
        # A worker may be late on a busy machine.
        wait_for(lambda: len({n.ppid() for n in nurseries(below(process))}) == 3)
        family = below(process)
        workers = {n.ppid() for n in nurseries(family)}
        victim = next(p for p in family if p.pid in workers)
        victim.kill()
        output = process.communicate(timeout=120)[0]
        wait_for(lambda: all(gone(p) for p in family), seconds=15)
    assert process.returncode == 0, output
    found = records(folder).values()
    assert Counter(r["status"] for r in found) == Counter(optimal=30)
    assert {r["run"]["backend"] for r in found} == {"dask"}
    about = [json.loads(p.read_text(encoding="utf-8")) for p in (folder / "runs").glob("*.json")]
    assert [(a["end"], a["jobs"]) for a in about] == [("done", 3)]


def test_ray_cluster(tmp_path: Path, faulty: Path) -> None:
    pytest.importorskip("ray")
    del faulty
    plan = load_plan(plan_file(tmp_path, NAPS.format(count=6, seconds=0.1, wall=20)))
    found = run(plan, tmp_path / "r", jobs=2, backend="ray")
    assert found.counts == Counter(optimal=6)
