"""SASP on fully connected networks: accuracy and cycles against the rate of zero tiles.

    MIPNET_DATA=ROOT python benchmarks/pruning_sasp.py --sets mnist fashion --seeds 3

Networks 784-256-256-10 of ReLU, ten epochs. Tiles are as large as the array, nothing is trained
after pruning, and the last layer is left alone. Every count of zero tiles is compared with the
arithmetic of the rule.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _mnist import read_images
from _training import one_thread

from mipnet.hardware import TileMask, cost, weight_matrices
from mipnet.network import Network
from mipnet.pruning import prune, train_mlp

SIDES = (4, 8, 16, 32)
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def zero_tiles(network: Network, names: Sequence[str], side: int) -> dict[str, TileMask]:
    """Tiles as they lie in the weights."""
    matrices = weight_matrices(network)
    return {name: TileMask.from_weights(matrices[name], side) for name in names}


def main() -> None:
    """Train, prune at every rate and size, print one table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("MIPNET_DATA"))
    parser.add_argument("--sets", nargs="+", default=["mnist", "fashion"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    one_thread()
    if asked.data is None:
        parser.error("set MIPNET_DATA, or give --data: the folder of mnist/ and fashion/")
    for data in asked.sets:
        train, test = (read_images(Path(asked.data) / data, part) for part in ("train", "t10k"))
        labels = test.labels.astype(int)
        shape = (len(SIDES), len(RATES), 2, asked.seeds)
        accuracy, speed = np.zeros(shape), np.zeros(shape)
        for seed in range(asked.seeds):
            net = train_mlp(
                train.scaled,
                train.labels.astype(int),
                (256, 256),
                epochs=asked.epochs,
                lr=1e-3,
                batch_size=128,
                seed=seed,
                dtype="float32",
            )
            for place in np.ndindex(shape[:3]):
                side, rate = SIDES[place[0]], RATES[place[1]]
                kind = ("fp32", "int8")[place[2]]
                found = prune(net, "sasp", None, tile=side, rate=rate, weights=kind)
                names = list(found.mask.layers)
                masks = zero_tiles(found.masked, names, side)
                zeros = sum(mask.keep.size - mask.kept_tiles for mask in masks.values())
                total = sum(mask.keep.size for mask in masks.values())
                if zeros != (int(rate * total) + 1 if rate else 0):
                    msg = f"{data}, {side}x{side}, rate {rate}: {zeros} of {total} tiles are zero"
                    raise RuntimeError(msg)
                right = found.masked(test.scaled).argmax(axis=1) == labels
                accuracy[(*place, seed)] = 100.0 * right.mean()
                cycles = [
                    cost(net, mask, array=f"{side}x{side}", dataflow="ws", batch=32).cycles
                    for mask in (None, masks)
                ]
                speed[(*place, seed)] = cycles[0] / cycles[1]
        print(table(data, accuracy, speed))


def table(data: str, accuracy: np.ndarray, speed: np.ndarray) -> str:
    """Markdown: mean accuracy of the seeds with 32-bit and 8-bit weights, and speed-up."""
    head = " | ".join(f"{side}x{side}" for side in SIDES)
    rows = [
        f"\n{data}: accuracy %, FP32 / INT8 weights; speed-up, {', '.join(map(str, SIDES))}\n",
        f"| tile rate | {head} | speed-up |",
        "|" + "---|" * (len(SIDES) + 2),
    ]
    for r, rate in enumerate(RATES):
        cells = [
            " / ".join(f"{v:.1f}" for v in accuracy[s, r].mean(axis=-1)) for s in range(len(SIDES))
        ]
        gains = ", ".join(f"{speed[s, r, 0].mean():.2f}" for s in range(len(SIDES)))
        rows.append(f"| {rate} | {' | '.join(cells)} | {gains} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
