"""The adversarial problem of Cacciola, Frangioni and Lodi, beside the authors' figures.

    python benchmarks/cacciola.py --data ../shared/data/mnist [--nets 2x50 6x100] [--radii 5]

"Structured Pruning of Neural Networks for Constraints Learning" (arXiv 2307.07457) asks whether
the class ``right`` that a network gives MNIST training image 10000 can be turned into its second
choice ``wrong`` within an l1 ball: maximise ``y[wrong] - y[right]`` over the ball within [0, 1]^784
and stop as soon as the sign is known. The networks are trained as the authors do: plain gradient
descent, rate 0.1, batches of 128, 50 epochs, seeds 0 to 2; trained ones are kept in ``--cache``.

``find_adversarial`` asks for one class against all others, so it is given the network with the two
outputs of the question only. Every question is a process of its own, in random order; its seconds
go from weights in memory to the verdict. Every witness is put through the whole network again in
float64 and float32. An unconfirmed witness, or a ball proven robust around one that is not, is
printed as WRONG, and the exit status is 1.

The figures beside it are the authors' logs (Gurobi 10 through gurobi-machinelearning, 48 cores,
up to 32 threads, 180 s; 1800 s for 6x500), dense and after their pruning. They come from other
networks of the same recipe and from another machine.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import numpy.typing as npt
from _measure import Record, Records, environment_line, measure_all, supervise, table
from _mnist import Images, read_images
from _training import Checkpoint, Recipe, checkpoint

NETS = ("2x50", "2x100", "2x200", "6x100", "6x500")
IMAGE = 10_000
RADII = (5.0, 20.0)
Times = tuple[float | None, ...]
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Published:
    """Seconds of the authors' three networks; None where their limit ended the run.

    Attributes
    ----------
    dense : tuple of float or None
    pruned : tuple of tuple of float or None
        One entry for each strength of the pruning.
    limit : float
    """

    dense: Times
    pruned: tuple[Times, ...]
    limit: float = 180.0

    def words(self, times: Times) -> str:
        """Mean with unsolved runs at the limit, as the authors take it."""
        mark = ">" if None in times else ""
        return f"{mark}{self.mean(times):.4g}"

    def mean(self, times: Times) -> float:
        """Mean seconds, unsolved runs at the limit."""
        return mean(self.limit if t is None else t for t in times)

    @property
    def target(self) -> float:
        """Least mean of any pruning."""
        return min(self.mean(times) for times in self.pruned)


UNSOLVED = (None, None, None)
PUBLISHED = {
    ("2x50", 5.0): Published((15.2, 21.2, 8.5), ((2.8, 3.9, 1.8),)),
    ("2x100", 5.0): Published((40.4, 35.6, 39.4), ((19.3, 15.7, 18.9),)),
    ("2x200", 5.0): Published(UNSOLVED, ((34.1, 18.9, 24.0),)),
    ("6x100", 5.0): Published(UNSOLVED, ((None, 105.6, 123.9),)),
    ("6x500", 5.0): Published(
        UNSOLVED, ((608.0, 399.0, 544.0), (222.0, 149.0, 163.0), (28.6, 48.8, 40.5)), 1800.0
    ),
    ("2x50", 20.0): Published((1.85, 5.06, 1.66), ((2.73, 2.90, 0.64),)),
    ("2x100", 20.0): Published((17.3, 147.7, 102.7), ((6.65, 6.02, 2.16),)),
    ("2x200", 20.0): Published(UNSOLVED, ((2.55, 18.64, 9.60),)),
    ("6x100", 20.0): Published(UNSOLVED, ((15.53, 7.51, 129.69),)),
}
ACCURACY = {"2x50": 97.42, "2x100": 97.90, "2x200": 98.04, "6x100": 97.68, "6x500": 98.17}


def hidden(name: str) -> tuple[int, ...]:
    """Widths of ``2x50``.

    Raises
    ------
    ValueError
        When the name is of another form.
    """
    layers, _, width = name.partition("x")
    if not (layers.isdigit() and width.isdigit() and int(layers) > 0 and int(width) > 0):
        msg = f"{name!r} is no architecture; write 2x50 for two hidden layers of 50"
        raise ValueError(msg)
    return (int(width),) * int(layers)


def outputs(net: Checkpoint, x: Vector, dtype: type) -> npt.NDArray[np.floating]:
    """Logits at a point, computed in a dtype."""
    value: npt.NDArray[np.floating] = x.astype(dtype)
    for k, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        value = np.maximum(value, 0) if k else value
        value = weight.astype(dtype) @ value + bias.astype(dtype)
    return value


def decide(request: Record) -> Record:
    """Ask one question; the worker of the script."""
    import mipnet
    from mipnet.search import find_adversarial

    net = Checkpoint.read(request["file"])
    x = np.array(request["pixels"]) / 255.0
    wrong, right = (int(k) for k in np.argsort(outputs(net, x, np.float64))[-2:])
    weights = [*net.weights[:-1], net.weights[-1][[right, wrong]]]
    biases = [*net.biases[:-1], net.biases[-1][[right, wrong]]]
    start = time.perf_counter()
    verdict = find_adversarial(
        mipnet.load((weights, biases)),
        x,
        0,
        target=1,
        radius=request["radius"],
        norm="l1",
        lower=0.0,
        upper=1.0,
        time_limit=request["limit"],
        threads=request["threads"],
    )
    seconds = time.perf_counter() - start
    point = verdict.point
    return {
        "status": verdict.status,
        "seconds": seconds,
        "right": right,
        "wrong": wrong,
        "method": verdict.clauses[0].method,
        "bound": verdict.bound if math.isfinite(verdict.bound) else None,
        "n_unstable": verdict.n_unstable,
        "n_binaries": verdict.n_binaries,
        "clocks": vars(verdict.clocks),
        "reason": verdict.reason,
        "confirmed": None
        if point is None
        else holds(net, x, request["radius"], point, (right, wrong)),
    }


def holds(
    net: Checkpoint, centre: Vector, radius: float, point: Vector, classes: tuple[int, int]
) -> bool:
    """Whether a point lies in the region and the whole network prefers the second class there."""
    inside = math.fsum(np.abs(point - centre)) <= radius and np.all((point >= 0) & (point <= 1))
    right, wrong = classes
    both = (outputs(net, point, dtype) for dtype in (np.float64, np.float32))
    return bool(inside and all(y[wrong] > y[right] for y in both))


def contradictions(records: Sequence[Record]) -> Iterator[str]:
    """Every verdict that cannot be true."""
    for record in records:
        name = f"{record['net']} seed {record['seed']} radius {record['radius']:g}"
        if record["status"] == "witness" and not record["confirmed"]:
            yield f"{name}: the witness does not hold in the whole network"
        for other in records:
            same = all(record[key] == other[key] for key in ("net", "seed"))
            inner = same and record["radius"] < other["radius"]
            if inner and (record["status"], other["status"]) == ("witness", "robust"):
                yield f"{name}: has a witness, and radius {other['radius']:g} is robust"


def report(records: Sequence[Record]) -> str:
    """Table with a row for each architecture and radius."""
    rows = []
    for key in dict.fromkeys((r["net"], r["radius"]) for r in records):
        own = [r for r in records if (r["net"], r["radius"]) == key]
        decided = [r for r in own if r["status"] in {"robust", "witness"}]
        marks = ["" if r in decided else f" {r['status']}" for r in own]
        spent = [r.get("seconds", r["limit"]) for r in own]
        seconds = [f"{s:.2f}{mark}" for s, mark in zip(spent, marks, strict=True)]
        paper = PUBLISHED.get(key)
        cells = ["-", "-", "-"]
        if paper is not None:
            pruned = " / ".join(paper.words(times) for times in paper.pruned)
            cells = [paper.words(paper.dense), pruned, "-"]
            if decided and len(decided) == len(own):
                cells[2] = f"{paper.target / max(r['seconds'] for r in own):.3g}"
        kinds = sorted({f"{r['status']} by {r['method']}" for r in decided})
        count = f"{len(decided)}/{len(own)}"
        rows.append(
            [key[0], f"{key[1]:g}", count, ", ".join(kinds) or "-", ", ".join(seconds), *cells]
        )
    heading = ("net", "radius", "decided", "how", "seconds of each", "authors dense s")
    return table((*heading, "authors pruned s", "least pruned / our slowest"), rows)


def accuracies(files: dict[tuple[str, int], Path]) -> str:
    """Table of the trained networks."""
    rows = []
    for name in dict.fromkeys(net for net, _ in files):
        own = [Checkpoint.read(path) for (net, _), path in files.items() if net == name]
        known = ACCURACY.get(name)
        rows.append(
            [
                name,
                " ".join(f"{100 * c.accuracy:.2f}" for c in own),
                "-" if known is None else f"{known:.2f}",
                f"{sum(c.seconds for c in own):.0f}",
            ]
        )
    return table(("net", "test accuracy %", "authors' mean %", "training s"), rows)


def trained(given: argparse.Namespace, train: Images) -> dict[tuple[str, int], Path]:
    """File of every network, trained where the cache has none."""
    test = read_images(given.data, "t10k")
    files = {}
    for name in given.nets:
        for seed in range(given.seeds):
            recipe = Recipe(hidden(name), seed, given.epochs)
            files[name, seed] = checkpoint(recipe, train, test, given.cache)
            print(f"network {name} seed {seed}: {files[name, seed]}", file=sys.stderr)
    return files


def main() -> int:
    if sys.argv[1:] == ["--worker"]:
        print(f"\n{json.dumps(decide(json.load(sys.stdin)))}")
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the MNIST files")
    parser.add_argument("--cache", type=Path, default=Path("results/cacciola_nets"))
    parser.add_argument("--nets", nargs="+", default=NETS, help="such as 2x50")
    parser.add_argument("--radii", nargs="+", type=float, default=RADII)
    parser.add_argument("--seeds", type=int, default=3, help="networks of each architecture")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--image", type=int, default=IMAGE)
    parser.add_argument("--limit", type=float, default=180.0, help="seconds of a question")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("results/cacciola.jsonl"))
    parser.add_argument("--resume", action="store_true", help="keep what the output file has")
    given = parser.parse_args()
    try:
        train = read_images(given.data, "train")
        files = trained(given, train)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    print(accuracies(files))
    if given.train_only:
        return 0
    print(environment_line())
    cells = [
        {"net": net, "seed": seed, "radius": radius, "network": path.stem, "image": given.image}
        | {"limit": given.limit, "threads": given.threads}
        for radius in given.radii
        for (net, seed), path in files.items()
    ]
    keys = ("net", "seed", "radius", "network", "image", "limit", "threads")
    records = Records(given.output, keys, given.resume, {"data": train.digest})
    pixels = train.pixels[given.image].tolist()

    def ask(cell: Record) -> Record:
        request = {**cell, "file": str(files[cell["net"], cell["seed"]]), "pixels": pixels}
        return supervise([sys.executable, __file__, "--worker"], request, given.limit)

    measure_all(cells, records, ask)
    found = records.of(cells)
    wrong = list(contradictions(found))
    lines = [f"WRONG {line}" for line in wrong]
    print(report(found), *lines, f"every run: {given.output}", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
