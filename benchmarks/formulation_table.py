"""Formulations side by side: root gap, nodes and processor time over many networks.

``python benchmarks/formulation_table.py --shared FOLDER`` minimises a random direction of the
outputs over a box, once for every formulation, with the same bounds, start point and solver
options. The networks are trained here (dense, units pruned, weights pruned; two to six hidden
layers) and read from FOLDER (``vnn/`` and ``peers/nets``, where there is one). Boxes grow until a
given number of neurons is unstable, so that every network asks for a search.

Time is processor time of building and solving, bounds aside, in one process and one thread: other
work on the machine does not count. ``--resume`` goes on where a run was stopped.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _measure import Record, Records, environment_line, measure_all, shifted_geometric_mean, table

import mipnet
from mipnet.bounds import compute_bounds
from mipnet.encode import Encoding, encode
from mipnet.network import Affine, Network, ReLU
from mipnet.region import Box
from mipnet.solver import IMPROVE, Limits, separate, solve

CHOICES = ("big_m", "partition(2)", "partition(4)", "partition(0)", "ideal", "auto")
#: Hidden widths and inputs of the networks trained here.
SHAPES = (
    (5, (16, 16)), (8, (24, 24)), (12, (20, 20)), (5, (12, 12, 12)), (8, (14, 14, 14)),
    (5, (10, 10, 10, 10)), (6, (8, 8, 8, 8, 8)), (6, (8, 8, 8, 8, 8, 8)),
)  # fmt: skip
#: Ends of a search, so that a hard cell costs a minute and not an evening.
NODES, SECONDS, GAP = 20_000, 120.0, 1e-4


@dataclass(frozen=True)
class Case:
    """A network, where its box is centred, and how wide it is at most."""

    name: str
    make: Callable[[], tuple[Network, np.ndarray, np.ndarray]]


def trained(inputs: int, hidden: Sequence[int], how: str) -> tuple[Network, np.ndarray, np.ndarray]:
    """Train a regression network on a smooth function of random points, as it is or pruned."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    rng = np.random.default_rng(len(hidden) * 100 + inputs)
    x = rng.uniform(-1, 1, size=(600, inputs))
    target = (
        np.sin(3.0 * x[:, 0] * x[:, 1]) + x[:, 2] ** 2 - x[:, 3] * x[:, 4] + 0.3 * x.sum(axis=1)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPRegressor(
            hidden_layer_sizes=tuple(hidden),
            solver="lbfgs",
            max_iter=150,
            random_state=0,
            alpha=1e-3,
        )
        model.fit(x, target)
    net = chain([w.T for w in model.coefs_], model.intercepts_)
    if how == "units":
        net = mipnet.prune(net, "magnitude", keep=0.6).network
    if how == "weights":
        net = chain([sparse(n.layer.weight) for n in net.nodes if isinstance(n.layer, Affine)],
                    [n.layer.bias for n in net.nodes if isinstance(n.layer, Affine)])  # fmt: skip
    return net, np.zeros(inputs), np.ones(inputs)


def sparse(weight: np.ndarray, share: float = 0.7) -> np.ndarray:
    """Leave out the smallest weights."""
    return np.where(np.abs(weight) >= np.quantile(np.abs(weight), share), weight, 0.0)


def chain(weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> Network:
    """Affine layers with ReLUs between them."""
    layers: list[Any] = []
    for weight, bias in zip(weights, biases, strict=True):
        layers += [Affine(weight, bias), ReLU()]
    return Network.sequential(layers[:-1])


def public(path: Path) -> tuple[Network, np.ndarray, np.ndarray]:
    """Read a network; its box lies around the middle of the one that comes with it, or 0.25."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as data:
            count = sum(name.startswith("W") for name in data.files)
            net = chain(
                [data[f"W{k}"] for k in range(count)], [data[f"b{k}"] for k in range(count)]
            )
            low, high = data["lb"], data["ub"]
        return net, 0.5 * (low + high), np.maximum(0.5 * (high - low), 1e-3)
    net = mipnet.load(path)
    return net, np.full(net.n_inputs, 0.25), np.ones(net.n_inputs)


def cases(shared: Path | None) -> Iterator[Case]:
    """All networks."""
    for inputs, hidden in SHAPES:
        for how in ("dense", "units", "weights"):
            name = f"{inputs}-{'-'.join(map(str, hidden))}-{how}"
            yield Case(name, lambda i=inputs, h=hidden, w=how: trained(i, h, w))
    if shared is None:
        return
    names = ("p_acas11", "p_cartpole", "p_robot", "p_safenlp", "p_vdp", "sample_5_20_20_2")
    paths = [shared / "peers" / "nets" / f"{n}.npz" for n in names]
    vnn = shared / "vnn"
    paths += [vnn / "rl_benchmarks" / "onnx" / f"{n}.onnx" for n in ("dubinsrejoin", "lunarlander")]
    paths += [vnn / "linearizenn" / "onnx" / f"AllInOne_{n}.onnx" for n in ("10_10", "30_30")]
    paths += [vnn / "reach_prob_density" / "onnx" / "gcas.onnx"]
    for path in paths:
        if path.exists():
            yield Case(path.stem, lambda p=path: public(p))


class Question:
    """One network, box and direction, with bounds and a start point; asked in several ways."""

    def __init__(self, case: Case, seed: int, unstable: int) -> None:
        net, centre, half = case.make()
        rng = np.random.default_rng(seed)
        self.net = net.then(Affine(rng.normal(size=(1, net.n_outputs)), np.zeros(1)), "direction")
        low, high = 0.0, 1.0
        for _ in range(14):
            middle = 0.5 * (low + high)
            box = Box(centre - middle * half, centre + middle * half)
            bounds = compute_bounds(self.net, box, "crown")
            low, high = (middle, high) if bounds.n_unstable < unstable else (low, middle)
        self.box, self.bounds = box, bounds
        points = box.sample(rng, 2000)
        self.point = points[self.net(points).reshape(-1).argmin()]

    def encoded(self, choice: str) -> Encoding:
        """Program of a formulation."""
        return encode(self.net, self.box, self.bounds.intervals, formulation_name=choice)

    def ask(self, choice: str) -> Record:
        """Build and solve one program."""
        begin = time.process_time()
        encoding = self.encoded(choice)
        arrays = encoding.arrays(np.ones(1))
        answer = solve(
            arrays,
            limits=Limits(time=SECONDS, nodes=NODES),
            profile=IMPROVE.with_options(mip_rel_gap=GAP),
            start=encoding.complete(self.point),
        )
        seconds = time.process_time() - begin
        root = separate(arrays)
        relaxed = replace(root.arrays, integer=np.zeros(arrays.n_columns, dtype=bool))
        return {
            "status": answer.status.value,
            "seconds": seconds,
            "nodes": answer.nodes,
            "value": answer.objective,
            "bound": answer.bound,
            "root": solve(relaxed).objective,
            "rows": arrays.n_rows + answer.cuts,
            "columns": arrays.n_columns,
            "nonzeros": root.arrays.n_nonzeros,
            "binaries": arrays.n_binaries,
            "unstable": self.bounds.n_unstable,
            "inputs": self.net.n_inputs,
        }


def report(records: list[Record]) -> str:
    """Tables: every network, and the formulations over all of them."""
    choices = [c for c in CHOICES if any(r["choice"] == c for r in records)]
    names = list(dict.fromkeys(r["case"] for r in records))
    cell: dict[tuple[str, str], list[Record]] = {}
    for r in records:
        cell.setdefault((r["case"], r["choice"]), []).append(r)

    def median(name: str, choice: str, field: str) -> float:
        found = [r[field] for r in cell.get((name, choice), []) if r.get(field) is not None]
        return statistics.median(found) if found else float("nan")

    best: dict[tuple[str, int], float] = {}
    for r in records:
        if r["value"] is not None:
            key = r["case"], r["seed"]
            best[key] = min(best.get(key, np.inf), r["value"])

    def root_gap(name: str, choice: str) -> float:
        """Root gap, as a share of that of big-M."""
        base = {r["seed"]: r["root"] for r in cell.get((name, "big_m"), [])}
        gaps = [
            (best[name, r["seed"]] - r["root"]) / (best[name, r["seed"]] - base[r["seed"]])
            for r in cell.get((name, choice), [])
            if r["seed"] in base and best[name, r["seed"]] - base[r["seed"]] > 1e-9
        ]
        return statistics.median(gaps) if gaps else math.nan

    rows = []
    for name in names:
        first = cell.get((name, choices[0]), [{}])[0]
        entries = [f"{median(name, c, 'seconds'):.2f} s, {median(name, c, 'nodes'):.0f}, "
                   f"{root_gap(name, c):.2f}" for c in choices]  # fmt: skip
        rows.append([name, str(first.get("unstable", "")), *entries])
    every = table(["network", "unstable", *choices], rows)
    total = []
    for c in choices:
        seconds = [median(n, c, "seconds") for n in names]
        base = [median(n, "big_m", "seconds") for n in names]
        ratio = shifted_geometric_mean(seconds, 0.1) / shifted_geometric_mean(base, 0.1)
        quickest = [min(median(n, o, "seconds") for o in choices) for n in names]
        fastest = sum(s <= 1.05 * q for s, q in zip(seconds, quickest, strict=True))
        gaps = [g for g in (root_gap(n, c) for n in names) if not math.isnan(g)]
        open_ = sum(r["status"] != "optimal" for n in names for r in cell.get((n, c), []))
        nodes = shifted_geometric_mean([median(n, c, "nodes") for n in names], 10.0)
        worst = max(s / b for s, b in zip(seconds, base, strict=True))
        total.append([c, f"{shifted_geometric_mean(seconds, 0.1):.3f}", f"{ratio:.2f}",
                      f"{worst:.1f}", f"{nodes:.0f}", f"{statistics.median(gaps):.2f}",
                      str(fastest), str(open_)])  # fmt: skip
    heading = ["formulation", "seconds", "to big_m", "worst to big_m", "nodes", "root gap left",
               "fastest", "not closed"]  # fmt: skip
    return f"{every}\n\n{table(heading, total)}"


def main() -> None:
    """Measure what is not measured yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--shared", type=Path, help="folder with vnn/ and peers/nets")
    parser.add_argument("--output", type=Path, default=Path("results/formulations.jsonl"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--unstable", type=int, default=24, help="neurons the boxes leave open")
    parser.add_argument("--choices", nargs="+", default=list(CHOICES))
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    known = {case.name: case for case in cases(given.shared)}
    about = {"unstable": given.unstable, "nodes": NODES, "gap": GAP}
    records = Records(given.output, ("case", "seed", "choice"), given.resume, about)
    asked: dict[tuple[str, int], Question] = {}

    def work(cell: Record) -> Record:
        key = cell["case"], cell["seed"]
        if key not in asked:
            asked[key] = Question(known[cell["case"]], cell["seed"], given.unstable)
        return asked[key].ask(cell["choice"])

    cells = [
        {"case": name, "seed": seed, "choice": choice}
        for name in known
        for seed in range(given.seeds)
        for choice in given.choices
    ]
    measure_all(cells, records, work)
    print(environment_line())
    print(report(records.of(cells)))


if __name__ == "__main__":
    main()
