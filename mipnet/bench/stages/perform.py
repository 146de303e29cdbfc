"""The one entry to all stages, for the process of one task."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

import numpy as np

from mipnet.bench.stages.artefacts import make_cost, make_mask, make_network
from mipnet.bench.stages.channel import Channel
from mipnet.bench.stages.place import Place
from mipnet.bench.stages.solve import solve_cell
from mipnet.bench.tasks import Task


def perform(task: Task, folder: Path, channel: Channel, log: TextIO | None) -> dict[str, Any]:
    """Do a task; return the columns of its result.

    Parameters
    ----------
    task : Task
    folder : Path
        Results folder.
    channel : Channel
    log : text file, optional
    """
    place = Place(folder)
    if task.kind == "solve":
        return solve_cell(task, place, channel, log)
    makers = {"network": make_network, "mask": make_mask, "cost": make_cost}
    return {"status": "optimal", "reason": "", **makers[task.kind](task, place)}


def calibrate() -> float:
    """Seconds of a fixed piece of work, about a twentieth of a second, the best of three.

    Linear algebra, sorting and plain Python, on one thread: nothing of mipnet or of a solver, so
    that it stays the same while those change. Machines, and hours on one machine, are told apart
    by it.
    """
    rng = np.random.default_rng(1)
    matrix, values = rng.normal(size=(250, 250)), rng.normal(size=200_000)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        np.linalg.solve(matrix, matrix)
        np.sort(values)
        total = 0
        for k in range(200_000):
            total += k % 7
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def rehearse() -> None:
    """Walk once through what every cell does but the solver, on the smallest network there is.

    Whatever is imported or looked up on first use is then there before any cell is forked. The
    solver is left out: its threads would not survive the fork.
    """
    from mipnet.bounds import compute_bounds
    from mipnet.encode import encode
    from mipnet.network.readers import load, save_npz
    from mipnet.region import Box
    from mipnet.search import find_adversarial

    network = load(([np.eye(2), np.eye(2)], [np.ones(2), np.array([9.0, 0.0])]))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        save_npz(network, path)
        network = load(path)
    find_adversarial(network, np.zeros(2), 0, radius=0.1, bounds="crown", restarts=1)
    region = Box(np.full(2, -2.0), np.ones(2))
    encode(network, region, compute_bounds(network, region, "crown").intervals).arrays()
