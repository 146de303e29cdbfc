"""What an exact answer costs as the question grows, and where it breaks.

    python benchmarks/growth.py [--output results/growth] [--limit 60] [--seeds 3]

``mipnet.minimize`` closes a linear objective of a trained network over a box, on one thread. Two
series, each over several networks (one for each seed) of two families:

* ``radius``: one network, a growing box; the number of unstable neurons grows with it;
* ``depth``: one box, more and more layers of one width.

The family ``digits`` has 64 inputs: the least lead of the class of an 8x8 digit over its runner-up
in a box around it. ``friedman`` has 5: the least output of a regression network around the middle
of [0, 1]^5 (Friedman's first function, Annals of Statistics 19, 1991). Networks are trained
on the spot, from data that comes with scikit-learn.

Unstable neurons are counted under CROWN bounds, which do not change with the search. Every run is
a process of its own. A line of growing questions ends after two undecided ones in a row. Prints
tables, and writes into the output folder ``growth.csv``, the networks, and a plot for each series
(needs matplotlib, extra ``plots``).
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from _measure import Record, Records, environment_line, supervise, table

if TYPE_CHECKING:
    from mipnet.network import Network

Vector = npt.NDArray[np.float64]

#: Digits a network is trained on; the question is about one of the others.
TRAINING = 1500
#: Undecided questions in a row that end a line.
PATIENCE = 2
COLUMNS = [
    *("series", "family", "seed", "depth", "width", "radius", "unstable", "status", "seconds"),
    *("value", "bound", "gap", "n_binaries", "nodes", "limit"),
]


@dataclass(frozen=True)
class Family:
    """A kind of question and the sizes it is asked in.

    Attributes
    ----------
    depth, width : int
        Hidden layers of the network whose box grows.
    radii : tuple of float
    depths : tuple of int
    thin : int
        Width of the networks that get deeper.
    radius : float
        Of the box around them.
    """

    depth: int
    width: int
    radii: tuple[float, ...]
    depths: tuple[int, ...]
    thin: int
    radius: float


FAMILIES = {
    "digits": Family(
        2, 50, (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5), (1, 2, 3, 4, 5, 6), 30, 0.1
    ),
    "friedman": Family(
        4, 20, (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5), (1, 2, 3, 4, 5, 6, 7), 20, 0.5
    ),
}


def digits(hidden: Sequence[int], seed: int, epochs: int) -> tuple[Network, Vector, Vector]:
    """Network, a digit it knows and was not trained on, and the objective."""
    from sklearn.datasets import load_digits

    import mipnet

    X, y = load_digits(return_X_y=True)
    X = X / 16.0
    net = mipnet.train_mlp(X[:TRAINING], y[:TRAINING], hidden, epochs=epochs, seed=seed)
    known = np.flatnonzero(net(X).argmax(axis=1) == y)
    x = X[known[known >= TRAINING][seed]]
    wrong, right = np.argsort(net(x))[-2:]
    objective = np.zeros(net.n_outputs)
    objective[right], objective[wrong] = 1.0, -1.0
    return net, x, objective


def friedman(hidden: Sequence[int], seed: int, epochs: int) -> tuple[Network, Vector, Vector]:
    """Network, the middle of its inputs, and the objective."""
    from sklearn.datasets import make_friedman1

    import mipnet

    X, y = make_friedman1(TRAINING, n_features=5, random_state=seed)
    scaled = (y - y.mean()) / y.std()
    net = mipnet.train_mlp(X, scaled, hidden, epochs=epochs, seed=seed)
    return net, np.full(5, 0.5), np.ones(1)


MAKERS = {"digits": digits, "friedman": friedman}


@functools.cache
def network(family: str, hidden: tuple[int, ...], seed: int, epochs: int, path: Path) -> None:
    """Train a network and write it with the centre as both bounds of its inputs."""
    from mipnet.network.readers import save_npz

    net, centre, objective = MAKERS[family](hidden, seed, epochs)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_npz(net, part, centre, centre, objective)
    part.replace(path)


def question(cell: Record, given: argparse.Namespace) -> Record:
    """Request to the worker; trains the network unless it is there to be resumed with."""
    hidden = (cell["width"],) * cell["depth"]
    name = f"{cell['family']}-{cell['depth']}x{cell['width']}-s{cell['seed']}-e{given.epochs}.npz"
    path = given.output / "nets" / name
    if not (given.resume and path.exists()):
        network(cell["family"], hidden, cell["seed"], given.epochs, path)
    return {"file": str(path), "radius": cell["radius"], "limit": given.limit}


def solve(request: Record) -> Record:
    """Answer one question; the worker of the script."""
    from mipnet.bounds import compute_bounds
    from mipnet.network.readers import read_problem
    from mipnet.region import ball
    from mipnet.search import minimize

    problem = read_problem(request["file"])
    centre, objective = np.asarray(problem.lower), np.asarray(problem.objective)
    box = ball(centre, request["radius"], "linf", 0.0, 1.0)
    start = time.perf_counter()
    best = minimize(problem.network, objective, box, time_limit=request["limit"])
    seconds = time.perf_counter() - start
    return {
        "status": best.status,
        "seconds": seconds,
        "unstable": compute_bounds(problem.network, box, "crown").n_unstable,
        "value": best.value,
        "bound": best.bound if np.isfinite(best.bound) else None,
        "gap": best.gap if np.isfinite(best.gap) else None,
        "n_binaries": best.n_binaries,
        "nodes": best.nodes,
    }


def lines(given: argparse.Namespace) -> Iterator[list[Record]]:
    """Lines of cells of growing size: one for each series, family and seed."""
    for seed in range(given.seeds):
        for name in given.families:
            family = FAMILIES[name]
            common = {"family": name, "seed": seed, "limit": given.limit, "epochs": given.epochs}
            one: Record = {"series": "radius", "depth": family.depth, "width": family.width}
            yield [{**common, **one, "radius": r} for r in family.radii[: given.sizes]]
            one = {"series": "depth", "width": family.thin, "radius": family.radius}
            yield [{**common, **one, "depth": d} for d in family.depths[: given.sizes]]


def run_line(line: Sequence[Record], records: Records, given: argparse.Namespace) -> None:
    """Ask the questions of a line until it breaks."""
    undecided = 0
    for cell in line:
        done = records.of([cell])
        if not done:
            command = [sys.executable, __file__, "--worker"]
            answer = supervise(command, question(cell, given), given.limit)
            done = [{**cell, **answer}]
            records.add(done[0])
            name = f"{cell['series']} {cell['family']} seed {cell['seed']}"
            size = f"{cell['depth']}x{cell['width']} radius {cell['radius']:g}"
            what = answer.get("detail", f"{answer.get('seconds', 0.0):.2f} s")
            unstable = answer.get("unstable", "?")
            said = f"{name}, {size}: {unstable} unstable, {answer['status']}, {what}"
            print(said, file=sys.stderr)
        undecided = 0 if decided(done[0]) else undecided + 1
        if undecided == PATIENCE:
            return


def decided(record: Record) -> bool:
    """Whether a run was closed within its limit (by 10 % and one second)."""
    in_time = record.get("seconds", np.inf) <= 1.1 * record["limit"] + 1.0
    return record["status"] == "optimal" and bool(in_time)


def report(records: Sequence[Record]) -> str:
    """Table with a row for each series, family and size."""
    rows = []
    names = dict.fromkeys((r["series"], r["family"], r["depth"], r["radius"]) for r in records)
    for series, family, depth, radius in sorted(names):
        size = {"series": series, "family": family, "depth": depth, "radius": radius}
        own = [r for r in records if size.items() <= r.items()]
        unstable = [r["unstable"] for r in own if "unstable" in r]
        ordered = sorted(r["seconds"] if decided(r) else np.inf for r in own)
        middle = ordered[len(ordered) // 2]
        limit = own[0]["limit"]
        rows.append(
            [
                series,
                family,
                f"{depth}x{own[0]['width']}",
                f"{radius:g}",
                f"{median(unstable):g}" if unstable else "-",
                f"{sum(map(decided, own))}/{len(own)}",
                f"{middle:.2f}" if np.isfinite(middle) else f">{limit:g}",
                f"{max(ordered):.2f}" if np.isfinite(ordered[-1]) else f">{limit:g}",
            ]
        )
    heading = ("series", "family", "net", "radius", "unstable", "decided", "median s")
    return table((*heading, "slowest s"), rows)


def breaks(records: Sequence[Record]) -> str:
    """Table of where each series breaks: fewest unstable neurons undecided, most decided."""
    rows = []
    for series, family in sorted({(r["series"], r["family"]) for r in records}):
        own = [r for r in records if (r["series"], r["family"]) == (series, family)]
        size = "radius" if series == "radius" else "depth"
        closed = [r for r in own if decided(r)]
        open_ = [r for r in own if not decided(r)]
        rows.append(
            [
                series,
                family,
                largest(closed, "unstable", max),
                largest(open_, "unstable", min),
                largest(closed, size, max),
                largest(open_, size, min),
            ]
        )
    heading = ("series", "family", "most unstable decided", "fewest unstable undecided")
    return table((*heading, "largest size decided", "smallest size undecided"), rows)


def largest(records: Sequence[Record], key: str, choose: Any) -> str:
    """Extreme of a figure; a dash where there is none."""
    known = [r[key] for r in records if key in r]
    return f"{choose(known):g}" if known else "-"


def write_csv(records: Sequence[Record], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(records)


def plot(records: Sequence[Record], series: str, path: Path) -> None:
    """Seconds against size; undecided runs as open triangles at their limit."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Equal figures give equal files.
    mpl.rcParams["svg.hashsalt"] = "mipnet"
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    key, label = ("unstable", "unstable neurons") if series == "radius" else ("depth", "layers")
    shown = [r for r in records if r["series"] == series and key in r]
    for k, family in enumerate(dict.fromkeys(r["family"] for r in shown)):
        own = [r for r in shown if r["family"] == family]
        closed = [r for r in own if decided(r)]
        open_ = [r for r in own if not decided(r)]
        x, y = [r[key] for r in closed], [r["seconds"] for r in closed]
        axes.plot(x, y, "o", color=f"C{k}", markersize=4, label=family)
        x, y = [r[key] for r in open_], [r["limit"] for r in open_]
        axes.plot(x, y, "^", color=f"C{k}", markersize=6, fillstyle="none")
    axes.axhline(max(r["limit"] for r in shown), color="grey", linestyle=":", linewidth=1)
    axes.set(xlabel=label, ylabel="seconds", yscale="log")
    axes.set_title(f"{series}: triangles are undecided at the limit", fontsize="medium")
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> int:
    if sys.argv[1:] == ["--worker"]:
        print(f"\n{json.dumps(solve(json.load(sys.stdin)))}")
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("results/growth"), help="a folder")
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--seeds", type=int, default=3, help="networks of each kind")
    parser.add_argument("--sizes", type=int, help="sizes of each line; all when absent")
    parser.add_argument("--epochs", type=int, default=20, help="of the training")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of a run")
    parser.add_argument("--resume", action="store_true", help="keep what the output folder has")
    parser.add_argument("--format", choices=["svg", "png"], default="svg")
    parser.add_argument("--no-plots", action="store_true")
    given = parser.parse_args()
    if not given.no_plots and find_spec("matplotlib") is None:
        parser.error("plots need matplotlib: pip install 'mipnet[plots]', or give --no-plots")
    print(environment_line())
    keys = ("series", "family", "seed", "depth", "width", "radius", "limit", "epochs")
    records = Records(given.output / "growth.jsonl", keys, given.resume, {"limit": given.limit})
    grown = list(lines(given))
    for line in grown:
        run_line(line, records, given)
    found = records.of(cell for line in grown for cell in line)
    write_csv(found, given.output / "growth.csv")
    print(report(found), breaks(found), sep="\n\n")
    for series in [] if given.no_plots else ["radius", "depth"]:
        plot(found, series, given.output / f"{series}.{given.format}")
    print(f"everything: {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
