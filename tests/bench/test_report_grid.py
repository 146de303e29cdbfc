"""Items by series, and the figures of every series."""

from __future__ import annotations

import numpy as np
import pytest
from report_cases import made_up

from mipnet.bench import StoreError
from mipnet.bench.report.grid import grid, series_order, values_of, with_series
from mipnet.bench.report.summary import baseline_of, pareto, sizes, summary, unsettled

pd = pytest.importorskip("pandas")


def few(rows: list[tuple[str, int, int | None, float, str]]) -> pd.DataFrame:
    """Cells from pruning, question, mask seed, seconds and status; the limit is 10 s."""
    whole = made_up(questions=1, seeds=1, methods=(("dense", None),)).cells
    found = pd.concat([whole.iloc[:1]] * len(rows), ignore_index=True)
    for k, (pruning, question, mask_seed, seconds, status) in enumerate(rows):
        method, _, keep = pruning.partition(" ")
        found.loc[k, ["pruning", "method", "instance"]] = [pruning, method, f"test {question}"]
        found.loc[k, "keep"] = float(keep) if keep else np.nan
        found.loc[k, "mask_seed"] = pd.NA if mask_seed is None else mask_seed
        found.loc[k, ["total_s", "time_limit"]] = [seconds, 10.0]
        found.loc[k, ["status", "artefact"]] = [status, f"{pruning} {mask_seed}"]
        found.loc[k, "solved"] = status in {"optimal", "infeasible"}
    return with_series(found)


def test_a_series_is_what_varies() -> None:
    cells = made_up(questions=2).cells
    assert series_order(with_series(cells)) == (
        *("dense", "flap 0.5", "flap 0.25", "magnitude 0.5", "magnitude 0.25", "random 0.5"),
    )
    two = pd.concat([cells, cells.assign(formulation="ideal")], ignore_index=True)
    labels = series_order(with_series(two))
    assert "flap 0.5 · ideal" in labels
    assert len(labels) == 12
    # Nothing varies: the pruning names the one series there is.
    assert series_order(with_series(cells[cells["method"] == "dense"])) == ("dense",)


def test_limits_count_and_failures_have_a_time() -> None:
    cells = few([("dense", 0, None, 3.0, "optimal"), ("dense", 1, None, np.nan, "error")])
    assert values_of(cells, "total_s").tolist() == [3.0, 10.0]
    assert not np.isnan(values_of(cells, "bound_s")).any()
    with pytest.raises(StoreError, match="unknown metric 'speed'"):
        values_of(cells, "speed")


def test_several_masks_of_one_item_count_as_their_upper_median() -> None:
    cells = few(
        [
            ("random 0.5", 0, 0, 1.0, "optimal"),
            ("random 0.5", 0, 1, 5.0, "optimal"),
            ("random 0.5", 0, 2, 9.0, "feasible-limit"),
            ("random 0.5", 1, 0, 1.0, "optimal"),
            ("random 0.5", 1, 1, 2.0, "killed"),
        ]
    )
    found = grid(cells)
    assert found.times[:, 0].tolist() == [5.0, 10.0]
    assert found.solved[:, 0].tolist() == [True, False]


def test_common_items_are_those_of_every_series() -> None:
    cells = few(
        [
            ("dense", 0, None, 1.0, "optimal"),
            ("dense", 1, None, 2.0, "optimal"),
            ("magnitude 0.5", 0, 0, 3.0, "optimal"),
        ]
    )
    whole = grid(cells)
    assert whole.present.tolist() == [[True, True], [True, False]]
    assert [item[2] for item in whole.common().items] == ["test 0"]
    assert whole.shown(["magnitude 0.5"]).times.tolist() == [[3.0]]
    # Where nothing is common, nothing is thrown away.
    apart = few([("dense", 0, None, 1.0, "optimal"), ("magnitude 0.5", 1, 0, 3.0, "optimal")])
    assert grid(apart).common().present.tolist() == [[True, False], [False, True]]


def test_summary_against_hand_computed_values() -> None:
    cells = few(
        [
            ("dense", 0, None, 7.0, "optimal"),
            ("dense", 1, None, 10.1, "no-solution-limit"),
            ("magnitude 0.5", 0, 0, 1.0, "infeasible"),
            ("magnitude 0.5", 1, 0, 3.0, "optimal"),
        ]
    )
    found = summary(cells, shift=1.0)
    dense, small = found.loc["dense"], found.loc["magnitude 0.5"]
    assert dense["sgm"] == pytest.approx(np.sqrt(8.0 * 11.0) - 1.0)
    assert small["sgm"] == pytest.approx(np.sqrt(2.0 * 4.0) - 1.0)
    assert (dense["par2"], dense["par10"]) == (13.5, 53.5)
    assert (dense["solved"], dense["limits"], dense["failed"], dense["censored"]) == (1, 1, 0, 1)
    assert small["ratio"] == pytest.approx(small["sgm"] / dense["sgm"])
    assert (small["wins"], small["ties"], small["losses"]) == (2, 0, 0)
    # Without the small one the virtual best falls back to dense: PAR-2 of 13.5 instead of 2.
    assert small["contribution"] == pytest.approx(11.5)
    assert dense["contribution"] == 0.0
    turned = summary(cells, baseline="magnitude 0.5").loc["dense"]
    assert turned["ratio"] == pytest.approx(dense["sgm"] / small["sgm"])
    with pytest.raises(StoreError, match="no series 'nobody'"):
        summary(cells, baseline="nobody")


def test_hiding_a_series_changes_what_the_others_contribute() -> None:
    cells = with_series(made_up(questions=8).cells)
    whole = summary(cells)["contribution"]
    best = whole.idxmax()
    rest = summary(cells[cells["series"] != best])["contribution"]
    assert (rest >= whole.drop(best) - 1e-12).all()
    assert rest.max() > whole.drop(best).max()


def test_front_of_fidelity_time_and_cycles() -> None:
    cells = with_series(made_up(questions=4).cells)
    found = pareto(cells)
    assert set(found["network"]) == {"2x50", "4x25"}
    for point in found.itertuples():
        better = found[
            (found["fidelity"] >= point.fidelity)
            & (found["seconds"] <= point.seconds)
            & (found["cycles"] <= point.cycles)
        ]
        strictly = better[
            (better["fidelity"] > point.fidelity)
            | (better["seconds"] < point.seconds)
            | (better["cycles"] < point.cycles)
        ]
        assert point.front == strictly.empty
    with pytest.raises(StoreError, match="unknown measure of fidelity 'beauty'"):
        pareto(cells, fidelity="beauty")
    # No array in the plan: a front of two, not an empty one.
    assert pareto(cells.assign(cycles=np.nan))["front"].any()


def test_failures_come_first() -> None:
    cells = with_series(made_up(questions=30).cells)
    found = unsettled(cells)["status"].tolist()
    order = ["inconsistent", "error", "memory", "killed", "unresolved", "feasible-limit"]
    assert found == sorted(found, key=order.index)
    assert set(found) >= {"inconsistent", "error", "killed", "feasible-limit"}


def test_sizes_take_the_extremes_of_constants() -> None:
    found = sizes(with_series(made_up(questions=2).cells)).set_index(["network", "series"])
    assert found.loc[("2x50", "dense"), "m_max"] == 10.0
    assert found.loc[("2x50", "flap 0.25"), "cycles"] == 250.0


def test_no_cells_no_numbers() -> None:
    empty = with_series(made_up(questions=1).cells.iloc[:0])
    with pytest.raises(StoreError, match="no cells are left"):
        grid(empty)


def test_baseline_is_the_unpruned_series() -> None:
    cells = with_series(made_up(questions=1).cells)
    assert baseline_of(cells, series_order(cells)) == "dense"
    pruned = cells[cells["method"] != "dense"]
    assert baseline_of(pruned, series_order(pruned)) == "flap 0.5"
