"""What the runner costs: seconds beside those of the cells, to collect many, to report on them.

    python benchmarks/runner_overhead.py [--cells 1000] [--seconds 1.0] [--jobs 1] [--collect 10000]

Cells of a known length (a busy loop, so that processes compete for the cores as solvers do) are run
as any plan is: forked, supervised, written to the disk. The overhead is the wall time of the run
after its start, less the seconds of the cells over the jobs, relative to the latter. The start (the
imports of the process cells are forked from, the calibration) is printed apart: it does not grow
with the number of cells.

For the collection, the records of a small real run are multiplied, each under its own identity;
the report is made of the collected tables.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

PLUGIN = '''
import time
from dataclasses import dataclass
from typing import ClassVar

from mipnet.bench import Answer, Instance, Problem, axis, register_problem, selection


@register_problem("busy")
@dataclass(frozen=True, kw_only=True)
class Busy(Problem):
    """Works for a while."""

    goal: ClassVar[str] = "maximise"
    source: ClassVar[str] = "none"
    needs_data: ClassVar[bool] = False
    count: int = selection(1)
    seconds: float = axis(1.0)

    def instances(self, data):
        yield from (Instance(f"number {k}", {"number": k}) for k in range(self.count))

    def solve(self, network, instance, data, how):
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            pass
        return Answer(status="optimal", verdict="done", objective=1.0, bound=1.0)
'''
BUSY = """
[plan]
name = "busy"
[networks.tiny]
file = "tiny.npz"
[[problems]]
kind = "busy"
count = {cells}
seconds = {seconds}
[limits]
time = {limit}
"""
REAL = """
[plan]
name = "real"
[networks.tiny]
file = "tiny.npz"
data = "digits"
[[problems]]
kind = "maximize"
output = [0, 1, 2]
radius = 0.1
items = 3
[[problems]]
kind = "adversarial"
radius = 0.05
items = 6
[solve]
seeds = [{seeds}]
"""


def plugin(folder: Path) -> None:
    """Make the problem kind known to this process and those it starts."""
    info = folder / "busy_cells-0.dist-info"
    info.mkdir(parents=True)
    (folder / "busy_cells.py").write_text(PLUGIN, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: busy-cells\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[mipnet.problems]\nbusy = busy_cells\n")
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


def tiny(path: Path) -> None:
    from mipnet.network.readers import load, save_npz

    rng = np.random.default_rng(0)
    widths = (64, 24, 24, 10)
    pairs = list(pairwise(widths))
    weights = [rng.normal(size=(b, a)) / np.sqrt(a) for a, b in pairs]
    save_npz(load((weights, [0.1 * rng.normal(size=b) for _, b in pairs])), path)


def overhead(folder: Path, cells: int, seconds: float, jobs: int) -> float:
    from mipnet.bench import load_plan, run

    text = BUSY.format(cells=cells, seconds=seconds, limit=10.0 + seconds)
    (folder / "busy.toml").write_text(text, encoding="utf-8")
    first: list[float] = []
    last = [0.0]

    def progress(stage: str, done: int, total: int, report: Any) -> None:
        del done, total
        if stage == "cells":
            last[0] = time.perf_counter()
            if report is not None and not first:
                first.append(last[0])

    start = time.perf_counter()
    found = run(load_plan(folder / "busy.toml"), folder / "busy", jobs=jobs, progress=progress)
    whole = time.perf_counter() - start
    if not found.ok:
        print(f"the run did not end well: {found.counts} {found.troubles[:2]}")
    # From the first report on, the start is over; one cell of each job is in it.
    measured, ideal = last[0] - first[0], seconds * (cells - jobs) / jobs
    share = measured / ideal - 1.0
    print(
        f"{cells} cells of {seconds:g} s, {jobs} job(s): {measured:.1f} s for {ideal:.1f} s of "
        f"work, overhead {share:.2%} ({1e3 * (measured - ideal) * jobs / (cells - jobs):.1f} ms a "
        f"cell); start and end {whole - measured - seconds:.1f} s"
    )
    return share


def collection(folder: Path, cells: int) -> float:
    from mipnet.bench import collect, load, load_plan, run
    from mipnet.bench.plan import expand
    from mipnet.bench.store.folder import claim
    from mipnet.bench.store.records import read_records

    (folder / "real.toml").write_text(REAL.format(seeds="0, 1"), encoding="utf-8")
    run(load_plan(folder / "real.toml"), folder / "real")
    known = read_records(folder / "real").found
    by_question = {_question(r): r for r in known.values() if r["kind"] == "solve"}
    seeds = range(-(-cells // (len(by_question))))
    (folder / "many.toml").write_text(
        REAL.format(seeds=", ".join(map(str, seeds))), encoding="utf-8"
    )
    plan = load_plan(folder / "many.toml")
    matrix = expand(plan)
    target = folder / "many"
    claim(target, plan, matrix)
    for name in ("cells", "artefacts", "runs"):
        (target / name).mkdir()
    for task in matrix.tasks:
        record = known[task.id] if task.kind == "network" else by_question[_question(task.__dict__)]
        own = {**record, "id": task.id, "pair": task.pair, "key": task.key, "labels": task.labels}
        (target / task.folder / f"{task.id}.json").write_text(json.dumps(own), encoding="utf-8")
    for path in (folder / "real" / "runs").glob("*.json"):
        (target / "runs" / path.name).write_bytes(path.read_bytes())
    start = time.perf_counter()
    found = collect([target])
    spent = time.perf_counter() - start
    start = time.perf_counter()
    load(target)
    again = time.perf_counter() - start
    size = sum(p.stat().st_size for p in target.glob("*.parquet")) / 2**20
    print(
        f"{len(found.cells)} cells and {len(found.trajectories)} trajectory points collected in "
        f"{spent:.1f} s, loaded in {again:.2f} s, {size:.1f} MB of tables"
    )
    return spent


def reporting(folder: Path) -> float:
    from mipnet.bench import build_report

    start = time.perf_counter()
    found = build_report(folder / "many")
    path = found.write(folder / "report.html")
    spent = time.perf_counter() - start
    size = path.stat().st_size
    print(f"report of {len(found.cells)} cells in {spent:.1f} s, {size / 1e6:.1f} MB")
    return spent if size < 8e6 else float("inf")


def _question(record: dict[str, Any]) -> str:
    key = record["key"]
    return json.dumps([key.get("problem"), key.get("instance")], sort_keys=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--collect", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plugin(folder / "site")
        tiny(folder / "tiny.npz")
        good = True
        if given.cells:
            good &= overhead(folder, given.cells, given.seconds, given.jobs) < 0.03
        if given.collect:
            good &= collection(folder, given.collect) < 10.0
            good &= reporting(folder) < 20.0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
