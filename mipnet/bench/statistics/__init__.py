"""Statistics of solver runs: numpy only, one file for each family, every formula with its source.

All of them are plain functions of arrays, with no state and no randomness but a generator a
browser can reproduce, so that a report can compute the same numbers anew.
"""

from mipnet.bench.statistics.agreement import Claim, contradiction
from mipnet.bench.statistics.generator import resamples, uniform
from mipnet.bench.statistics.integrals import (
    final_gap,
    primal_dual_integral,
    primal_integral,
    relative_gap,
    running_best,
    times_to,
)
from mipnet.bench.statistics.means import penalised_average, shifted_geometric_mean
from mipnet.bench.statistics.paired import (
    Ratio,
    SignedRank,
    midranks,
    paired_ratio,
    signed_rank,
)
from mipnet.bench.statistics.pareto import pareto_front
from mipnet.bench.statistics.portfolio import (
    marginal_contribution,
    virtual_best,
    wins_ties_losses,
)
from mipnet.bench.statistics.profiles import profile, profile_at, ratios_to_best
from mipnet.bench.statistics.spread import Spread, spread
from mipnet.bench.statistics.survival import Survival, cactus, kaplan_meier

__all__ = [
    "Claim",
    "Ratio",
    "SignedRank",
    "Spread",
    "Survival",
    "cactus",
    "contradiction",
    "final_gap",
    "kaplan_meier",
    "marginal_contribution",
    "midranks",
    "paired_ratio",
    "pareto_front",
    "penalised_average",
    "primal_dual_integral",
    "primal_integral",
    "profile",
    "profile_at",
    "ratios_to_best",
    "relative_gap",
    "resamples",
    "running_best",
    "shifted_geometric_mean",
    "signed_rank",
    "spread",
    "times_to",
    "uniform",
    "virtual_best",
    "wins_ties_losses",
]
