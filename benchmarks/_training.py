"""Classifiers trained as the paper of the benchmark says, kept in a cache of npz files."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _mnist import Images

Floats = npt.NDArray[np.float32]

#: Raised when the training itself changes, so that older checkpoints are no longer taken.
VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """Everything a checkpoint depends on, the data aside.

    Plain gradient descent on the cross-entropy, without momentum, decay or schedule, in float32.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    seed : int
        Of first weights and order of the batches.
    epochs, batch : int
    lr : float
    """

    hidden: tuple[int, ...]
    seed: int = 0
    epochs: int = 50
    batch: int = 128
    lr: float = 0.1

    @property
    def name(self) -> str:
        """``2x50`` for two hidden layers of 50."""
        if len(set(self.hidden)) == 1:
            return f"{len(self.hidden)}x{self.hidden[0]}"
        return "-".join(map(str, self.hidden))


@dataclass(frozen=True)
class Checkpoint:
    """A trained network.

    Attributes
    ----------
    weights, biases : list of float32 arrays, shapes (n_out, n_in) and (n_out,)
    accuracy : float
        Share of test images given their label.
    seconds : float
        Training time.
    """

    weights: list[Floats]
    biases: list[Floats]
    accuracy: float
    seconds: float

    @classmethod
    def read(cls, path: str | Path) -> Checkpoint:
        """Read a file of the cache."""
        with np.load(path, allow_pickle=False) as stored:
            count = sum(name.startswith("W") for name in stored)
            return cls(
                [stored[f"W{k}"] for k in range(count)],
                [stored[f"b{k}"] for k in range(count)],
                float(stored["accuracy"]),
                float(stored["seconds"]),
            )

    def write(self, path: Path, key: str) -> None:
        """Write it under a name that only ever holds a whole file."""
        arrays: dict[str, Any] = {f"W{k}": w for k, w in enumerate(self.weights)}
        arrays |= {f"b{k}": b for k, b in enumerate(self.biases)}
        about: dict[str, Any] = {"key": key, "accuracy": self.accuracy, "seconds": self.seconds}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as stream:
            np.savez(stream, torch=version("torch"), **about, **arrays)
        part.replace(path)


def one_thread() -> None:
    """Keep torch to one thread: sums in another order are other weights."""
    import torch

    torch.set_num_threads(1)


def checkpoint(recipe: Recipe, train: Images, test: Images, cache: Path) -> Path:
    """File of a recipe in the cache; trains the network where there is none yet."""
    about = {**asdict(recipe), "data": train.digest, "test": test.digest, "version": VERSION}
    key = json.dumps(about, sort_keys=True)
    path = cache / f"{recipe.name}-s{recipe.seed}-{sha256(key.encode()).hexdigest()[:12]}.npz"
    if not path.is_file():
        fit(recipe, train, test).write(path, key)
    return path


def fit(recipe: Recipe, train: Images, test: Images) -> Checkpoint:
    """Train one network with torch, on one thread."""
    import torch

    one_thread()
    start = time.perf_counter()
    classes = int(train.labels.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        sizes = [train.pixels.shape[1], *recipe.hidden, classes]
        layers = [torch.nn.Linear(n_in, n_out) for n_in, n_out in pairwise(sizes)]
    steps: list[torch.nn.Module] = [layers[0]]
    for layer in layers[1:]:
        steps += [torch.nn.ReLU(), layer]
    model = torch.nn.Sequential(*steps)
    x = torch.tensor(train.scaled, dtype=torch.float32)
    y = torch.tensor(train.labels, dtype=torch.int64)
    optimiser = torch.optim.SGD(model.parameters(), lr=recipe.lr)
    generator = torch.Generator().manual_seed(recipe.seed)
    for epoch in range(recipe.epochs):
        loss = torch.zeros(())
        for rows in torch.randperm(len(x), generator=generator).split(recipe.batch):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            optimiser.step()
        if not bool(loss.isfinite()):
            msg = f"{recipe}: training diverged in epoch {epoch + 1}"
            raise RuntimeError(msg)
    with torch.no_grad():
        predicted = model(torch.tensor(test.scaled, dtype=torch.float32)).argmax(1).numpy()
    return Checkpoint(
        [layer.weight.detach().numpy() for layer in layers],
        [layer.bias.detach().numpy() for layer in layers],
        float(np.mean(predicted == test.labels)),
        time.perf_counter() - start,
    )
