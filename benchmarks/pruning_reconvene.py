"""Reconvene-style pruning at initialisation against controls at equal parameters, on digits.

    python benchmarks/pruning_reconvene.py --nets mlp conv --seeds 3

Its own widths at several sparsities; every layer cut to its own density; layers chosen at random;
then, at the parameters of the first, a network with all layers equally thinner trained from
scratch, and the trained dense network pruned by magnitude or at random and fine-tuned. Every arm
has the same number of epochs in all.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import Any

import numpy as np
from _training import one_thread
from sklearn.datasets import load_digits

from mipnet.network import Affine, Flatten, Layer, Network, ReLU
from mipnet.network.layers import Conv, MaxPool
from mipnet.pruning import finetune, prune
from mipnet.pruning.budgets import Parameters
from mipnet.pruning.training import initialised, quality

EPOCHS, TUNING, LR = 40, 10, 1e-3
SPARSITIES = (0.7, 0.8, 0.9)
ARMS = ("reconvene", "every layer", "random layers", "scratch", "magnitude", "random")


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


def arms(net: Network, dense: Network, data: Any, sparsity: float, seed: int) -> dict[str, Network]:
    """One small network by each way."""
    options: dict[str, Any] = {"lr": LR, "batch_size": 64, "random_state": seed}
    own = {"sparsity": sparsity, "epochs": EPOCHS + TUNING, **options}
    found = {
        name: prune(net, "reconvene", None, *data, layers=layers, **own).network
        for name, layers in zip(ARMS[:3], ("resilient", "every", "random"), strict=True)
    }
    budget = Parameters(found["reconvene"].n_parameters)
    if budget.amount >= net.n_parameters:
        return found
    same = {"budget": budget, "scope": "layer", "keep": None}
    found["scratch"] = prune(
        net, "scratch", data=data[0], y=data[1], epochs=EPOCHS + TUNING, **same, **options
    ).network
    for method in ARMS[4:]:
        small = prune(dense, method, random_state=seed, **same).network
        found[method] = finetune(small, *data, epochs=TUNING, lr=LR, batch_size=64, seed=seed)
    return found


def main() -> None:
    """Print one table for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", nargs="+", choices=("mlp", "conv"), default=["mlp", "conv"])
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    one_thread()
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, y = digits.data[order] / 16.0, digits.target[order].astype(int)
    for name in asked.nets:
        # A network of zeros would fold away, and its budget with it.
        net = initialised({"mlp": mlp, "conv": conv}[name]())
        x_net = x.reshape(len(x), *net.input_shape)
        data, test = (x_net[:1200], y[:1200]), (x_net[1200:], y[1200:])
        rows: dict[tuple[float, str], list[tuple[float, int]]] = {}
        for seed in range(asked.seeds):
            whole = {"lr": LR, "batch_size": 64, "epochs": EPOCHS, "random_state": seed}
            dense = prune(net, "scratch", 1.0, *data, **whole).network
            rows.setdefault((0.0, "dense"), []).append((quality(dense, *test), dense.n_parameters))
            for sparsity in SPARSITIES:
                for arm, small in arms(net, dense, data, sparsity, seed).items():
                    record = (quality(small, *test), small.n_parameters)
                    rows.setdefault((sparsity, arm), []).append(record)
        print(f"\n{name}: accuracy %, lowest to highest of the seeds (parameters)\n")
        print("| sparsity | " + " | ".join(ARMS) + " |\n" + "|---" * (len(ARMS) + 1) + "|")
        for sparsity in SPARSITIES:
            cells = [cell(rows.get((sparsity, arm), [])) for arm in ARMS]
            print(f"| {sparsity} | {' | '.join(cells)} |")
        print(f"\ndense: {cell(rows[0.0, 'dense'])}")


def cell(found: list[tuple[float, int]]) -> str:
    """Range of accuracies, and mean size."""
    if not found:
        return "-"
    shares = sorted(100.0 * share for share, _ in found)
    size = np.mean([count for _, count in found])
    return f"{shares[0]:.1f}-{shares[-1]:.1f} ({size:,.0f})"


if __name__ == "__main__":
    main()
