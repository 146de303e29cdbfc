"""BMRS beside its paper: compression and accuracy of the fully connected networks of table 1.

    MIPNET_DATA=ROOT python benchmarks/pruning_bmrs.py --cache DIR --seeds 3

ROOT holds ``mnist/`` and ``fashion/`` with the four IDX files each. Networks, images (resized to
32 x 32, ``(v - 127) / 255``), learning rates, 50 + 10 epochs and the count of removed parameters
are the paper's (arXiv 2406.01345); runs that are in the cache are not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _mnist import read_images
from _training import one_thread

from mipnet.network import Affine, Layer, Network
from mipnet.network.layers import Tanh
from mipnet.pruning import finetune, prune

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Setting:
    """Network and training of one data set, and the paper's figures by method.

    Attributes
    ----------
    hidden : tuple of int
        The paper's number of layers and one more, as in its code.
    lr : float
    paper : dict of str to (float, float)
        Compression and test accuracy, percent.
    """

    hidden: tuple[int, ...]
    lr: float
    paper: dict[str, tuple[float, float]]


SETTINGS = {
    "mnist": Setting(
        (100,) * 8,
        8.5e-4,
        {
            "none": (0.0, 97.43),
            "bmrs_n": (48.86, 96.95),
            "bmrs_u8": (48.73, 96.93),
            "bmrs_u4": (54.47, 96.99),
            "snr": (58.57, 96.92),
            "mean": (52.08, 96.88),
            "l2": (43.11, 10.39),
        },
    ),
    "fashion": Setting(
        (150,) * 2,
        1.5e-3,
        {
            "none": (0.0, 88.17),
            "bmrs_n": (93.20, 84.99),
            "bmrs_u8": (93.02, 85.01),
            "bmrs_u4": (91.57, 85.79),
            "snr": (99.83, 10.00),
            "mean": (91.76, 85.59),
            "l2": (87.86, 18.23),
        },
    ),
}
METHODS: dict[str, dict[str, Any]] = {
    "none": {},
    "bmrs_n": {"criterion": "bmrs_n", "variant": "code"},
    "bmrs_u8": {"criterion": "bmrs_u", "p1": 8.0},
    "bmrs_u4": {"criterion": "bmrs_u", "p1": 4.0},
    "bmrs_n (paper's formula)": {"criterion": "bmrs_n", "variant": "paper"},
    "snr": {"criterion": "snr"},
    "mean": {"criterion": "mean"},
    "l2": {"criterion": "l2"},
}
EPOCHS, TUNING = 50, 10


def images(folder: Path, part: str) -> tuple[Floats, Labels]:
    """Images as the paper's code has them, and labels."""
    import torch

    found = read_images(folder, part)
    pixels = torch.tensor(found.pixels.reshape(-1, 1, 28, 28), dtype=torch.float32)
    resized = torch.nn.functional.interpolate(pixels, (32, 32), mode="bilinear")
    scaled = (resized.flatten(1).double().numpy() - 127.0) / 255.0
    return scaled, found.labels.astype(np.int64)


def fresh(widths: tuple[int, ...], seed: int) -> Network:
    """Untrained network with the first weights torch gives a Linear."""
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    for n_in, n_out in pairwise(widths):
        limit = 1.0 / np.sqrt(n_in)
        weight, bias = (rng.uniform(-limit, limit, s) for s in ((n_out, n_in), n_out))
        layers += [Affine(weight, bias), Tanh()]
    return Network.sequential(layers[:-1])


def compression(widths: tuple[int, ...], kept: list[int]) -> float:
    """Share of removed parameters, percent, counted as the paper's code does.

    Weights of removed rows and columns and two noise parameters a unit, of all weights, biases
    and noise parameters; biases never count as removed.
    """
    before = sum(n_in * n_out + n_out for n_in, n_out in pairwise(widths))
    left = [widths[0], *kept, widths[-1]]
    removed = sum(a * b for a, b in pairwise(widths)) - sum(a * b for a, b in pairwise(left))
    units, gone = sum(widths[1:-1]), sum(widths[1:-1]) - sum(kept)
    return 100.0 * (removed + 2 * gone) / (before + 2 * units)


def run(data: str, method: str, seed: int, root: Path) -> dict[str, Any]:
    """Train, prune and test once."""
    setting = SETTINGS[data]
    x, y = images(root / data, "train")
    widths = (x.shape[1], *setting.hidden, 10)
    start = time.perf_counter()
    net = fresh(widths, seed)
    kept, parameters = list(setting.hidden), net.n_parameters
    if method == "none":
        small = finetune(
            net,
            *(x, y),
            epochs=EPOCHS + TUNING,
            lr=setting.lr,
            batch_size=128,
            seed=seed,
            dtype="float32",
            schedule="constant",
        )
    else:
        options = METHODS[method] | {"epochs": EPOCHS, "finetune_epochs": TUNING}
        options |= {"lr": setting.lr, "noise_lr": setting.lr, "batch_size": 128}
        result = prune(net, "bmrs", None, x, y, random_state=seed, **options)
        small, kept = result.network, [row.units_kept for row in result.report.layers]
        parameters = small.n_parameters
    seconds = time.perf_counter() - start
    images_, labels = images(root / data, "t10k")
    return {
        "kept": kept,
        "compression": compression(widths, kept),
        "parameters": parameters,
        "accuracy": 100.0 * float((small(images_).argmax(axis=1) == labels).mean()),
        "seconds": seconds,
    }


def table(data: str, runs: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown rows beside those of the paper."""
    rows = [
        f"{data}: compression % / accuracy %",
        "",
        "| method | here | paper | units kept, by layer | parameters | s |",
        "|---|---|---|---|---|---|",
    ]
    for method, found in runs.items():
        columns = {k: np.array([r[k] for r in found]) for k in found[0]}
        mean = {k: v.mean(axis=0) for k, v in columns.items()}
        here = " / ".join(
            f"{mean[k]:.1f} ± {columns[k].std():.1f}" for k in ("compression", "accuracy")
        )
        paper = SETTINGS[data].paper.get(method)
        theirs = f"{paper[0]:.1f} / {paper[1]:.1f}" if paper else "-"
        kept = ", ".join(f"{n:.0f}" for n in mean["kept"])
        rows.append(
            f"| {method} | {here} | {theirs} | {kept} | {mean['parameters']:.0f} | "
            f"{mean['seconds']:.0f} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("MIPNET_DATA"))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    one_thread()
    if asked.data is None:
        parser.error("set MIPNET_DATA, or give --data: the folder of mnist/ and fashion/")
    asked.cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for data in asked.sets:
        for method in asked.methods:
            for seed in range(asked.seeds):
                place = asked.cache / f"bmrs-{data}-{method.split(' (')[0]}-{seed}.json"
                if "paper" in method:
                    place = place.with_stem(f"{place.stem}-paper")
                if not place.is_file():
                    place.write_text(json.dumps(run(data, method, seed, Path(asked.data))))
                record = json.loads(place.read_text())
                found.setdefault(data, {}).setdefault(method, []).append(record)
    print("\n\n".join(table(data, runs) for data, runs in found.items()))


if __name__ == "__main__":
    main()
