"""Random machines, and the law that zeros never cost more."""

from __future__ import annotations

from typing import Any

import numpy as np

from mipnet.hardware import HardwareCost, Memory

COUNTS = (
    *("macs", "active_macs", "cycles", "compute_cycles", "sram_reads", "sram_writes"),
    *("partial_sum_reads", "dram_reads", "dram_writes", "dram_read_bytes", "dram_write_bytes"),
)


def machine(rng: np.random.Generator) -> dict[str, Any]:
    """Arguments of a random machine."""
    bandwidth = rng.choice([None, 0.2, 1.0, 16.0])
    memory = Memory(
        input_bytes=int(rng.choice([64, 500, 10**6])),
        weight_bytes=int(rng.choice([64, 500, 10**6])),
        output_bytes=int(rng.choice([64, 1000, 10**6])),
        bandwidth=bandwidth,
        write_bandwidth=None if bandwidth is None else rng.choice([None, 0.5, 8.0]),
        sram_bandwidth=rng.choice([None, 2.0, 40.0]),
        double_buffered=bool(rng.random() < 0.7),
        partial_sums=str(rng.choice(["accumulator", "spill"])),
    )
    return {
        "array": tuple(int(side) for side in rng.integers(1, 9, 2)),
        "dataflow": str(rng.choice(["ws", "os", "is"])),
        "mode": str(rng.choice(["serial", "overlap", "no_fill"])),
        "edge_aware": bool(rng.random() < 0.5),
        "precision": str(rng.choice(["int8", "fp32"])),
        "skip_slices": bool(rng.random() < 0.5),
        "memory": memory,
    }


def no_dearer(after: HardwareCost, before: HardwareCost) -> None:
    """Check that nothing costs more."""
    for name in COUNTS:
        assert getattr(after.after, name) <= getattr(before.after, name), name
    for mine, theirs in zip(after.energies, before.energies, strict=True):
        assert mine.total.sum() <= theirs.total.sum() * (1 + 1e-12)


def tiles(rng: np.random.Generator, shape: tuple[int, int], tile: tuple[int, int]) -> np.ndarray:
    return rng.random((-(-shape[0] // tile[0]), -(-shape[1] // tile[1]))) < rng.random()


def fewer(rng: np.random.Generator, keep: np.ndarray) -> np.ndarray:
    return keep & (rng.random(keep.shape) < 0.8)
