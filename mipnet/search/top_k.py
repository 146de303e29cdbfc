"""Whether a label can fall out of the k largest outputs.

It does where at least k rivals exceed it, that is, where all of some k rivals do: a disjunction of
one conjunction for each set of k rivals. Rivals whose bounds never exceed the label are in none of
these sets, so that few are left where bounds are good.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np

from mipnet.bounds import Bounds, alpha_bounds, first_bounds, lp_bounds, milp_bounds
from mipnet.errors import QueryError
from mipnet.network import Affine
from mipnet.network.layers.base import Array
from mipnet.search.attack import ascend, start_points
from mipnet.search.decide import Decision
from mipnet.search.goal import Clause, Stack
from mipnet.search.verdict import ClauseResult
from mipnet.threads import one_blas_thread

#: Most sets of rivals that are asked for.
SETS = 1000
#: Rounds of the attack; before each one every point chooses its rivals anew.
_ROUNDS = 3
#: Parts of one that a mean is made of.
_PARTS = 1024


def outranks(rivals: tuple[int, ...], label: int, n_outputs: int) -> Clause:
    """All of the rivals exceed the label.

    Where there are several, their mean is one more row: it is never the least one, so it changes
    no margin, and its bounds see that not all rivals can be large at once.
    """
    count = len(rivals)
    rows = np.zeros((count + (count > 1), n_outputs))
    rows[np.arange(count), rivals] = 1.0
    rows[:count, label] = -1.0
    # Whole parts of a power of two that sum to one: the coefficients are exact.
    shares = np.diff(np.arange(count + 1) * _PARTS // count) / _PARTS
    rows[count:] = shares @ rows[:count]
    name = "class" if count == 1 else "classes"
    return Clause(f"{name} {', '.join(map(str, rivals))}", rows, np.zeros(len(rows)))


def decide_top_k(single: Decision, label: int, k: int) -> tuple[Decision, list[ClauseResult]]:
    """Look for a point whose ``k`` largest outputs leave out the label.

    Parameters
    ----------
    single : Decision
        One clause for each rival, in order; not run.
    label, k : int

    Returns
    -------
    decision : Decision
        Over the sets of rivals (over single rivals when it ended before sets were made).
    pruned : list of ClauseResult
        Rivals that never exceed the label, and hence are in no set.

    Raises
    ------
    QueryError
        When too many sets are left.
    """
    network, settings = single.network, single.settings
    others = [j for j in range(network.n_outputs) if j != label]
    try:
        with one_blas_thread():
            found = _attack(single, label, k)
            if found is not None:
                return found, []
            if not _prune(single, k):
                return single, []
    except KeyboardInterrupt:
        single.reason = "interrupted"
        return single, []
    pruned = [r for r in single.results if r.outcome == "excluded"]
    left = [j for j, r in zip(others, single.results, strict=True) if r.outcome != "excluded"]
    sets = combinations(left, k)
    stack = Stack(tuple(outranks(rivals, label, network.n_outputs) for rivals in sets))
    # Every rival has been attacked from many points; its sets share the work.
    starts = max(1, settings.restarts * len(left) // max(1, len(stack.clauses)))
    settings = replace(settings, restarts=starts)
    whole = Decision(network, single.region, stack, single.watch, settings)
    whole.n_unstable = single.n_unstable
    if stack.clauses:
        whole.run()
    return whole, pruned


def _attack(single: Decision, label: int, k: int) -> Decision | None:
    """Projected gradient on the k-th largest difference; a decision with a witness, or None."""
    network, region, settings = single.network, single.region, single.settings
    rows = single.stack.rows
    others = np.argmax(rows, axis=1)

    def leaders(points: Array) -> Array:
        """Rows of the k rivals that are largest at each point."""
        differences = network(points).reshape(len(points), -1) @ rows.T
        return np.sort(np.argsort(-differences, axis=1)[:, :k], axis=1)

    with single.watch("attack"):
        rng = np.random.default_rng(settings.seed)
        points = region.project(start_points(region, rng, max(1, settings.restarts)))
        for _ in range(_ROUNDS):
            chosen = rows[leaders(points)]
            points, values = ascend(network, region, chosen, np.zeros(chosen.shape[:2]), points)
        single.points = np.concatenate([single.points, points])
        for i in np.argsort(-values):
            if not values[i] > 0.0:
                break
            rivals = tuple(int(j) for j in others[leaders(points[i : i + 1])[0]])
            clause = outranks(rivals, label, network.n_outputs)
            found = Decision(network, region, Stack((clause,)), single.watch, settings)
            if found.confirm(points[i], "attack"):
                return found
    return None


def _prune(single: Decision, k: int) -> bool:
    """Exclude rivals by bounds; False when time or a contradiction ends the search."""
    if single.watch.expired:
        single.reason = "time limit reached before bounds were computed"
        return False
    settings, stack, region = single.settings, single.stack, single.region
    goals = single.network.then(Affine(stack.rows, stack.offsets), "goal")

    def accept(bounds: Bounds) -> int:
        """Count the sets left; -1 when a known point contradicts the bounds."""
        if not single.accept(bounds):
            return -1
        return math.comb(sum(r.outcome != "excluded" for r in single.results), k)

    with single.watch("bound"):
        bounds = first_bounds(goals, region, settings.bounds, budget=single.watch.left)
    count = accept(bounds)
    later = {"alpha": [alpha_bounds], "lp": [alpha_bounds, lp_bounds]}
    later["milp"] = [alpha_bounds, milp_bounds]
    for tighten in later.get(settings.bounds, []):
        if count > SETS and not single.watch.expired:
            with single.watch("bound"):
                bounds = tighten(goals, region, budget=single.share(), first=bounds)
            count = accept(bounds)
    if count > SETS:
        msg = f"{count} sets of {k} classes may push the label out of the top {k}; at most {SETS} "
        msg += "are asked for: take a smaller region, another top_k, or tighter bounds"
        raise QueryError(msg)
    return count >= 0
