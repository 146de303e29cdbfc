"""The demo: robustness of digit classifiers, dense against pruned and fine-tuned.

Networks are trained on scikit-learn's handwritten digits, written to disk and read back; every
question is put to what is on the disk, so that a third party can check each answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mipnet.bench.demo_records import (
    TEST_SIZE,
    DemoNetwork,
    DemoResult,
    DemoRow,
    DemoSettings,
    summarise,
)
from mipnet.errors import MissingPackageError
from mipnet.network import Network
from mipnet.network.readers import load, save_npz
from mipnet.pruning import finetune, prune, train_mlp
from mipnet.search import Verdict, find_adversarial

Array = npt.NDArray[np.float64]
#: Receives what is being done, steps done and steps in all.
Progress = Callable[[str, int, int], None]

#: Pixels lie in it.
DOMAIN = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class _Digits:
    """The data, split; ``test`` holds indices into the whole data set."""

    x: Array
    y: npt.NDArray[np.int64]
    train: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]

    @classmethod
    def split(cls, seed: int) -> _Digits:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        pixels, labels = load_digits(return_X_y=True)
        everything = np.arange(len(labels))
        train, test = train_test_split(
            everything, test_size=TEST_SIZE, random_state=seed, stratify=labels
        )
        return cls(np.asarray(pixels, np.float64) / 16.0, labels.astype(np.int64), train, test)

    def accuracy(self, network: Network, items: npt.NDArray[np.int64]) -> float:
        classes = network(self.x[items]).argmax(axis=1)
        return float(np.mean(classes == self.y[items]))


def run_demo(settings: DemoSettings, folder: Path, progress: Progress | None = None) -> DemoResult:
    """Train, prune, fine-tune, and ask every network about the same images.

    Parameters
    ----------
    settings : DemoSettings
    folder : Path
        Networks and masks are written to ``folder/networks``; files of the same name are replaced.
    progress : callable, optional
        Called before every step with what comes next, steps done and steps in all.

    Returns
    -------
    DemoResult

    Raises
    ------
    MissingPackageError
        Without torch.
    """
    begin = time.perf_counter()
    digits = _Digits.split(settings.seed)
    n_networks = len(settings.depths) * (1 + len(settings.keeps))
    total = n_networks * (1 + len(settings.radii) * settings.images)
    done = 0

    def step(stage: str) -> None:
        nonlocal done
        if progress is not None:
            progress(stage, done, total)
        done += 1

    (folder / "networks").mkdir(parents=True, exist_ok=True)
    with _one_torch_thread():
        networks = tuple(_networks(settings, digits, folder, step))
    rows = []
    for entry in networks:
        for norm in settings.radii:
            for image in digits.test[: settings.images]:
                step(f"{entry.name}, {norm}")
                rows.append(_ask(entry, digits, int(image), norm, settings))
    if progress is not None:
        progress("done", total, total)
    accuracy = {
        n.name: digits.accuracy(n.network, digits.test[: settings.images]) for n in networks
    }
    summary = summarise(settings, networks, rows, accuracy)
    return DemoResult(settings, networks, tuple(rows), summary, time.perf_counter() - begin)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Train on one thread, so that weights do not depend on the number of cores."""
    try:
        import torch
    except ImportError as error:
        raise MissingPackageError("torch", "training the networks of the demo", "torch") from error
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _networks(
    settings: DemoSettings, digits: _Digits, folder: Path, step: Callable[[str], None]
) -> Iterator[DemoNetwork]:
    x, y = digits.x[digits.train], digits.y[digits.train]

    def stored(name: str, dense: str, net: Network, train_s: float, prune_s: float) -> DemoNetwork:
        file = f"networks/{name}.npz"
        save_npz(net, folder / file)
        read = load(folder / file)
        hidden = sum(
            int(np.prod(read.shapes[n.inputs[0]])) for n in read.nodes if n.layer.nonlinear
        )
        right = digits.accuracy(read, digits.test)
        return DemoNetwork(name, dense, read, file, hidden, right, train_s, prune_s)

    for depth in settings.depths:
        dense = f"{depth}x{settings.width}-dense"
        step(f"training {dense}")
        start = time.perf_counter()
        trained = train_mlp(
            x,
            y,
            (settings.width,) * depth,
            epochs=settings.epochs,
            seed=settings.seed,
            input_bounds=DOMAIN,
        )
        original = stored(dense, dense, trained, time.perf_counter() - start, 0.0)
        yield original
        for keep in settings.keeps:
            name = f"{depth}x{settings.width}-pruned{round(100 * (1 - keep))}"
            step(f"pruning and fine-tuning {name}")
            pruned = prune(original.network, "magnitude", keep=keep, random_state=settings.seed)
            pruned.mask.save(folder / f"networks/{name}.mask.safetensors")
            start = time.perf_counter()
            tuned = finetune(
                pruned.network, x, y, epochs=settings.epochs, lr=3e-3, seed=settings.seed
            )
            seconds = time.perf_counter() - start
            spent = pruned.report.prune_seconds + pruned.report.compact_seconds
            yield stored(name, dense, tuned, seconds, spent)


def _ask(
    entry: DemoNetwork, digits: _Digits, image: int, norm: str, settings: DemoSettings
) -> DemoRow:
    label, radius = int(digits.y[image]), settings.radii[norm]
    start = time.perf_counter()
    verdict = find_adversarial(
        entry.network,
        digits.x[image],
        label,
        radius=radius,
        norm=norm,
        lower=DOMAIN[0],
        upper=DOMAIN[1],
        time_limit=settings.time_limit,
        bounds=settings.bounds,
        restarts=settings.restarts,
        seed=settings.seed,
    )
    seconds = time.perf_counter() - start
    if verdict.reason == "interrupted":
        # A search answers Ctrl-C with what it knows; the demo ends.
        raise KeyboardInterrupt
    clocks = verdict.clocks
    return DemoRow(
        network=entry.name,
        network_file=entry.file,
        fingerprint=verdict.fingerprint,
        image=image,
        label=label,
        norm=norm,
        radius=radius,
        domain_lower=DOMAIN[0],
        domain_upper=DOMAIN[1],
        verdict=verdict.status,
        method=_method(verdict),
        reason=verdict.reason,
        predicted=verdict.predicted,
        margin=verdict.margin,
        bound=float(verdict.bound),
        n_unstable=verdict.n_unstable,
        n_binaries=verdict.n_binaries,
        nodes=sum(c.nodes for c in verdict.clauses),
        attack_s=clocks.attack,
        bound_s=clocks.bound,
        build_s=clocks.build,
        solve_s=clocks.solve,
        check_s=clocks.check,
        total_s=seconds,
        solver=verdict.solver,
        seed=verdict.seed,
        witness=None if verdict.point is None else tuple(float(v) for v in verdict.point),
    )


def _method(verdict: Verdict) -> str:
    if verdict.status == "unresolved":
        return "none"
    if verdict.status == "witness":
        return next(c.method for c in verdict.clauses if c.outcome == "witness")
    return "mip" if any(c.method == "mip" for c in verdict.clauses) else "bounds"
