"""LP tightening and the bounds computed from duals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from formulations import AffineForm, Program
from mipnet.bounds import cascade, crown_bounds, lp_bounds
from mipnet.bounds.safe import dual_bounds
from mipnet.region import ball
from mipnet.solver.sequence import LinearSequence
from tests.search.search_cases import random_network


@pytest.fixture(autouse=True)
def tighten_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade, "_FEW", 0)


@pytest.mark.parametrize("norm", ["linf", "l1"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_bounds_contain_samples_and_shrink(seed: int, threads: int, norm: str) -> None:
    net = random_network(seed, (6, 12, 12, 12, 3), 1.5)
    region = ball(np.zeros(6), 0.8, norm, -1.0, 1.0)
    loose, tight = crown_bounds(net, region), lp_bounds(net, region, threads=threads)
    assert tight.violation(region.sample(np.random.default_rng(seed), 3000)) is None
    for name, box in tight.intervals.items():
        assert np.all(box.lower >= loose[name].lower)
        assert np.all(box.upper <= loose[name].upper)
    assert tight.n_unstable <= loose.n_unstable
    width = tight.output.upper - tight.output.lower
    assert width.sum() < (loose.output.upper - loose.output.lower).sum()
    assert "lp" in tight.methods.values()


def test_no_time_leaves_crown_bounds() -> None:
    net = random_network(0, (6, 12, 12, 3), 1.5)
    region = ball(np.zeros(6), 0.8, "linf")
    rushed, crown = lp_bounds(net, region, budget=0.0), crown_bounds(net, region)
    assert np.array_equal(rushed.output.lower, crown.output.lower)


def random_program(rng: np.random.Generator) -> Program:
    program = Program()
    n, m = 5, 4
    x = AffineForm.of_columns(program.add_columns(rng.uniform(-2, 0, n), rng.uniform(0, 2, n)))
    rows = rng.normal(size=(m, n))
    middle = rows @ rng.uniform(-0.1, 0.1, n)
    lower = np.where(rng.uniform(size=m) < 0.4, -np.inf, middle - rng.uniform(0, 1, m))
    upper = np.where(rng.uniform(size=m) < 0.4, np.inf, middle + rng.uniform(0, 1, m))
    program.add_rows(x.affine(rows, np.zeros(m)), lower=lower, upper=upper)
    return program


@pytest.mark.parametrize("seed", range(40))
def test_dual_bound_is_below_the_optimum_and_tight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = random_program(rng).freeze()
    cost = rng.normal(size=5)
    matrix = arrays.matrix.toarray()
    sides = [(matrix, arrays.row_upper), (-matrix, -arrays.row_lower)]
    a = np.vstack([rows[np.isfinite(side)] for rows, side in sides])
    b = np.concatenate([side[np.isfinite(side)] for _, side in sides])
    box = list(zip(arrays.lower, arrays.upper, strict=True))
    best = linprog(cost, a, b, bounds=box, method="highs").fun
    duals = LinearSequence(arrays).duals(cost)
    assert duals is not None
    solved = float(dual_bounds(arrays, cost[None], duals[None])[0])
    assert best - 1e-6 <= solved <= best + 1e-12 * (1.0 + abs(best))
    # Any dual vector is a proof, however bad.
    wild = rng.normal(scale=10.0, size=(50, arrays.n_rows))
    bounds = dual_bounds(arrays, np.tile(cost, (50, 1)), wild)
    assert np.all(bounds <= best + 1e-12 * (1.0 + abs(best)))


def test_sequence_of_objectives_equals_single_solves() -> None:
    rng = np.random.default_rng(3)
    arrays = random_program(rng).freeze()
    warm = LinearSequence(arrays)
    for cost in rng.normal(size=(10, 5)):
        first, fresh = warm.duals(cost), LinearSequence(arrays).duals(cost)
        assert first is not None
        assert fresh is not None
        values = dual_bounds(arrays, np.stack([cost, cost]), np.stack([first, fresh]))
        assert values[0] == pytest.approx(values[1], abs=1e-8)


def test_wrong_duals_from_the_solver_cannot_make_a_bound_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(
        LinearSequence, "duals", lambda self, *_: rng.normal(size=self.arrays.n_rows)
    )
    net = random_network(1, (6, 12, 12, 3), 1.5)
    region = ball(np.zeros(6), 0.8, "linf")
    bounds = lp_bounds(net, region)
    assert bounds.violation(region.sample(rng, 3000)) is None
