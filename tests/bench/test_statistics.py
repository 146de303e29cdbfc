"""Statistics against values computed by hand, and against published ones."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mipnet.bench.statistics import (
    Claim,
    cactus,
    contradiction,
    final_gap,
    kaplan_meier,
    marginal_contribution,
    midranks,
    paired_ratio,
    pareto_front,
    penalised_average,
    primal_dual_integral,
    primal_integral,
    profile,
    profile_at,
    ratios_to_best,
    relative_gap,
    resamples,
    running_best,
    shifted_geometric_mean,
    signed_rank,
    spread,
    times_to,
    uniform,
    virtual_best,
    wins_ties_losses,
)
from mipnet.errors import QueryError

INF, NAN = math.inf, math.nan
#: Three instances, three methods; the limit is 10 s.
TIMES = np.array([[1.0, 2.0, 4.0], [10.0, 3.0, 10.0], [5.0, 10.0, 10.0]])
SOLVED = np.array([[True, True, True], [False, True, False], [True, False, False]])


class TestMeans:
    def test_shifted_geometric_mean_by_hand(self) -> None:
        # (0 + 1) (8 + 1) (2 + 1) = 27
        assert shifted_geometric_mean([0.0, 8.0, 2.0], shift=1.0) == pytest.approx(2.0)
        assert shifted_geometric_mean([2.0, 8.0], shift=0.0) == pytest.approx(4.0)
        assert shifted_geometric_mean([0.0, 8.0], shift=0.0) == 0.0
        assert math.isnan(shifted_geometric_mean([]))

    def test_large_shift_approaches_the_mean(self) -> None:
        assert shifted_geometric_mean([1.0, 2.0, 9.0], shift=1e9) == pytest.approx(4.0, rel=1e-5)

    @pytest.mark.parametrize("values", [[-1.0], [NAN]])
    def test_no_mean_of_nonsense(self, values: list[float]) -> None:
        with pytest.raises(QueryError, match="from 0 on"):
            shifted_geometric_mean(values)

    def test_penalised_averages(self) -> None:
        solved = [True, True, False, False]
        assert penalised_average([1, 3, 10, 10], solved, 10.0) == pytest.approx((1 + 3 + 40) / 4)
        assert penalised_average([1, 3, 10, 10], solved, 10.0, 10.0) == pytest.approx(51.0)
        # Limits of their own.
        assert penalised_average([1, 5], [True, False], [10.0, 5.0], 2.0) == pytest.approx(5.5)


class TestProfiles:
    def test_ratios_and_steps_by_hand(self) -> None:
        ratios = ratios_to_best(TIMES, SOLVED)
        np.testing.assert_array_equal(ratios, [[1, 2, 4], [INF, 1, INF], [1, INF, INF]])
        factors, shares = profile(ratios[:, 1])
        assert factors.tolist() == [1.0, 2.0]
        np.testing.assert_allclose(shares, [1 / 3, 2 / 3])

    def test_hiding_a_method_changes_the_others(self) -> None:
        ratios = ratios_to_best(TIMES, SOLVED, shown=[1, 2])
        np.testing.assert_array_equal(ratios, [[1, 2], [1, INF], [INF, INF]])
        # An instance nobody shown solves stays in the denominator.
        np.testing.assert_allclose(profile_at(ratios, [1.0, 2.0]), [[2 / 3, 0], [2 / 3, 1 / 3]])

    def test_floor_makes_noise_equal(self) -> None:
        ratios = ratios_to_best([[1e-5, 9e-3]], [[True, True]], floor=0.01)
        assert ratios.tolist() == [[1.0, 1.0]]
        with pytest.raises(QueryError, match="floor"):
            ratios_to_best([[0.0, 1.0]], [[True, True]])

    def test_profile_of_a_method_that_solves_nothing(self) -> None:
        factors, shares = profile([INF, INF])
        assert factors.size == shares.size == 0

    @given(st.lists(st.lists(st.floats(0.01, 100), min_size=3, max_size=3), min_size=1))
    def test_best_method_starts_where_it_is_best(self, rows: list[list[float]]) -> None:
        times = np.array(rows)
        ratios = ratios_to_best(times, np.ones_like(times, dtype=bool))
        assert (ratios.min(axis=1) == 1.0).all()
        best = (times == times.min(axis=1, keepdims=True)).mean(axis=0)
        np.testing.assert_allclose(profile_at(ratios, [1.0])[0], best)


class TestSurvival:
    #: Weeks of remission of 21 children under 6-MP, with those in remission when last seen apart;
    #: E. Freireich et al., Blood 21, 1963.
    ENDED = (6, 6, 6, 7, 10, 13, 16, 22, 23)
    GOING_ON = (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)
    #: Survival at 6, 7, 10, 13, 16, 22 and 23 weeks, as in every textbook, and its standard error.
    SHARES = (0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448)
    ERRORS = (0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346)

    def test_published_remission_times(self) -> None:
        ended = np.arange(21) < len(self.ENDED)
        found = kaplan_meier(self.ENDED + self.GOING_ON, ended)
        assert found.times.tolist() == [6, 7, 10, 13, 16, 22, 23]
        assert found.at_risk.tolist() == [21, 17, 15, 12, 11, 7, 6]
        np.testing.assert_allclose(found.open, self.SHARES, atol=5e-4)
        np.testing.assert_allclose(found.error, self.ERRORS, atol=6e-5)

    def test_one_limit_for_all_is_the_cactus_plot(self) -> None:
        times, solved = [3.0, 1.0, 10.0, 2.0, 10.0], [True, True, False, True, False]
        reached, counts = cactus(times, solved)
        found = kaplan_meier(times, solved)
        assert reached.tolist() == [1.0, 2.0, 3.0]
        np.testing.assert_allclose(found.open, 1 - counts / 5)

    def test_everything_solved_leaves_nothing_open(self) -> None:
        found = kaplan_meier([1.0, 2.0], [True, True])
        np.testing.assert_allclose(found.open, [0.5, 0.0])
        assert found.error[-1] == 0.0


class TestPortfolio:
    def test_virtual_best_by_hand(self) -> None:
        best, solved, choice = virtual_best(TIMES, SOLVED)
        assert (best.tolist(), choice.tolist()) == ([1.0, 3.0, 5.0], [0, 1, 0])
        assert solved.all()
        best, solved, choice = virtual_best(TIMES, SOLVED, shown=[2])
        assert (best.tolist(), solved.tolist(), choice.tolist()) == (
            [4.0, 10.0, 10.0],
            [True, False, False],
            [2, -1, -1],
        )

    def test_marginal_contribution_by_hand(self) -> None:
        # PAR-2 of all: (1 + 3 + 5) / 3. Without the first: (2 + 3 + 20) / 3; without the second:
        # (1 + 20 + 5) / 3; the third adds nothing.
        found = marginal_contribution(TIMES, SOLVED, 10.0)
        np.testing.assert_allclose(found, [16 / 3, 17 / 3, 0.0])

    def test_alone_a_method_contributes_everything(self) -> None:
        found = marginal_contribution(TIMES[:, :1], SOLVED[:, :1], 10.0)
        np.testing.assert_allclose(found, [20.0 - (1 + 20 + 5) / 3])

    def test_wins_ties_losses_by_hand(self) -> None:
        found = wins_ties_losses(TIMES, SOLVED)
        assert found[0, 1].tolist() == [2, 0, 1]
        assert found[1, 0].tolist() == [1, 0, 2]
        assert found[0, 2].tolist() == [2, 1, 0]
        assert found[1, 1].tolist() == [0, 3, 0]
        near = wins_ties_losses([[100.0, 104.0]], [[True, True]], tolerance=0.05)
        assert near[0, 1].tolist() == [0, 1, 0]


class TestPairs:
    #: Differences of heights of cross- and self-fertilised plants in eighths of an inch; C. Darwin
    #: 1876, analysed by R. Fisher, The Design of Experiments, 1935.
    DARWIN = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)

    def test_darwins_plants(self) -> None:
        found = signed_rank(np.zeros(15), self.DARWIN)
        assert (found.statistic, found.differences, found.exact) == (24.0, 15, True)
        assert found.p == pytest.approx(0.041259765625, abs=1e-15)

    def test_published_table_of_critical_values(self) -> None:
        """Five differences of one sign are the least that reach 0.0625; six 0.03125."""
        assert signed_rank(np.zeros(5), np.arange(1.0, 6.0)).p == 0.0625
        assert signed_rank(np.zeros(6), np.arange(1.0, 7.0)).p == 0.03125

    @given(st.lists(st.integers(-20, 20), min_size=1, max_size=9))
    def test_enumeration_with_ties(self, differences: list[int]) -> None:
        kept = np.array([d for d in differences if d], dtype=float)
        found = signed_rank(np.zeros(len(differences)), differences)
        if not kept.size:
            assert found.p == 1.0
            return
        ranks = stats.rankdata(np.abs(kept))
        np.testing.assert_array_equal(midranks(np.abs(kept))[0], ranks)
        signs = np.array(np.meshgrid(*[[0, 1]] * kept.size)).reshape(kept.size, -1)
        sums = ranks @ signs
        assert found.p == pytest.approx(min(1.0, 2 * np.mean(sums <= found.statistic + 1e-9)))

    def test_many_pairs_agree_with_scipy(self) -> None:
        rng = np.random.default_rng(3)
        a, b = rng.normal(size=80), rng.normal(0.3, size=80)
        wanted = stats.wilcoxon(a, b, method="asymptotic")
        found = signed_rank(a, b)
        assert not found.exact
        assert found.statistic == wanted.statistic
        assert found.p == pytest.approx(wanted.pvalue, rel=1e-9)
        whole, half = np.round(a, 1), np.round(b, 1)
        assert signed_rank(whole, half).p == pytest.approx(
            stats.wilcoxon(whole, half, method="asymptotic").pvalue, rel=1e-9
        )

    def test_ratio_by_hand(self) -> None:
        # (1 + 1)(7 + 1) = 16 -> 3; (3 + 1)(3 + 1) = 16 -> 3; twice of it: (0 + 1)(4 + 1)...
        found = paired_ratio([1.0, 7.0], [3.0, 3.0])
        assert found.ratio == pytest.approx(1.0)
        assert found.pairs == 2
        assert found.low <= 1.0 <= found.high
        # Extreme samples are twice the first pair, and twice the second.
        wide = paired_ratio([1.0, 7.0], [3.0, 3.0], level=1.0)
        assert (wide.low, wide.high) == pytest.approx((3 / 7, 3.0))

    def test_equal_runs_have_no_interval(self) -> None:
        found = paired_ratio([1.0, 2.0, 5.0], [2.0, 4.0, 10.0], shift=0.0)
        assert (found.ratio, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))

    def test_seeds_of_one_instance_are_one_group(self) -> None:
        rng = np.random.default_rng(0)
        factor = np.repeat(np.exp(rng.normal(size=6)), 10)
        base = rng.uniform(1, 2, 60)
        alone = paired_ratio(base, base * factor, shift=0.0)
        grouped = paired_ratio(base, base * factor, shift=0.0, groups=np.repeat(list("abcdef"), 10))
        assert grouped.ratio == alone.ratio
        assert grouped.high - grouped.low > 2.0 * (alone.high - alone.low)

    def test_interval_covers(self) -> None:
        """About 95 of 100 intervals hold the true ratio 1.5."""
        rng = np.random.default_rng(1)
        held = 0
        for k in range(100):
            a = rng.lognormal(size=40)
            b = 1.5 * a * rng.lognormal(sigma=0.5, size=40)
            found = paired_ratio(a, b, shift=0.0, repeats=400, seed=k)
            held += found.low <= 1.5 <= found.high
        assert 85 <= held <= 100

    def test_nothing_to_compare(self) -> None:
        assert math.isnan(paired_ratio([], []).ratio)
        with pytest.raises(QueryError, match="equal lengths"):
            paired_ratio([1.0], [1.0, 2.0])


class TestGenerator:
    #: First three numbers as the JavaScript of the same name gives them.
    KNOWN: ClassVar[dict[int, tuple[float, ...]]] = {
        0: (0.26642920868471265, 0.0003297457005828619, 0.2232720274478197),
        123456789: (0.2577907438389957, 0.9707721115555614, 0.7853280142880976),
        4294967295: (0.8964226141106337, 0.189478256739676, 0.7156526781618595),
    }

    @pytest.mark.parametrize("seed", KNOWN)
    def test_same_numbers_as_in_a_browser(self, seed: int) -> None:
        assert tuple(uniform(3, seed)) == self.KNOWN[seed]
        assert uniform(1, seed, start=2)[0] == self.KNOWN[seed][2]

    def test_resamples_are_positions(self) -> None:
        drawn = resamples(7, 3000, seed=5)
        assert drawn.shape == (3000, 7)
        assert (drawn.min(), drawn.max()) == (0, 6)
        np.testing.assert_allclose(np.bincount(drawn.ravel()) / drawn.size, 1 / 7, atol=0.01)


class TestIntegrals:
    def test_gaps_of_the_definition(self) -> None:
        found = relative_gap([10.0, 5.0, -1.0, 0.0, NAN, 0.0, INF], [10, 10, 1, 0, 1, 4, 1])
        assert found.tolist() == [0.0, 0.5, 1.0, 0.0, 1.0, 1.0, 1.0]

    def test_primal_integral_by_hand(self) -> None:
        # Nothing for 2 s, then half the optimum for 3 s, then the optimum.
        assert primal_integral([2, 5], [5, 10], best=10.0, end=20.0) == pytest.approx(3.5)
        assert primal_integral([], [], best=1.0, end=7.0) == 7.0
        assert primal_integral([0.0], [4.0], best=4.0, end=7.0) == 0.0
        # What comes after the end does not count.
        assert primal_integral([2, 50], [5, 10], best=10.0, end=20.0) == pytest.approx(11.0)

    def test_primal_dual_integral_by_hand(self) -> None:
        # No gap known for 1 s; 0.5 for 2 s; 0.2 for 1 s; then closed.
        found = primal_dual_integral([1, 3, 4], [5, 8, 8], [10, 10, 8], end=10.0)
        assert found == pytest.approx(1.0 + 2 * 0.5 + 0.2)

    def test_running_best(self) -> None:
        values = [NAN, 3.0, 1.0, NAN, 4.0]
        np.testing.assert_array_equal(
            running_best(values, maximise=True), [NAN, 3.0, 3.0, 3.0, 4.0]
        )
        np.testing.assert_array_equal(
            running_best(values, maximise=False), [NAN, 3.0, 1.0, 1.0, 1.0]
        )

    def test_first_and_best(self) -> None:
        assert times_to([1, 2, 3], [NAN, 4.0, 5.0]) == (2.0, 3.0)
        assert times_to([1, 2, 3], [5.0, 5.0, 5.0]) == (1.0, 1.0)
        assert all(math.isnan(t) for t in times_to([1.0], [NAN]))

    def test_final_gap(self) -> None:
        assert final_gap(None, 3.0) == 1.0
        assert final_gap(2.0, 4.0) == 0.5

    def test_times_must_rise(self) -> None:
        with pytest.raises(QueryError, match="rise"):
            primal_integral([2.0, 1.0], [1.0, 1.0], best=1.0, end=3.0)


class TestAgreement:
    @pytest.mark.parametrize(
        ("claims", "wrong"),
        [
            ([("decide", "optimal"), ("decide", "optimal")], ""),
            ([("decide", "optimal"), ("decide", "no-solution-limit")], ""),
            ([("decide", "optimal"), ("decide", "infeasible")], "proven that there is none"),
            ([("maximise", "optimal", 2.0, 2.0), ("maximise", "optimal", 2.00001, 2.00001)], ""),
            ([("maximise", "optimal", 2.0, 2.0), ("maximise", "optimal", 2.1, 2.1)], "beats"),
            ([("maximise", "optimal", 2.0, 2.0), ("maximise", "feasible-limit", 1.0, 1.9)], "bea"),
            ([("maximise", "optimal", 2.0, 2.0), ("maximise", "feasible-limit", 1.0, 9.9)], ""),
            ([("minimise", "optimal", 2.0, 2.0), ("minimise", "feasible-limit", 1.9, 0.1)], "bea"),
            ([("minimise", "optimal", 2.0, 2.0), ("minimise", "feasible-limit", 2.4, 0.1)], ""),
            ([("minimise", "optimal", 2.0), ("minimise", "infeasible")], "there is none"),
            ([("minimise", "optimal", 2.0), ("minimise", "killed", 1.0)], ""),
            # A cell that failed does not say what its goal was.
            ([("decide", "optimal", 1.18), ("decide", "optimal", 1.19), ("", "error")], ""),
            ([("maximise", "optimal", 2.0), ("maximise", "optimal", 2.1), ("", "killed")], "2.1"),
            # Both closed to within a gap of their own.
            ([("minimise", "optimal", 2.0, 1.98), ("minimise", "optimal", 1.99, 1.97)], ""),
            ([("minimise", "optimal", 2.0), ("minimise", "optimal", 3.0)], "optima from 2.0 to 3"),
        ],
    )
    def test_what_cannot_all_be_true(self, claims: list[tuple], wrong: str) -> None:
        for order in (claims, claims[::-1]):
            found = contradiction([Claim(*claim) for claim in order])
            assert (wrong in found) if wrong else not found


def test_pareto_front_by_hand() -> None:
    points = [[1, 5], [2, 2], [3, 1], [3, 3], [NAN, 0]]
    assert pareto_front(points).tolist() == [True, True, True, False, False]


def test_spread_by_hand() -> None:
    found = spread([1.0, 4.0, 2.0])
    assert (found.count, found.least, found.median, found.most) == (3, 1.0, 2.0, 4.0)
    # Logarithms to base 2 are 0, 2 and 1: standard deviation 1, a factor of 2.
    assert found.factor == pytest.approx(2.0)
    assert spread([3.0]).factor == 1.0


@pytest.mark.parametrize("bad", [NAN, -1.0])
def test_values_that_are_no_times_are_refused(bad: float) -> None:
    with pytest.raises(QueryError, match="from 0 on"):
        paired_ratio([1.0, bad], [1.0, 2.0])
    with pytest.raises(QueryError, match="from 0 on"):
        cactus([1.0, bad], [True, True])
    with pytest.raises(QueryError, match="from 0 on"):
        penalised_average([1.0, bad], [True, True], 10.0)
    with pytest.raises(QueryError, match="from 0 on"):
        penalised_average([1.0, 2.0], [True, False], bad)
    with pytest.raises(QueryError, match="finite"):
        signed_rank([1.0, NAN], [1.0, 2.0])
    # The time of a run that was cut short does not count.
    assert penalised_average([1.0, bad], [True, False], 10.0) == 10.5
    assert cactus([1.0, bad], [True, False])[0].tolist() == [1.0]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(QueryError, match="do not fit"):
        penalised_average([1.0, 2.0], [True], 10.0)
    with pytest.raises(QueryError, match="do not fit"):
        penalised_average([1.0, 2.0], [True, False], [1.0, 2.0, 3.0])
