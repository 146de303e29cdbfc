"""Pruning methods at equal size, and SPR beside its authors' figures.

    python benchmarks/pruning.py compare [--data digits] [--keeps 0.5 0.25] [--methods mip spr]
    python benchmarks/pruning.py spr [--nets 2x50 6x100] [--cache FOLDER]

``compare`` trains three networks (digits 2x50, images 2x100), prunes each with every method to the
same number of units in every layer, and fine-tunes all alike. Methods that train have trained
before; the table says how long each took. Beside the accuracies stand the neurons CROWN leaves
unstable around test images and the time to decide whether these can be misclassified.

``spr`` trains the networks of Cacciola, Frangioni and Lodi (arXiv 2307.07457) as the authors do,
prunes them to the hidden units of their table, and asks their question of dense and pruned
networks in turn, with one engine (:mod:`cacciola`).

MNIST and Fashion-MNIST are read from the folders ``mnist`` and ``fashion`` in ``MIPNET_DATA``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
from _measure import Record, Records, environment_line, measure_all, supervise, table
from _mnist import Images, read_images
from _training import Checkpoint, Recipe, checkpoint, one_thread
from cacciola import IMAGE, hidden

from mipnet.network import Network
from mipnet.network.readers import load

DATA = ("digits", "mnist", "fashion")
CONTROLS = ("random", "magnitude")
#: Settings of the authors' comparison, and the hidden units they ended with, by seed.
PAPER = {
    "2x50": (0.5, 0.9, (82, 72, 81)),
    "2x100": (0.5, 0.9, (141, 148, 149)),
    "2x200": (0.5, 0.5, (200, 201, 199)),
    "6x100": (1.0, 0.1, (357, 311, 302)),
}
#: Raised when the training of SPR changes, so that older networks are no longer taken.
TRAINING = 2
#: Radius of the l-infinity balls, by data.
RADIUS = {"digits": 0.05, "mnist": 0.03, "fashion": 0.015}
HIDDEN = {"digits": (50, 50), "mnist": (100, 100), "fashion": (100, 100)}


@dataclass(frozen=True)
class Split:
    """Training items, and unseen ones with their labels; inputs in [0, 1]."""

    X: npt.NDArray[np.float64]
    y: npt.NDArray[np.int64]
    unseen: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]


def read(name: str, root: Path | None, items: int) -> Split:
    """Read a data set; images only as many of the training items as asked for.

    Raises
    ------
    FileNotFoundError
        When images are asked for and there is no folder.
    """
    if name == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        order = np.random.default_rng(0).permutation(len(found.target))
        X, y = found.data[order] / 16.0, found.target[order].astype(np.int64)
        return Split(X[:1200], y[:1200], X[1200:], y[1200:])
    if root is None:
        msg = f"{name}: set MIPNET_DATA to the folder that holds {name}/ with its IDX files"
        raise FileNotFoundError(msg)
    train, test = (read_images(root / name, part) for part in ("train", "t10k"))
    rows = np.random.default_rng(0).permutation(len(train.labels))[:items]
    return Split(
        train.scaled[rows],
        train.labels[rows].astype(np.int64),
        test.scaled,
        test.labels.astype(np.int64),
    )


def compare(given: argparse.Namespace) -> int:
    """Every method at equal size."""
    from mipnet.pruning import train_mlp
    from mipnet.pruning.registry import PRUNERS

    data = read(given.data, given.root, given.items)
    dense = {
        seed: train_mlp(
            data.X, data.y, HIDDEN[given.data], seed=seed, dtype="float32", input_bounds=(0.0, 1.0)
        )
        for seed in range(given.seeds)
    }
    methods = given.methods or sorted(PRUNERS)
    unknown = sorted(set(methods) - set(PRUNERS))
    if unknown:
        print(f"unknown methods {unknown}; there are {', '.join(sorted(PRUNERS))}", file=sys.stderr)
        return 2
    methods = list(dict.fromkeys((*CONTROLS, *methods)))
    cells = [
        {"data": given.data, "method": method, "keep": keep, "seed": seed}
        for keep in given.keeps
        for method in methods
        for seed in dense
    ]
    cells += [{"data": given.data, "method": "dense", "keep": 1.0, "seed": s} for s in dense]
    records = Records(given.output, ("data", "method", "keep", "seed"), given.resume, {})
    measure_all(cells, records, lambda cell: measured(cell, dense[cell["seed"]], data, given))
    print(environment_line())
    print(comparison(records.of(cells)))
    return 0


def measured(cell: Record, net: Network, data: Split, given: argparse.Namespace) -> Record:
    """Prune, fine-tune, and look at what is left."""
    from mipnet.errors import MipnetError
    from mipnet.pruning import finetune, prune, quality

    start = time.perf_counter()
    raw = small = net
    if cell["method"] != "dense":
        try:
            # Our own method is told the region; nobody else asks for it.
            options = {"radius": RADIUS[cell["data"]]} if cell["method"] == "mip" else {}
            result = prune(
                net,
                cell["method"],
                cell["keep"],
                data.X,
                data.y,
                random_state=cell["seed"],
                **options,
            )
        except MipnetError as error:
            return {"status": "refused", "detail": str(error).splitlines()[0]}
        raw = result.network
        small = finetune(
            raw, data.X, data.y, epochs=given.epochs, seed=cell["seed"], dtype="float32"
        )
    pruned = time.perf_counter() - start
    return {
        "status": "done",
        "seconds": pruned,
        "raw": quality(raw, data.unseen, data.labels),
        "tuned": quality(small, data.unseen, data.labels),
        "parameters": sum(
            int(np.count_nonzero(p)) for n in small.nodes for p in n.layer.parameters
        ),
        **questions(small, data, RADIUS[cell["data"]], given),
    }


def questions(
    net: Network, data: Split, radius: float, given: argparse.Namespace
) -> dict[str, Any]:
    """Unstable neurons around the first test images, and the time to decide about them."""
    from mipnet.bounds import compute_bounds
    from mipnet.region import ball
    from mipnet.search import find_adversarial

    unstable, seconds, decided = [], 0.0, 0
    for x, label in zip(data.unseen[: given.images], data.labels, strict=False):
        region = ball(x, radius, "linf", 0.0, 1.0)
        unstable.append(compute_bounds(net, region).n_unstable)
        start = time.perf_counter()
        verdict = find_adversarial(
            net, x, int(label), radius=radius, lower=0.0, upper=1.0, time_limit=given.limit
        )
        seconds += time.perf_counter() - start
        decided += verdict.status != "unresolved"
    return {"unstable": mean(unstable), "solve": seconds, "decided": decided}


def comparison(records: Sequence[Record]) -> str:
    """Table for each share of units kept, best accuracy first."""
    parts = []
    for keep in sorted({r["keep"] for r in records}, reverse=True):
        own = [r for r in records if r["keep"] == keep and r["status"] == "done"]
        refused = sorted({r["method"] for r in records if r["keep"] == keep} - _names(own))
        rows = []
        for method in _names(own):
            mine = [r for r in own if r["method"] == method]
            tuned = [100 * r["tuned"] for r in mine]
            rows.append(
                (
                    mean(tuned),
                    [
                        method,
                        f"{mean(r['parameters'] for r in mine):.0f}",
                        f"{mean(100 * r['raw'] for r in mine):.1f}",
                        f"{mean(tuned):.2f} ± {stdev(tuned) if len(tuned) > 1 else 0:.2f}",
                        *(_against(mine, own, control) for control in CONTROLS),
                        f"{mean(r['unstable'] for r in mine):.1f}",
                        f"{sum(r['solve'] for r in mine):.1f}",
                        f"{sum(r['decided'] for r in mine)}",
                        f"{mean(r['seconds'] for r in mine):.1f}",
                    ],
                )
            )
        rows.sort(key=lambda row: -row[0])
        heading = ("method", "weights", "pruned %", "fine-tuned %", "- random", "- magnitude")
        heading += ("unstable", "solve s", "decided", "prune s")
        parts += [f"\nkept {keep:.0%}\n", table(heading, (row for _, row in rows))]
        parts += [f"refused: {', '.join(refused)}"] if refused else []
    return "\n".join(parts)


def _names(records: Sequence[Record]) -> set[str]:
    return {r["method"] for r in records}


def _against(mine: Sequence[Record], own: Sequence[Record], control: str) -> str:
    """Mean difference in points, and in how many seeds the method is ahead."""
    other = {r["seed"]: r["tuned"] for r in own if r["method"] == control}
    gaps = [100 * (r["tuned"] - other[r["seed"]]) for r in mine if r["seed"] in other]
    if not gaps or _names(mine) == {control}:
        return "-"
    return f"{mean(gaps):+.2f} ({sum(gap > 0 for gap in gaps)}/{len(gaps)})"


def spr(given: argparse.Namespace) -> int:
    """SPR at the sizes of its authors."""
    if given.root is None:
        print("set MIPNET_DATA to the folder that holds mnist/ with its IDX files", file=sys.stderr)
        return 2
    folder = given.root / "mnist"
    train, test = read_images(folder, "train"), read_images(folder, "t10k")
    cells, files = [], {}
    for seed in range(given.seeds):
        for name in given.nets:
            dense = checkpoint(Recipe(hidden(name), seed), train, test, given.cache)
            small = _spr_file(Recipe(hidden(name), seed), dense, (train, test), given)
            for kind, path in (("dense", dense), ("spr", small)):
                files[name, seed, kind] = path
                cells.append({"net": name, "seed": seed, "kind": kind})
    cells.sort(key=lambda cell: (given.nets.index(cell["net"]), cell["seed"], cell["kind"]))
    pixels = train.pixels[IMAGE].tolist()
    worker = [sys.executable, str(Path(__file__).with_name("cacciola.py")), "--worker"]

    def ask(cell: Record) -> Record:
        path = files[cell["net"], cell["seed"], cell["kind"]]
        net = Checkpoint.read(path)
        request = {"file": str(path), "pixels": pixels, "radius": given.radius}
        answer = supervise(worker, {**request, "limit": given.limit, "threads": 1}, given.limit)
        widths = [len(b) for b in net.biases[:-1]]
        size = sum(w.size for w in net.weights) + sum(b.size for b in net.biases)
        return {**answer, "accuracy": net.accuracy, "units": sum(widths), "parameters": size}

    records = Records(given.output, ("net", "seed", "kind"), given.resume, {})
    measure_all(cells, records, ask)
    print(environment_line())
    print(spr_report(records.of(cells), given.limit))
    return 0


def _spr_file(
    recipe: Recipe, dense: Path, images: tuple[Images, Images], given: argparse.Namespace
) -> Path:
    """Pruned network of the authors' size, trained where the cache has none."""
    from mipnet.pruning import prune, quality

    train, test = images
    lam, alpha, counts = PAPER[recipe.name]
    units = counts[recipe.seed % len(counts)]
    about = f"spr{TRAINING}-{lam}-{alpha}-{units}-{given.start}-{given.epochs}"
    path = given.spr_cache / f"{dense.stem}-{about}.npz"
    if path.is_file():
        return path
    stored = Checkpoint.read(dense)
    net = replace(load((stored.weights, stored.biases)), dtype="float32")
    start = time.perf_counter()
    result = prune(
        net,
        "spr",
        units / sum(recipe.hidden),
        train.scaled,
        y=train.labels.astype(np.int64),
        scope="global",
        lam=lam,
        alpha=alpha,
        start=given.start,
        epochs=given.epochs,
        random_state=recipe.seed,
    )
    pairs = [n.layer.parameters for n in result.network.nodes if n.layer.parameters]
    share = quality(result.network, test.scaled, test.labels.astype(np.int64))
    found = Checkpoint(
        [w.astype(np.float32) for w, _ in pairs],
        [b.astype(np.float32) for _, b in pairs],
        share,
        time.perf_counter() - start,
    )
    found.write(path, path.stem)
    print(f"{path.stem}: {100 * share:.2f} % in {found.seconds:.0f} s", file=sys.stderr)
    return path


def spr_report(records: Sequence[Record], limit: float) -> str:
    """Table with a row for each architecture and state."""
    rows = []
    for name in dict.fromkeys(r["net"] for r in records):
        pair = {k: [r for r in records if (r["net"], r["kind"]) == (name, k)] for k in KINDS}
        times = {
            kind: [r.get("seconds", limit) for r in own if "seconds" in r or r["status"] != "error"]
            for kind, own in pair.items()
        }
        gaps = [
            100 * (b["accuracy"] - a["accuracy"])
            for a in pair["dense"]
            for b in pair["spr"]
            if a["seed"] == b["seed"]
        ]
        for kind, own in pair.items():
            ratio = sum(times["dense"]) / sum(times["spr"]) if all(times.values()) else float("nan")
            decided = sum(r["status"] in {"robust", "witness"} for r in own)
            rows.append(
                [
                    f"{name} {kind}",
                    ", ".join(str(r["units"]) for r in own),
                    f"{mean(r['parameters'] for r in own):.0f}",
                    ", ".join(f"{100 * r['accuracy']:.2f}" for r in own),
                    "-" if kind == "dense" else ", ".join(f"{gap:+.2f}" for gap in gaps),
                    ", ".join(f"{t:.2f}" for t in times[kind]),
                    f"{decided}/{len(own)}",
                    "-" if kind == "dense" else f"{ratio:.2f}",
                ]
            )
    heading = ("net", "hidden units", "parameters", "test accuracy %", "against dense", "solve s")
    return table((*heading, "decided", "dense / pruned s"), rows)


KINDS = ("dense", "spr")


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    root = os.environ.get("MIPNET_DATA")
    common: dict[str, Any] = {"type": Path, "default": Path(root) if root else None}
    one = verbs.add_parser("compare", help="every method at equal size")
    one.add_argument("--data", choices=DATA, default="digits")
    one.add_argument("--methods", nargs="+", help="all when absent; the controls always run")
    one.add_argument("--keeps", nargs="+", type=float, default=[0.5, 0.25])
    one.add_argument("--items", type=int, default=10_000, help="training images")
    one.add_argument("--epochs", type=int, default=60, help="of the fine-tuning")
    one.add_argument("--images", type=int, default=5, help="test images asked about")
    one.add_argument("--limit", type=float, default=10.0, help="seconds of a question")
    one.add_argument("--output", type=Path, default=Path("results/pruning.jsonl"))
    two = verbs.add_parser("spr", help="SPR at its authors' sizes")
    two.add_argument("--nets", nargs="+", choices=PAPER, default=list(PAPER))
    two.add_argument("--epochs", type=int, default=50, help="under the penalty")
    two.add_argument("--start", choices=("scratch", "network"), default="scratch")
    two.add_argument("--radius", type=float, default=5.0)
    two.add_argument("--limit", type=float, default=180.0, help="seconds of a question")
    two.add_argument("--cache", type=Path, default=Path("results/cacciola_nets"))
    two.add_argument("--spr-cache", type=Path, default=Path("results/spr_nets"))
    two.add_argument("--output", type=Path, default=Path("results/pruning_spr.jsonl"))
    for verb in (one, two):
        verb.add_argument("--root", help="folder of mnist/ and fashion/", **common)
        verb.add_argument("--seeds", type=int, default=3)
        verb.add_argument("--resume", action="store_true", help="keep what the output file has")
    return parser.parse_args(given)


def main() -> int:
    given = arguments()
    one_thread()
    try:
        return compare(given) if given.verb == "compare" else spr(given)
    except (FileNotFoundError, ValueError, json.JSONDecodeError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
