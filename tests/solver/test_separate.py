"""Rounds of separation, and programs HiGHS has no words for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from formulations import formulation, formulations
from formulations.program import ProgramArrays
from mipnet.bounds import compute_bounds
from mipnet.encode import encode
from mipnet.errors import SolverError
from mipnet.region import Box
from mipnet.solver import Limits, Status, separate, solve
from mipnet.solver.sequence import LinearSequence
from tests.core_cases import chain, dense
from tests.oracle import minimum


def program(seed: int, name: str = "ideal") -> tuple[ProgramArrays, float]:
    """A tiny network's minimisation and its minimum by enumeration."""
    case = dense(np.random.default_rng(seed), (3, 6, 1))
    bounds = compute_bounds(case.network, case.region)
    found = encode(
        case.network, case.region, bounds.intervals, formulation_name=name, linear=False
    ).arrays(case.objective)
    return found, minimum(case.weights, case.biases, case.box, case.objective).value


@pytest.mark.parametrize("seed", range(10))
def test_separated_rows_keep_the_minimum(seed: int) -> None:
    arrays, truth = program(seed)
    found = separate(arrays, stall=0.0)
    assert found.before <= found.after + 1e-9
    assert found.after <= truth + 1e-7
    assert found.arrays.n_rows == arrays.n_rows + found.cuts
    assert not found.arrays.separators
    for given in (arrays, found.arrays):
        answer = solve(given)
        assert answer.status is Status.OPTIMAL
        assert answer.objective == pytest.approx(truth, abs=1e-6)
        assert answer.bound <= truth + 1e-6


def test_rows_close_some_of_the_gap() -> None:
    """On a wide layer the relaxation gets much better, and solve adds as many rows."""
    rng = np.random.default_rng(0)
    net = chain([rng.normal(size=(20, 6)), rng.normal(size=(1, 20))], [np.zeros(20), np.zeros(1)])
    region = Box(-np.ones(6), np.ones(6))
    bounds = compute_bounds(net, region)
    arrays = encode(net, region, bounds.intervals, formulation_name="ideal").arrays(np.ones(1))
    found = separate(arrays)
    assert found.cuts > 0
    assert found.rounds > 1
    assert found.after > found.before + 0.1
    answer, plain = solve(arrays), solve(replace(arrays, separators=()))
    assert (answer.cuts, plain.cuts) == (found.cuts, 0)
    assert answer.objective == pytest.approx(plain.objective, abs=1e-6)


def test_cutoff_and_limits_end_the_rounds() -> None:
    arrays, _ = program(1)
    assert separate(arrays, rounds=1, stall=0.0).cuts == 0
    assert separate(arrays, rounds=0).rounds == 0
    assert separate(arrays, cutoff=-1e9).rounds == 1
    assert separate(arrays, time_limit=0.0).cuts == 0


def test_a_cutoff_of_the_search_reaches_the_rounds() -> None:
    arrays, truth = program(2)
    assert solve(arrays, limits=Limits(cutoff=truth - 1e-3)).status is Status.CUTOFF
    assert solve(arrays, limits=Limits(cutoff=truth + 1e-3)).status is Status.OPTIMAL


def test_relaxations_are_solved_as_they_are() -> None:
    """Without integers nothing is separated: who relaxes a program asks for that relaxation."""
    arrays, _ = program(3)
    relaxed = replace(arrays, integer=np.zeros(arrays.n_columns, dtype=bool))
    assert solve(relaxed).cuts == 0


@pytest.mark.parametrize("name", [n for n in formulations() if formulation(n).needs])
def test_constructs_are_refused(name: str) -> None:
    """Left out, they would leave a relaxation that answers another question."""
    arrays, _ = program(4, name)
    match = "which HiGHS does not know; choose a formulation of rows"
    for ask in (solve, LinearSequence, separate):
        if ask is separate and not arrays.separators:
            continue
        with pytest.raises(SolverError, match=match):
            ask(arrays)
