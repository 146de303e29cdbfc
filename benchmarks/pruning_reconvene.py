"""Reconvene-style pruning at initialisation against controls at equal parameters, on digits.

    python benchmarks/pruning_reconvene.py --nets mlp conv --seeds 3 [--resume]

Its own widths at several sparsities; every layer cut to its own density; layers chosen at random;
then, at the parameters of the first, a network with all layers equally thinner trained from
scratch, and the trained dense network pruned by magnitude or at random and fine-tuned. Every arm
has the same number of epochs in all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from _measure import Record, Records
from _training import one_thread
from sklearn.datasets import load_digits

from mipnet.network import Affine, Flatten, Layer, Network, ReLU
from mipnet.network.layers import Conv, MaxPool
from mipnet.pruning import finetune, prune
from mipnet.pruning.budgets import Parameters
from mipnet.pruning.training import initialised, quality

EPOCHS, TUNING, LR = 40, 10, 1e-3
SPARSITIES = (0.7, 0.8, 0.9)
#: Choices of layers, and the other ways to the size that the first of them ends with.
WAYS = {"reconvene": "resilient", "every layer": "every", "random layers": "random"}
ARMS = (*WAYS, "scratch", "magnitude", "random")


def mlp() -> Network:
    """64-256-256-64-10, as in the card's demonstration."""
    layers: list[Layer] = []
    for n_in, n_out in pairwise((64, 256, 256, 64, 10)):
        layers += [Affine(np.zeros((n_out, n_in)), np.zeros(n_out)), ReLU()]
    return Network.sequential(layers[:-1])


def conv() -> Network:
    """Four convolutions for 8 x 8 images, 99,000 parameters."""

    def three(n_in: int, n_out: int) -> list[Layer]:
        return [Conv(np.zeros((n_out, n_in, 3, 3)), np.zeros(n_out), padding=1), ReLU()]

    layers = [
        *(*three(1, 32), *three(32, 64), MaxPool((2, 2)), *three(64, 64), *three(64, 64)),
        *(MaxPool((2, 2)), Flatten(), Affine(np.zeros((10, 256)), np.zeros(10))),
    ]
    return Network.sequential(layers, (1, 8, 8))


@dataclass(frozen=True)
class Case:
    """A network of new weights, training items, and a seed."""

    net: Network
    data: Any
    seed: int

    @cached_property
    def dense(self) -> Network:
        """The network, trained."""
        return prune(self.net, "scratch", 1.0, *self.data, epochs=EPOCHS, **self.options).network

    @property
    def options(self) -> dict[str, Any]:
        """What all training has in common."""
        return {"lr": LR, "batch_size": 64, "random_state": self.seed}

    def small(self, arm: str, sparsity: float, size: int) -> Network:
        """Network of one way; ``size`` is what the first way ended with."""
        if arm in WAYS:
            own = {"sparsity": sparsity, "epochs": EPOCHS + TUNING, **self.options}
            return prune(self.net, "reconvene", None, *self.data, layers=WAYS[arm], **own).network
        same: dict[str, Any] = {"budget": Parameters(size), "scope": "layer", "keep": None}
        if arm == "scratch":
            x, y = self.data
            own = {"epochs": EPOCHS + TUNING, **same, **self.options}
            return prune(self.net, arm, data=x, y=y, **own).network
        found = prune(self.dense, arm, random_state=self.seed, **same).network
        options = {"epochs": TUNING, "lr": LR, "batch_size": 64, "seed": self.seed}
        return finetune(found, *self.data, dtype=self.net.dtype, **options)


def measured(name: str, seed: int, records: Records) -> None:
    """Every way at every sparsity for one network and seed, as far as it is not on file."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, y = digits.data[order] / 16.0, digits.target[order].astype(int)
    # A network of zeros would fold away, and its budget with it. Convolutions take their time.
    net = initialised({"mlp": mlp, "conv": conv}[name]())
    net = replace(net, dtype={"mlp": "float64", "conv": "float32"}[name])
    x = x.reshape(len(x), *net.input_shape)
    data, test = (x[:1200], y[:1200]), (x[1200:], y[1200:])
    case = Case(net, data, seed)

    def kept(sparsity: float, arm: str, make: Callable[[], Network]) -> Record:
        key = {"net": name, "seed": seed, "sparsity": sparsity, "arm": arm}
        if not records.has(key):
            found = make()
            figures = {"quality": quality(found, *test), "parameters": found.n_parameters}
            records.add({**key, "status": "done", **figures})
        return records.of([key])[0]

    kept(0.0, "dense", lambda: case.dense)
    for sparsity in SPARSITIES:
        size = net.n_parameters
        for arm in ARMS:
            if arm in WAYS or size < net.n_parameters:
                record = kept(sparsity, arm, partial(case.small, arm, sparsity, size))
                size = record["parameters"] if arm == "reconvene" else size


def main() -> None:
    """Print one table for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", nargs="+", choices=("mlp", "conv"), default=["mlp", "conv"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("results/pruning_reconvene.jsonl"))
    parser.add_argument("--resume", action="store_true", help="keep what the output file has")
    asked = parser.parse_args()
    one_thread()
    records = Records(asked.output, ("net", "seed", "sparsity", "arm"), asked.resume, {})
    for name in asked.nets:
        for seed in range(asked.seeds):
            measured(name, seed, records)
        print(report(name, [r for r in records.found if r["net"] == name]))


def report(name: str, records: Sequence[Record]) -> str:
    """Markdown table of one network."""

    def found(sparsity: float, arm: str) -> str:
        own = [r for r in records if (r["sparsity"], r["arm"]) == (sparsity, arm)]
        return cell([(r["quality"], r["parameters"]) for r in own])

    rows = [f"| {s} | {' | '.join(found(s, arm) for arm in ARMS)} |" for s in SPARSITIES]
    return "\n".join(
        [
            f"\n{name}: accuracy %, lowest to highest of the seeds (parameters)\n",
            "| sparsity | " + " | ".join(ARMS) + " |",
            "|---" * (len(ARMS) + 1) + "|",
            *rows,
            f"\ndense: {found(0.0, 'dense')}",
        ]
    )


def cell(found: list[tuple[float, int]]) -> str:
    """Range of accuracies, and mean size."""
    if not found:
        return "-"
    shares = sorted(100.0 * share for share, _ in found)
    size = np.mean([count for _, count in found])
    return f"{shares[0]:.1f}-{shares[-1]:.1f} ({size:,.0f})"


if __name__ == "__main__":
    main()
