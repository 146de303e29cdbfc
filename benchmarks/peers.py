"""``mipnet.minimize`` beside Gurobi, HiGHS and SCIP behind their modelling libraries.

    python benchmarks/peers.py --root ../shared/peers/nets [--nets p_vdp] [--tools mipnet omlt]

Every tool minimises the same objective over the same box, on one thread, in a process of its own;
the order is random. The seconds go from weights in memory to the answer, bounds and building
included; imports and licence are not counted. The seed goes to the solver and, beyond 0, shuffles
the hidden neurons. Tools that are not installed are left out with a line that says so; ``--python``
names another Python to run the peers with.

Every value is the float64 forward pass at the point of the tool. A run counts as decided when its
bound is within ``--closed`` of that value and it ended within the limit by 10 % and one second.
A bound above a value that any tool reached, or a decided claim that the forward pass does not
bear out, is printed as WRONG, and the exit status is 1.

Prints a row for each net and tool, then for each peer the ratio of the shifted geometric means of
the seconds (peer over mipnet, shift 1 s): over the runs both decided, and over all with undecided
ones at the seconds they took. The second is only a lower bound (``>``) where the peer was undecided
somewhere, only an upper bound (``<``) where mipnet was, and neither (``~``) where both were. A run
that ended early without closing its gap failed: it is listed, and counts in no ratio.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from _measure import (
    Record,
    Records,
    environment_line,
    measure_all,
    shifted_geometric_mean,
    supervise,
    table,
)
from _peer_tools import TOOLS

Outcome = Literal["decided", "limit", "failed"]

NETS = ("p_vdp", "p_cartpole", "p_safenlp", "p_robot", "p_mnist")
WORKER = Path(__file__).with_name("_peer_tools.py")
OWN = "mipnet"
#: By how much, relative to 1 + |value|, figures of two tools may miss each other: the solvers
#: keep their rows to 1e-6 and no better.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Run:
    """What became of one tool on one net with one seed.

    Attributes
    ----------
    net, tool, status : str
    seed : int
    outcome : {"decided", "limit", "failed"}
        ``limit``: undecided when its time was up, so that its seconds are only a lower bound.
        ``failed``: neither; says nothing about speed.
    seconds : float
    value, bound, claimed : float or None
        Objective by forward pass, proven bound, objective the tool states.
    detail : str
        What went wrong.
    """

    net: str
    tool: str
    seed: int
    status: str
    outcome: Outcome
    seconds: float
    value: float | None
    bound: float | None
    claimed: float | None
    detail: str

    @classmethod
    def of(cls, record: Record, limit: float, closed: float) -> Run:
        """Judge a record."""
        value, bound = record.get("value"), record.get("bound")
        killed = record["status"] == "killed"
        seconds = float(record.get("seconds", limit if killed else 0.0))
        difference = gap(value, bound)
        outcome: Outcome = "limit" if killed or seconds >= 0.95 * limit else "failed"
        if difference is not None and difference <= closed and seconds <= 1.1 * limit + 1.0:
            outcome = "decided"
        name = record["net"], record["tool"], record["seed"], record["status"]
        said = record.get("claimed"), record.get("detail", "")
        return cls(*name, outcome, seconds, value, bound, *said)

    @property
    def name(self) -> str:
        """Net, tool and seed."""
        return f"{self.net} {self.tool} seed {self.seed}"


def gap(value: float | None, bound: float | None) -> float | None:
    """Distance of value and bound relative to the value; None where one is missing."""
    if value is None or bound is None:
        return None
    return max(0.0, value - bound) / max(abs(value), 1e-9)


def contradictions(runs: Sequence[Run], tolerance: float = TOLERANCE) -> Iterator[str]:
    """Every claim that cannot be true beside what the network itself gives at known points."""
    best: dict[str, tuple[float, str]] = {}
    for run in runs:
        if run.value is not None:
            best[run.net] = min((run.value, run.tool), best.get(run.net, (np.inf, "")))
    for run in runs:
        least, tool = best.get(run.net, (np.inf, ""))
        if run.bound is not None and run.bound > least + tolerance * (1.0 + abs(least)):
            yield f"{run.name}: claims the bound {run.bound!r}, {tool} reaches {least!r}"
        if run.outcome != "decided" or run.claimed is None or run.value is None:
            continue
        if abs(run.claimed - run.value) > tolerance * (1.0 + abs(run.value)):
            yield f"{run.name}: claims the value {run.claimed!r}, its point gives {run.value!r}"


def middle(runs: Sequence[Run]) -> Run | None:
    """Run with the median time (the slower of two); None when more than half failed."""
    order = ("decided", "limit", "failed")
    ordered = sorted(runs, key=lambda r: (order.index(r.outcome), r.seconds))
    found = ordered[len(ordered) // 2] if ordered else None
    return None if found is None or found.outcome == "failed" else found


def ratio(peer: Run | None, own: Run | None) -> str:
    """Seconds of a peer over those of mipnet, marked where either is only a lower bound."""
    if peer is None or own is None or "decided" not in {peer.outcome, own.outcome}:
        return "-"
    mark = "" if peer.outcome == own.outcome else ">" if own.outcome == "decided" else "<"
    return f"{mark}{peer.seconds / own.seconds:.3g}"


def per_net(runs: Sequence[Run]) -> str:
    """Table with a row for each net and tool."""
    heading = ("net", "tool", "decided", "median s", "range s", "worst gap", "best value")
    rows = []
    for net in dict.fromkeys(r.net for r in runs):
        of_net = [r for r in runs if r.net == net]
        own = middle([r for r in of_net if r.tool == OWN])
        for tool in (t for t in TOOLS if any(r.tool == t for r in of_net)):
            listed = [r for r in of_net if r.tool == tool]
            rows.append(
                [net, tool, *row(listed), "" if tool == OWN else ratio(middle(listed), own)]
            )
    return table((*heading, "best bound", "status", "median over mipnet's"), rows)


def row(runs: Sequence[Run]) -> list[str]:
    """Cells of one tool on one net."""
    median = middle(runs)
    seconds = [r.seconds for r in runs]
    gaps = [gap(r.value, r.bound) for r in runs]
    known = [g for g in gaps if g is not None]
    values = [r.value for r in runs if r.value is not None]
    bounds = [r.bound for r in runs if r.bound is not None]
    count = Counter(r.status for r in runs)
    return [
        f"{sum(r.outcome == 'decided' for r in runs)}/{len(runs)}",
        "-" if median is None else f"{'>' * (median.outcome == 'limit')}{median.seconds:.2f}",
        f"{min(seconds):.2f}-{max(seconds):.2f}",
        f"{max(known):.1e}" if len(known) == len(gaps) else "open",
        f"{min(values):.7g}" if values else "none",
        f"{max(bounds):.7g}" if bounds else "none",
        ", ".join(f"{status} {n}" for status, n in sorted(count.items())),
    ]


def summary(runs: Sequence[Run]) -> str:
    """Table with a row for each peer: ratio of the means, and nets on which mipnet is faster."""
    rows = []
    own = {(r.net, r.seed): r for r in runs if r.tool == OWN}
    for tool in (t for t in TOOLS if t != OWN and any(r.tool == t for r in runs)):
        theirs = [r for r in runs if r.tool == tool and (r.net, r.seed) in own]
        pairs = [(r, own[r.net, r.seed]) for r in theirs]
        valid = [pair for pair in pairs if "failed" not in {run.outcome for run in pair}]
        both = [pair for pair in valid if {run.outcome for run in pair} == {"decided"}]
        open_ = [any(pair[k].outcome == "limit" for pair in valid) for k in range(2)]
        mark = ("", "<", ">", "~")[2 * open_[0] + open_[1]]
        nets = dict.fromkeys(r.net for r in theirs)
        rows.append(
            [
                TOOLS[tool].words,
                f"{len(both)}/{len(pairs)}",
                mean_ratio(both),
                f"{len(valid)}/{len(pairs)}",
                f"{mark}{mean_ratio(valid)}",
                f"{sum(quicker(runs, net, tool) for net in nets)}/{len(nets)}",
            ]
        )
    heading = ("peer", "both decided", "ratio", "neither failed", "ratio, undecided at the limit")
    return table((*heading, "nets with mipnet faster"), rows)


def mean_ratio(pairs: Sequence[tuple[Run, Run]]) -> str:
    """Ratio of the shifted geometric means of the seconds, peer over mipnet."""
    if not pairs:
        return "-"
    theirs, ours = (
        shifted_geometric_mean(r.seconds for r in side) for side in zip(*pairs, strict=True)
    )
    return f"{theirs / ours:.3g}"


def quicker(runs: Sequence[Run], net: str, tool: str) -> bool:
    """Whether mipnet's median on a net is decided and less than the peer's."""
    own = middle([r for r in runs if r.net == net and r.tool == OWN])
    peer = middle([r for r in runs if r.net == net and r.tool == tool])
    if own is None or peer is None:
        return False
    return own.outcome == "decided" and own.seconds < peer.seconds


def available(tools: Sequence[str], python: str) -> dict[str, list[str]]:
    """Command of every tool that is installed; a line for each that is not."""
    found = {}
    for tool in tools:
        command = [sys.executable if tool == OWN else python, str(WORKER)]
        packages = supervise(command, {"packages": TOOLS[tool].packages}, 30.0)
        missing = [name for name, version in packages.items() if version is None]
        if "status" in packages:
            print(f"{tool}: left out, {packages['detail']}")
        elif missing:
            print(f"{tool}: left out, not installed: {', '.join(missing)} (mipnet[peers])")
        else:
            print(f"{tool}: {', '.join(f'{n} {v}' for n, v in packages.items())}")
            found[tool] = command
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of the npz files")
    parser.add_argument("--nets", nargs="+", default=NETS, help="names of files, without .npz")
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=40.0, help="seconds of a run")
    parser.add_argument("--closed", type=float, default=1e-4, help="gap that counts as decided")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers")
    parser.add_argument("--output", type=Path, default=Path("results/peers.jsonl"))
    parser.add_argument("--resume", action="store_true", help="keep what the output file has")
    given = parser.parse_args()
    files = {net: given.root / f"{net}.npz" for net in given.nets}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        parser.error(f"no such file: {', '.join(missing)}")
    print(environment_line())
    commands = available(given.tools, given.python)
    cells = [
        {"net": net, "tool": tool, "seed": seed, "limit": given.limit}
        for net in given.nets
        for tool in commands
        for seed in range(given.seeds)
    ]
    about = {"limit": given.limit, "closed": given.closed}
    records = Records(given.output, ("net", "tool", "seed", "limit"), given.resume, about)

    def solve(cell: Record) -> Record:
        request = {**cell, "file": str(files[cell["net"]])}
        return supervise(commands[cell["tool"]], request, given.limit)

    measure_all(cells, records, solve)
    runs = [Run.of(record, given.limit, given.closed) for record in records.of(cells)]
    wrong = list(contradictions(runs))
    print(per_net(runs), summary(runs), sep="\n\n")
    lines = [f"failed: {r.name}: {r.status} {r.detail}" for r in runs if r.outcome == "failed"]
    lines += [f"WRONG {line}" for line in wrong]
    print(*lines, f"every run: {given.output}", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
