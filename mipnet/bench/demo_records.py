"""What the demo asks and finds, as plain frozen records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from mipnet.errors import QueryError
from mipnet.network import Network

#: Images held back from training.
TEST_SIZE = 450
#: Largest seed every part takes (the solver's limit).
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class DemoSettings:
    """What the demo does.

    Attributes
    ----------
    seed : int
        Of the split, the training, the attack and the solver.
    images : int
        Test images asked about, the same for every network.
    depths : tuple of int
        Numbers of hidden layers.
    width : int
        Units of a hidden layer.
    keeps : tuple of float
        Fractions of the units kept.
    epochs : int
        Of the training, and of each fine-tuning.
    linf_radius, l1_radius : float
        Radii of the balls; pixels lie in [0, 1].
    time_limit : float
        Seconds for one question. Verdicts repeat for a seed as long as no question reaches it.
    restarts : int
        Start points of the attack for each class.
    bounds : str
        Bounding method; ``crown`` looks at no clock.
    """

    seed: int = 0
    images: int = 20
    depths: tuple[int, ...] = (2, 4)
    width: int = 50
    keeps: tuple[float, ...] = (0.5, 0.25)
    epochs: int = 60
    linf_radius: float = 0.04
    l1_radius: float = 0.7
    time_limit: float = 30.0
    restarts: int = 2
    bounds: str = "crown"

    def __post_init__(self) -> None:
        checks = {
            f"seed must lie in 0..{MAX_SEED}": 0 <= self.seed <= MAX_SEED,
            f"images must lie in 1..{TEST_SIZE}": 1 <= self.images <= TEST_SIZE,
            "depths must be at least 1": all(d >= 1 for d in self.depths),
            "width and epochs must be at least 1": min(self.width, self.epochs) >= 1,
            "keeps must lie strictly between 0 and 1": all(0.0 < k < 1.0 for k in self.keeps),
            "radii must be finite and at least 0": all(
                0.0 <= r < math.inf for r in self.radii.values()
            ),
            "time_limit must be above 0": self.time_limit > 0.0,
        }
        wrong = [rule for rule, holds in checks.items() if not holds]
        if wrong:
            msg = f"demo: {'; '.join(wrong)}"
            raise QueryError(msg)

    @property
    def radii(self) -> dict[str, float]:
        """Radius of each norm."""
        return {"linf": self.linf_radius, "l1": self.l1_radius}


@dataclass(frozen=True)
class DemoNetwork:
    """One network of the demo.

    Attributes
    ----------
    name : str
    dense : str
        Name of the dense network it comes from; its own for a dense one.
    network : Network
        As read back from ``file``.
    file : str
        Relative to the folder of the results.
    hidden : int
        Hidden units left.
    test_accuracy : float
        On all held-back images, in float64.
    train_s, prune_s : float
        Seconds of training or fine-tuning, and of pruning.
    """

    name: str
    dense: str
    network: Network = field(compare=False, repr=False)
    file: str
    hidden: int
    test_accuracy: float
    train_s: float = field(compare=False)
    prune_s: float = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds by activity.

    Attributes
    ----------
    attack_s, bound_s, build_s, solve_s, check_s : float
        The clocks of the verdicts.
    total_s : float
        Measured around the whole question.
    """

    attack_s: float = field(compare=False)
    bound_s: float = field(compare=False)
    build_s: float = field(compare=False)
    solve_s: float = field(compare=False)
    check_s: float = field(compare=False)
    total_s: float = field(compare=False)


#: Names of the clocks.
CLOCKS = tuple(f.name for f in fields(Timed))


@dataclass(frozen=True, kw_only=True)
class DemoRow(Timed):
    """One question and its answer, with all that is needed to check it.

    Attributes
    ----------
    network, network_file, fingerprint : str
    image : int
        Index into ``sklearn.datasets.load_digits()``; the centre is that image divided by 16.
    label : int
    norm : str
    radius, domain_lower, domain_upper : float
        The region: ball of that radius within the box.
    verdict : str
        ``robust``, ``witness`` or ``unresolved``.
    method : str
        What decided: ``attack``, ``bounds``, ``mip`` or ``none``.
    reason : str
        Why it is unresolved.
    predicted : int or None
        Class of the witness.
    margin : float or None
        ``y[predicted] - y[label]`` at the witness.
    bound : float
        Proven upper bound of the largest such margin; infinite when none was needed.
    n_unstable, n_binaries, nodes : int
    solver : str
    seed : int
    witness : tuple of float or None
        Inside the region without tolerance.
    """

    network: str
    network_file: str
    fingerprint: str
    image: int
    label: int
    norm: str
    radius: float
    domain_lower: float
    domain_upper: float
    verdict: str
    method: str
    reason: str
    predicted: int | None
    margin: float | None
    bound: float
    n_unstable: int
    n_binaries: int
    nodes: int
    solver: str
    seed: int
    witness: tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class DemoSummary(Timed):
    """One network under one norm, over all images.

    Attributes
    ----------
    network, norm : str
    radius : float
    images, hidden : int
    test_accuracy, accuracy, certified : float
        Right on all held-back images; right on the images asked about; proven robust among them.
    unstable, binaries : float or None
        Means over the questions the attack did not decide; None where it decided all.
    nodes, robust, witness, unresolved : int
        Sums.
    speed_ratio : float
        Total time of the dense network divided by that of this one.
    """

    network: str
    norm: str
    radius: float
    images: int
    hidden: int
    test_accuracy: float
    accuracy: float
    certified: float
    unstable: float | None
    binaries: float | None
    nodes: int
    robust: int
    witness: int
    unresolved: int
    speed_ratio: float = field(compare=False)


@dataclass(frozen=True)
class DemoResult:
    """Everything the demo found.

    Attributes
    ----------
    settings : DemoSettings
    networks : tuple of DemoNetwork
    rows : tuple of DemoRow
    summary : tuple of DemoSummary
    seconds : float
    """

    settings: DemoSettings
    networks: tuple[DemoNetwork, ...]
    rows: tuple[DemoRow, ...]
    summary: tuple[DemoSummary, ...]
    seconds: float = field(compare=False)


def summarise(
    settings: DemoSettings,
    networks: Sequence[DemoNetwork],
    rows: Sequence[DemoRow],
    accuracy: Mapping[str, float],
) -> tuple[DemoSummary, ...]:
    """Sum and average over the images.

    Parameters
    ----------
    settings : DemoSettings
    networks : sequence of DemoNetwork
    rows : sequence of DemoRow
    accuracy : mapping of network name to float
        On the images asked about.
    """
    groups = {
        (n.name, norm): [r for r in rows if (r.network, r.norm) == (n.name, norm)]
        for n in networks
        for norm in settings.radii
    }
    totals = {key: sum(r.total_s for r in group) for key, group in groups.items()}
    summary = []
    for entry in networks:
        for norm, radius in settings.radii.items():
            group = groups[entry.name, norm]
            found = [r.verdict for r in group]
            summary.append(
                DemoSummary(
                    network=entry.name,
                    norm=norm,
                    radius=radius,
                    images=len(group),
                    hidden=entry.hidden,
                    test_accuracy=entry.test_accuracy,
                    accuracy=accuracy[entry.name],
                    certified=found.count("robust") / len(group),
                    unstable=_mean([r.n_unstable for r in group if r.method != "attack"]),
                    binaries=_mean([r.n_binaries for r in group if r.method != "attack"]),
                    nodes=sum(r.nodes for r in group),
                    robust=found.count("robust"),
                    witness=found.count("witness"),
                    unresolved=found.count("unresolved"),
                    **{name: sum(getattr(r, name) for r in group) for name in CLOCKS},
                    speed_ratio=totals[entry.dense, norm] / totals[entry.name, norm],
                )
            )
    return tuple(summary)


def _mean(values: Sequence[int]) -> float | None:
    return float(np.mean(values)) if values else None
