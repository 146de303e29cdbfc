"""The hardware model: its speed, and SASP's question asked of a transformer trained here.

    python benchmarks/hardware.py [--seeds 3] [--epochs 40] [--output results/hardware.md]

* speed: GEMM evaluations per second on one core, with and without memory stalls, through
  ``evaluate`` (arrays) and ``cost`` (a list of triples);
* SASP (Palacios et al., GLSVLSI 2025, arXiv 2411.10285): a two-layer transformer on scikit-learn's
  digits, 16 patches of 2x2 pixels, d_model 128, 4 heads, d_ff 512. Tiles of the array's size are
  pruned from the feed-forward matrices by one threshold, without fine-tuning, and left out by a
  weight-stationary array of 4, 8, 16 or 32 rows and columns.

Needs torch (CPU). One thread; a few minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from mipnet.hardware import (
    DesignPoint,
    Gemm,
    Memory,
    cost,
    evaluate,
    prune_tiles,
    sweep,
    transformer_block,
)
from mipnet.hardware.ticsat import BLOCKS, instructions

SIDES = (4, 8, 16, 32)
RATES = tuple(step / 20 for step in range(19))
TOKENS, WIDTH, HEADS, HIDDEN, LAYERS = 16, 128, 4, 512, 2
#: Images at a time: 8 of 16 patches are the 128 rows of the paper's simulations.
BATCH = 8
#: The paper's loss of quality, in points.
LOSS = 1.4
#: DRAM bytes per cycle of the column with memory stalls.
BANDWIDTH = 4.0
Points = tuple[DesignPoint, ...]


def speed(shapes: int = 100_000, repeats: int = 5) -> list[list[str]]:
    """Time evaluations per second: median and range of the repeats."""
    sizes = np.random.default_rng(0).integers(1, 2000, (shapes, 3))
    listed = [tuple(row) for row in sizes.tolist()]
    works: dict[str, Callable[[Memory], Any]] = {
        "evaluate": lambda memory: evaluate(*sizes.T, 16, memory=memory).cycles,
        "cost": lambda memory: cost(listed, array=16, memory=memory).energy,
    }
    rows = []
    for name, work in works.items():
        for limit, memory in (("none", Memory()), ("16 bytes per cycle", Memory(bandwidth=16.0))):
            seconds = []
            for _ in range(repeats):
                start = time.perf_counter()
                work(memory)
                seconds.append(time.perf_counter() - start)
            per_second = sorted(shapes / s for s in seconds)
            middle = statistics.median(per_second)
            rows.append(
                [name, limit, f"{middle:,.0f}", f"{per_second[0]:,.0f} to {per_second[-1]:,.0f}"]
            )
    return rows


def patches(images: np.ndarray) -> torch.Tensor:
    """16 patches of 2x2 pixels."""
    blocks = images.reshape(-1, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(-1, TOKENS, 4)
    return torch.tensor(blocks / 16.0, dtype=torch.float32)


class Transformer(nn.Module):
    """Encoder with learnt positions; the mean over the patches is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, WIDTH)
        self.place = nn.Parameter(0.02 * torch.randn(TOKENS, WIDTH))
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, HIDDEN, dropout=0.1, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        return self.head(self.encoder(self.embed(x) + self.place).mean(dim=1))

    def feed_forward(self) -> dict[str, nn.Parameter]:
        """Feed-forward weights by the name of their GEMM."""
        return {
            f"block{i}.ffn.{name}": getattr(block, linear).weight
            for i, block in enumerate(self.encoder.layers)
            for name, linear in (("up", "linear1"), ("down", "linear2"))
        }


def trained(seed: int, epochs: int) -> tuple[Transformer, torch.Tensor, np.ndarray]:
    """Model, test patches and labels; a third of the digits is held out."""
    torch.manual_seed(seed)
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    x, y = patches(digits.images[order]), torch.tensor(digits.target[order])
    cut = len(order) * 2 // 3
    model = Transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(cut).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        schedule.step()
    return model.eval(), x[cut:], y[cut:].numpy()


def gemms() -> tuple[Gemm, ...]:
    """Both blocks; embedding and classifier do not reach one part in a hundred."""
    return tuple(
        gemm
        for i in range(LAYERS)
        for gemm in transformer_block(TOKENS, WIDTH, HEADS, HIDDEN, batch=BATCH, name=f"block{i}")
    )


def explored(seed: int, epochs: int) -> tuple[Points, Points, dict[int, float]]:
    """Sweep one trained model without and with a memory limit; empty folds under one mask."""
    model, x, y = trained(seed, epochs)
    parameters = model.feed_forward()
    weights = {name: p.detach().numpy().T.copy() for name, p in parameters.items()}

    def accuracy(left: Mapping[str, np.ndarray]) -> float:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(torch.tensor(np.ascontiguousarray(left[name].T)))
            found = model(x).argmax(dim=1).numpy()
        return 100.0 * float((found == y).mean())

    space = sweep(gemms(), arrays=SIDES, rates=RATES, weights=weights, accuracy=accuracy)
    limited = sweep(gemms(), arrays=SIDES, rates=RATES, weights=weights, bandwidth=BANDWIDTH)
    masks = prune_tiles(weights, 4, 0.5)
    empty = {}
    for side in SIDES:
        kept = np.concatenate([mask.retile(side).keep.ravel() for mask in masks.values()])
        empty[side] = 100.0 * (1.0 - kept.mean())
    return space.points, limited.points, empty


def mean(values: list[float], digits: int = 1) -> str:
    return f"{statistics.mean(values):.{digits}f}"


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def at(runs: list[Points], side: int, rate: float) -> list[DesignPoint]:
    """Pick the same point of every seed."""
    name = f"{side}x{side}"
    return [p for run in runs for p in run if p.array == name and p.rate == rate]


def accuracies(runs: list[Points]) -> str:
    rows = []
    for rate in RATES[::2]:
        found = {side: at(runs, side, rate) for side in SIDES}
        cells = [spread([p.accuracy for p in found[side]]) for side in SIDES]
        speeds = [mean([p.speed_up for p in found[side]], 2) for side in SIDES]
        saved = [mean([100 * p.energy_saving for p in found[side]]) for side in SIDES]
        rows.append([f"{rate:.1f}", *cells, ", ".join(speeds), ", ".join(saved)])
    heads = ["tile rate", *(f"accuracy %, {side}x{side}" for side in SIDES)]
    return table([*heads, "speed-up, 4 to 32", "energy saved %, 4 to 32"], rows)


def best_rate(runs: list[Points], side: int) -> float:
    """Largest rate up to which the mean accuracy stays within the paper's loss."""
    dense = statistics.mean(p.accuracy for p in at(runs, side, 0.0))
    best = 0.0
    for rate in RATES:
        if dense - statistics.mean(p.accuracy for p in at(runs, side, rate)) > LOSS:
            break
        best = rate
    return best


def operating_points(runs: list[Points], limited: list[Points]) -> str:
    rows = []
    for side in SIDES:
        rate = best_rate(runs, side)
        found = at(runs, side, rate)
        energies = [
            [100 * (1 - p.energies[name] / p.energies_dense[name]) for p in found]
            for name in found[0].energies
        ]
        rows.append(
            [
                f"{side}x{side}",
                f"{rate:.2f}",
                mean([p.accuracy for p in found]),
                f"{found[0].cycles_dense:,}",
                f"{statistics.mean(p.cycles for p in found):,.0f}",
                mean([p.speed_up for p in found], 2),
                mean([p.speed_up for p in at(limited, side, rate)], 2),
                *(mean(values) for values in energies),
                mean([p.energy / 1e6 for p in found], 1),
            ]
        )
    speed, saving = "1.26; 1.44 with INT8 weights", "42 with INT8 weights"
    rows.append(
        ["paper", "0.20", f"{LOSS} points of WER lost", "-", "-", speed, "-", saving, "-", "-"]
    )
    heads = ["array", "rate", "accuracy %", "dense cycles", "cycles", "speed-up"]
    heads.append(f"speed-up at {BANDWIDTH:g} bytes per cycle")
    heads += [f"energy saved %, {name}" for name in runs[0][0].energies]
    return table([*heads, "energy, uJ"], rows)


def instruction_ratios() -> str:
    """TiC-SAT instructions of the paper's encoder block at 20 % of the feed-forward tiles."""
    rows = []
    for types in ("fp32", "fp32_int8"):
        for side in SIDES:
            counts = instructions(BLOCKS["librispeech"], side, types)
            total = sum(counts.values())
            own = sum(count for name, count in counts.items() if ".ffn." in name)
            rows.append([types, f"{side}x{side}", f"{total:,}", f"{1 - 0.2 * own / total:.3f}"])
    return table(["types", "array", "dense instructions", "ratio at rate 0.20"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    heads = ["call", "bandwidth limit", "GEMMs per second", "range of 5"]
    parts = ["## Evaluations per second\n", table(heads, speed())]
    start = time.perf_counter()
    found = [explored(seed, options.epochs) for seed in range(options.seeds)]
    runs, limited, empty = ([part[i] for part in found] for i in range(3))
    parts += ["## Accuracy, speed-up and energy against tile rate\n", accuracies(runs)]
    parts += [f"## Largest rate with at most {LOSS} points lost\n", operating_points(runs, limited)]
    rows = [[f"{s}x{s}", spread([folds[s] for folds in empty])] for s in SIDES]
    parts += ["## Empty folds, half of the 4x4 tiles pruned\n", table(["array", "%"], rows)]
    parts += ["## Instructions of the paper's encoder block\n", instruction_ratios()]
    parts.append(f"{options.seeds} seeds, {time.perf_counter() - start:.0f} s.\n")
    text = "\n".join(parts)
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
