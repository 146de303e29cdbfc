"""``mipnet verify`` on instances of the verification competitions, beside the recorded tools.

    python benchmarks/vnn.py --root ../shared/vnn [--family acasxu] [--sample 5] [--timeout 60]

The root holds ``instances.csv`` (benchmark, onnx, vnnlib, timeout_s, verdict), a folder for each
benchmark, and ``recorded_results.md`` with the results the tools of the competitions got on their
own machines. Every instance is one process; its seconds are wall time, start of Python included.

Prints one line for each family and the recorded tools below it, and writes every instance to a CSV
file. ``wrong`` counts verdicts against the recorded one, ``late`` runs that took longer than the
limit by more than 10 % and one second. Exit status 1 when a verdict is wrong.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

COMMAND = [sys.executable, "-c", "from mipnet.cli import main; main()", "verify"]
DECIDED = {"sat", "unsat"}


@dataclass(frozen=True)
class Instance:
    """One line of ``instances.csv``."""

    family: str
    onnx: str
    vnnlib: str
    timeout: float
    recorded: str


@dataclass(frozen=True)
class Run:
    """An instance and what became of it."""

    family: str
    onnx: str
    vnnlib: str
    timeout: float
    recorded: str
    status: str
    seconds: float
    methods: str
    detail: str

    @property
    def wrong(self) -> bool:
        """Whether the verdict contradicts the recorded one."""
        return {self.status, self.recorded} == DECIDED

    @property
    def late(self) -> bool:
        """Whether it took longer than the limit by more than 10 % and one second."""
        return self.seconds > 1.1 * self.timeout + 1.0


def instances(root: Path, families: list[str] | None, limit: float | None) -> Iterator[Instance]:
    with (root / "instances.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if not families or row["benchmark"] in families:
                own = float(row["timeout_s"])
                allowed = own if limit is None else min(own, limit)
                yield Instance(
                    row["benchmark"], row["onnx"], row["vnnlib"], allowed, row["verdict"]
                )


def spread(found: list[Instance], sample: int | None) -> list[Instance]:
    """At most ``sample`` instances of each family, evenly over its list."""
    families: dict[str, list[Instance]] = {}
    for instance in found:
        families.setdefault(instance.family, []).append(instance)
    chosen = []
    for listed in families.values():
        count = len(listed) if sample is None else min(sample, len(listed))
        chosen += [listed[(2 * k + 1) * len(listed) // (2 * count)] for k in range(count)]
    return chosen


def run(root: Path, instance: Instance, threads: int) -> Run:
    folder = root / instance.family
    files = [str(folder / instance.onnx), str(folder / instance.vnnlib)]
    options = ["--json", "--timeout", str(instance.timeout), "--threads", str(threads)]
    start = time.perf_counter()
    status, methods, detail = "killed", "", ""
    try:
        done = subprocess.run(
            [*COMMAND, *files, *options],
            capture_output=True,
            text=True,
            timeout=2.0 * instance.timeout + 30.0,
            check=False,
        )
    except subprocess.TimeoutExpired:
        detail = "did not end; killed"
    else:
        status, methods, detail = reading(done)
    seconds = time.perf_counter() - start
    return Run(**asdict(instance), status=status, seconds=seconds, methods=methods, detail=detail)


def reading(done: subprocess.CompletedProcess[str]) -> tuple[str, str, str]:
    """Status, methods and detail of a finished process."""
    if done.returncode in {0, 1} and done.stdout.startswith("{"):
        found = json.loads(done.stdout)
        clauses = [clause for case in found["cases"] for clause in case["clauses"]]
        methods = Counter(c["method"] for c in clauses if c["outcome"] != "open")
        listing = " ".join(f"{name}:{count}" for name, count in sorted(methods.items()))
        return found["status"], listing, found["reason"]
    message = done.stderr.strip().splitlines()[-1:] or [""]
    if done.returncode == 2 and "unsupported operation" in message[0]:
        kinds = Counter(re.findall(r"'\S+' \((\w+)\): ", message[0]))
        return "unsupported", "", ", ".join(sorted(kinds)) or message[0]
    return "error", "", f"exit status {done.returncode}: {message[0]}"


def recorded_tools(root: Path) -> dict[str, list[str]]:
    """Lines of the table of tools, by benchmark."""
    lines: dict[str, list[str]] = {}
    path = root / "recorded_results.md"
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        if len(cells) == 11 and cells[1].isdigit():
            family, year, tool, solved, _, _, against, total, median = cells[:9]
            line = f"{tool} {year}: {solved} solved, {against} against, "
            lines.setdefault(family, []).append(line + f"median {median} s, total {total} s")
    return lines


def report(runs: list[Run], tools: dict[str, list[str]]) -> None:
    heading = ("family", "run", "solved", "sat", "unsat", "wrong", "timeout", "unknown")
    print("".join(f"{h:>9}" if k else f"{h:<20}" for k, h in enumerate(heading)), end="")
    print(f"{'unsupp.':>9}{'error':>7}{'late':>6}{'median s':>10}{'total s':>9}")
    for family in dict.fromkeys(r.family for r in runs):
        own = [r for r in runs if r.family == family]
        count = Counter(r.status for r in own)
        wrong = sum(r.wrong for r in own)
        solved = [r.seconds for r in own if r.status in DECIDED and not r.wrong]
        median = f"{statistics.median(solved):.2f}" if solved else "-"
        cells = [len(own), len(solved), count["sat"], count["unsat"], wrong]
        cells += [count["timeout"], count["unknown"], count["unsupported"]]
        print(f"{family:<20}" + "".join(f"{c:>9}" for c in cells), end="")
        print(f"{count['error'] + count['killed']:>7}{sum(r.late for r in own):>6}", end="")
        print(f"{median:>10}{sum(solved):>9.1f}")
        kinds = sorted({r.detail for r in own if r.status == "unsupported"})
        for kind in kinds:
            print(f"    unsupported: {kind}")
        for line in tools.get(family, []):
            print(f"    {line}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--family", action="append", help="may be given several times")
    parser.add_argument("--sample", type=int, help="instances of each family; all when absent")
    parser.add_argument("--timeout", type=float, help="most seconds for an instance")
    parser.add_argument("--jobs", type=int, default=1, help="instances at once")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("results/vnn.csv"))
    given = parser.parse_args()
    chosen = spread(list(instances(given.root, given.family, given.timeout)), given.sample)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    runs: list[Run] = []
    with given.output.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Run)])
        writer.writeheader()
        with ThreadPoolExecutor(given.jobs) as pool:
            for done in pool.map(lambda i: run(given.root, i, given.threads), chosen):
                runs.append(done)
                writer.writerow(asdict(done))
                stream.flush()
                mark = "  WRONG" if done.wrong else ""
                name = f"{done.family} {Path(done.onnx).name} {Path(done.vnnlib).name}"
                line = f"{done.status} ({done.recorded}) {done.seconds:.2f} s{mark}"
                print(f"[{len(runs)}/{len(chosen)}] {name}: {line}", file=sys.stderr)
    report(runs, recorded_tools(given.root))
    print(f"every instance: {given.output}")
    return 1 if any(r.wrong for r in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
