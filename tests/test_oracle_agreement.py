"""The encoded optimum equals the enumerated one: every family of networks, both bound methods."""

from __future__ import annotations

import ast
from dataclasses import replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest

from formulations import formulations
from mipnet.bounds import METHODS, compute_bounds
from mipnet.encode import encode
from mipnet.solver import Status, solve
from tests import oracle
from tests.core_cases import FAMILIES, dense, make

EXACT = (*formulations(deciding=True), "partition(0)", "partition(3, range)")
SEEDS = range(18)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_mip_agrees_with_enumeration(
    family: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mipnet.bounds.cascade._FEW", 0)  # linear programs for tiny networks too
    case = make(family, seed)
    network, region = case.network, case.region
    truth = oracle.minimum(case.weights, case.biases, case.box, case.objective, case.ball)
    assert truth.attained == pytest.approx(truth.value, rel=1e-9, abs=1e-9)
    tolerance = 1e-6 * (1.0 + abs(truth.value))
    samples = region.sample(np.random.default_rng(seed), 4)
    # Intervals always, the sharper methods in turn.
    for k, method in enumerate((METHODS[0], METHODS[1 + seed % (len(METHODS) - 1)])):
        bounds = compute_bounds(network, region, method)
        assert bounds.violation(np.vstack([samples, truth.point])) is None
        name = EXACT[(seed + k) % len(EXACT)]
        encoding = encode(network, region, bounds.intervals, formulation_name=name)
        arrays = encoding.arrays(case.objective)
        assert arrays.n_binaries == encoding.n_binaries == bounds.n_unstable
        solution = solve(arrays)
        assert solution.status is Status.OPTIMAL
        assert solution.objective == pytest.approx(truth.value, abs=tolerance)
        assert truth.value - tolerance <= solution.bound <= truth.value + tolerance
        point = solution.values[encoding.inputs]
        replayed = float(case.objective @ network(point))
        assert replayed == pytest.approx(solution.objective, abs=tolerance)
        assert np.all((region.lower - 1e-9 <= point) & (point <= region.upper + 1e-9))
        _fixed_inputs_replay(case, encoding, arrays, samples[0])


def _fixed_inputs_replay(case, encoding, arrays, point) -> None:
    """With the inputs fixed the program has one value: the forward pass."""
    lower, upper = arrays.lower.copy(), arrays.upper.copy()
    lower[encoding.inputs] = upper[encoding.inputs] = point
    solution = solve(replace(arrays, lower=lower, upper=upper))
    expected = float(case.objective @ oracle.forward(case.weights, case.biases, point))
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(expected, abs=1e-6 * (1.0 + abs(expected)))


def test_oracle_imports_nothing_from_the_package() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text())
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert not {m for m in modules if m.split(".")[0] in {"mipnet", "formulations"}}


@pytest.mark.parametrize("seed", range(20))
def test_oracle_against_breakpoints(seed: int) -> None:
    """With one input the network is a broken line: its minimum is at an end or a breakpoint."""
    rng = np.random.default_rng(seed)
    case = dense(rng, (1, *rng.integers(1, 5, size=rng.integers(1, 4)).tolist(), 2))
    truth = oracle.minimum(case.weights, case.biases, case.box, case.objective)
    c = [Fraction(v) for v in case.objective.tolist()]

    def trace(x: Fraction) -> list[Fraction]:
        *hidden, outputs = oracle.exact_trace(case.weights, case.biases, [x])
        return [*chain.from_iterable(hidden), sum(ci * v for ci, v in zip(c, outputs, strict=True))]

    ends = [Fraction(case.lower[0]), Fraction(case.upper[0])]
    # Cut every piece at the zero of each pre-activation, layer by layer, until nothing changes.
    cuts = sorted(ends)
    for _ in case.weights:
        more = set(cuts)
        for left, right in pairwise(cuts):
            for a, b in zip(trace(left)[:-1], trace(right)[:-1], strict=True):
                if a * b < 0:
                    more.add(left + (right - left) * a / (a - b))
        cuts = sorted(more)
    best = min(trace(x)[-1] for x in cuts)
    assert truth.value == pytest.approx(float(best), rel=1e-9, abs=1e-9)
