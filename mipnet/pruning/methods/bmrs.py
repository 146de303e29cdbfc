"""Bayesian model reduction: units whose noise carries no evidence go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mipnet.errors import MaskError
from mipnet.network import Network
from mipnet.pruning.base import Array, Choice, Job, Pruner
from mipnet.pruning.methods import bmrs_evidence as evidence
from mipnet.pruning.methods.bmrs_training import NoisyTraining, Recipe
from mipnet.pruning.registry import register_pruner
from mipnet.pruning.training import training_data

Flags = npt.NDArray[np.bool_]

#: Thresholds at or below which the criteria that need one remove a unit.
THRESHOLDS: Mapping[str, float] = {"snr": 1.0, "mean": 0.1}
#: How far Adam can move a parameter in the shortest training of the paper: 50 epochs of 375 batches
#: at 8.5e-4 (MNIST).
REACH = 16.0
CHOICES: Mapping[str, tuple[str, ...]] = {
    "criterion": ("bmrs_n", "bmrs_u", "snr", "mean", "l2"),
    "variant": ("code", "paper"),
    "when": ("during", "after"),
    "averaging": ("mean", "sum"),
}


@register_pruner("bmrs")
@dataclass(kw_only=True)
class BMRS(Pruner):
    r"""Bayesian model reduction for structured pruning (BMRS).

    The output of every unit is multiplied by a noise with a log-uniform prior; a truncated
    log-normal posterior is learnt with the weights, from the network given on. A unit goes when the
    evidence does not fall if its prior is replaced by one near 0: a spike (``bmrs_n``) or a
    log-uniform one over the smallest magnitudes (``bmrs_u``). There is nothing to tune: without a
    budget (``keep=None``) the rule decides. With one, units are ranked by the evidence of
    ``bmrs_n``, for that of ``bmrs_u`` is no ranking; a kept share then falls evenly over the
    epochs, other budgets are met at the end, which the paper does not do.

    At the end the mean of the noise is folded into the weights that read the unit, so that the
    network holds no noise.

    Parameters
    ----------
    criterion : {"bmrs_n", "bmrs_u", "snr", "mean", "l2"}
        The last three are the baselines of the paper: mean over deviation of the noise, its mean,
        and the norm of incoming weights, which removes as many units as ``bmrs_n`` would.
    variant : {"code", "paper"}
        Of ``bmrs_n``. The released code adds :math:`\tfrac12\log 2\pi` to equation 8. The
        published figures are those of the code: noise that the data leaves alone becomes equal to
        the prior, where the paper's change of evidence tends to 0 from below and keeps the unit.
    p1 : float
        ``bmrs_u`` ends at 2**-p1; the paper takes 8 and 4.
    small : bool
        Whether ``bmrs_u`` also removes units whose mean noise is below 2**-23, which its window
        leaves out.
    threshold : float, optional
        Of ``snr`` (1 when absent) and ``mean`` (0.1).
    when : {"during", "after"}
        ``during`` sets all units anew every ``every`` epochs, so that one may return, and ends with
        ``finetune_epochs`` under the last mask. ``after`` trains first, then removes in ``levels``
        steps with one epoch after each.
    epochs, every, finetune_epochs, levels : int
    averaging : {"mean", "sum"}
        Of the divergence from the prior, over units and layers. It decides how much goes; the
        published figures use ``mean``.
    train_weights : bool
        False learns only the noise and leaves the weights as they are: no protocol of the paper.
    lr : float
        Learning rate of Adam for the weights, constant.
    noise_lr : float, optional
        That of the noise. When absent it is ``lr``, or more where there are so few batches that a
        posterior could not move as far as in the paper (:data:`REACH`).
    batch_size : int
    validation : float
        Share of the data held back to choose the best epoch of the fine-tuning; 0 takes the last.
    """

    source = (
        "D. Wright, C. Igel, R. Selvan, BMRS: Bayesian Model Reduction for Structured Pruning, "
        "NeurIPS 2024, arXiv:2406.01345, equations 8, 10 and 11, algorithm 1"
    )
    needs = frozenset({"data", "gradients", "training"})
    decides = True

    criterion: str = "bmrs_n"
    variant: str = "code"
    p1: float = 8.0
    small: bool = False
    threshold: float | None = None
    when: str = "during"
    epochs: int = 50
    every: int = 1
    finetune_epochs: int = 10
    levels: int = 10
    averaging: str = "mean"
    train_weights: bool = True
    lr: float = 1e-3
    noise_lr: float | None = None
    batch_size: int = 128
    validation: float = 0.2

    def scores(
        self, network: Network, data: Array | None, rng: np.random.Generator
    ) -> Mapping[str, Array]:
        """Raise: scores are those of the trained noise, see :meth:`choose`."""
        del network, data, rng
        msg = "bmrs scores units while it trains: use choose, or fit"
        raise MaskError(msg)

    def choose(self, job: Job) -> Choice:
        """See :meth:`Pruner.choose`."""
        self._check()
        inputs, targets = training_data(job.network, *job.examples, "auto")
        rows = len(inputs) - int(self.validation * len(inputs))
        steps = max(1, self.epochs * -(-rows // self.batch_size))
        recipe = Recipe(
            lr=self.lr,
            noise_lr=max(self.lr, REACH / steps) if self.noise_lr is None else self.noise_lr,
            batch_size=self.batch_size,
            validation=self.validation,
            averaging=self.averaging,
            train_weights=self.train_weights,
            seed=job.seed,
        )
        training = NoisyTraining(job.network, inputs, targets, recipe)
        self._prune(job, training)
        left, scores = self._left(training), self._scores(training)

        def finished(kept: Mapping[str, npt.ArrayLike]) -> Network:
            if kept is not left:
                training.noise.keep_only(as_flags(kept, scores))
                training.best_of(self.finetune_epochs if self.when == "during" else 1)
            return training.result()

        _, rounds = job.settle(left, scores, finished)
        return Choice(
            self._left(training), self._scores(training), training.result(), rounds=rounds
        )

    def _left(self, training: NoisyTraining) -> dict[str, Flags]:
        """Units that are switched on."""
        return {name: training.noise.kept(name) for name in training.noise.ids}

    def _prune(self, job: Job, training: NoisyTraining) -> None:
        """Train, and leave the units that stay switched on."""
        noise = training.noise
        for number in range(1, self.epochs + 1):
            training.epoch()
            if self.when == "during" and (number % self.every == 0 or number == self.epochs):
                noise.keep_only(self._kept(job, training, number / self.epochs))
        if self.when == "during":
            training.best_of(self.finetune_epochs)
            return
        # What goes is settled by the evidence after training; the weakest units go first.
        kept, scores = self._kept(job, training, 1.0), self._scores(training)
        going = [
            (score, name, unit)
            for name, values in scores.items()
            for unit, score in enumerate(values.tolist())
            if not kept[name][unit]
        ]
        going.sort()
        left = {name: np.ones_like(flags) for name, flags in kept.items()}
        for level in range(self.levels):
            start, stop = (len(going) * n // self.levels for n in (level, level + 1))
            for _, name, unit in going[start:stop]:
                left[name][unit] = False
            noise.keep_only(left)
            training.epoch()

    def _kept(self, job: Job, training: NoisyTraining, progress: float) -> dict[str, Flags]:
        """Units that stay at this point of the training."""
        if job.asked is None and self.criterion != "l2":
            return self._evident(training)
        scores = self._scores(training)
        if job.budget is not None and progress == 1.0:
            chosen = job.select(scores, training.result())
        else:
            # Other currencies than units are spent at the end.
            keep = 1.0 if job.keep is None else 1.0 - progress * (1.0 - job.keep)
            if job.asked is None:
                # As many as BMRS_N would keep.
                flags = replace(self, criterion="bmrs_n")._evident(training).values()
                keep = sum(int(f.sum()) for f in flags) / sum(f.size for f in flags)
            chosen = replace(job, keep=keep, budget=None).select(scores)
        return as_flags(chosen, scores)

    def _evident(self, training: NoisyTraining) -> dict[str, Flags]:
        """Units that the criterion keeps by itself."""
        mu, sigma = training.noise.posterior()
        if self.criterion == "bmrs_n":
            gone = evidence.normal_evidence(mu, sigma, self.variant) >= 0.0
        elif self.criterion == "bmrs_u":
            inside = np.clip(mu, evidence.LOW, evidence.HIGH)
            gone = evidence.uniform_evidence(inside, sigma, self.p1) >= 0.0
            if self.small:
                gone |= evidence.expectation(mu, sigma) < 2.0**-evidence.P2
        else:
            limit = THRESHOLDS[self.criterion] if self.threshold is None else self.threshold
            gone = self._strength(mu, sigma) <= limit
        return training.noise.by_layer(~gone, fixed=True)

    def _scores(self, training: NoisyTraining) -> dict[str, Array]:
        """Rating of every unit, by layer."""
        if self.criterion == "l2":
            return training.norms()
        return training.noise.by_layer(self._strength(*training.noise.posterior()), fixed=np.inf)

    def _strength(self, mu: Array, sigma: Array) -> Array:
        """Return what ranks units, higher is more important."""
        if self.criterion == "snr":
            return evidence.signal_to_noise(mu, sigma)
        if self.criterion == "mean":
            return evidence.expectation(mu, sigma)
        return -evidence.normal_evidence(mu, sigma)

    def _check(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                msg = f"bmrs: {name} must be one of {', '.join(known)}, not {getattr(self, name)!r}"
                raise MaskError(msg)
        least = {"epochs": 0, "every": 1, "finetune_epochs": 0, "levels": 1, "batch_size": 1}
        for name, low in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                msg = f"bmrs: {name} must be a whole number from {low} on, not {value!r}"
                raise MaskError(msg)
        if not 0.0 <= self.validation < 1.0 or not 0.0 < self.p1 < evidence.P2 or self.lr <= 0.0:
            msg = (
                f"bmrs: validation must lie in [0, 1), p1 in (0, 23) and lr above 0; got "
                f"{self.validation!r}, {self.p1!r}, {self.lr!r}"
            )
            raise MaskError(msg)


def as_flags(kept: Mapping[str, npt.ArrayLike], like: Mapping[str, Array]) -> dict[str, Flags]:
    """Kept indices as flags of all units, by layer."""
    return {name: np.isin(np.arange(len(v)), kept[name]) for name, v in like.items()}
