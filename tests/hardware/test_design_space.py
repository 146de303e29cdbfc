"""Sweeps, Pareto fronts, rankings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mipnet.errors import MissingPackageError, QueryError
from mipnet.hardware import Ranking, cost, feed_forward, pareto_front, sweep
from mipnet.network import Affine, Network, ReLU


def network(seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    sizes = ((32, 16), (8, 32))
    layers = [Affine(rng.normal(size=s), np.zeros(s[0])) for s in sizes]
    return Network.sequential([layers[0], ReLU(), layers[1]])


def test_sweep_of_a_network() -> None:
    net, seen = network(), []

    def accuracy(pruned: Network) -> float:
        assert isinstance(pruned, Network)
        seen.append(pruned)
        weights = [n.layer.weight for n in pruned.nodes if isinstance(n.layer, Affine)]
        return float(sum((w != 0).sum() for w in weights) / 768)

    space = sweep(
        net,
        arrays=[4, "8x8"],
        rates=(0.0, 0.5),
        dataflows=("ws", "os"),
        accuracy=accuracy,
        batch=16,
        ties="exact",
    )
    assert len(space.points) == 8
    assert len(seen) == 4  # once per tile size and rate, not per dataflow
    half = next(p for p in space.points if (p.array, p.dataflow, p.rate) == ("8x8", "ws", 0.5))
    assert half.tile == "8x8"
    assert half.pruned == half.skippable == half.accuracy == 0.5
    assert half.speed_up == pytest.approx(2.0)
    assert 0.0 < half.energy_saving < 1.0
    assert half.cycles_dense == cost(net, array=8, batch=16).cycles
    other = next(p for p in space.points if (p.array, p.dataflow, p.rate) == ("8x8", "os", 0.5))
    assert other.speed_up == 1.0  # only weight-stationary folds are tiles


def test_tiles_of_other_sizes_than_the_array() -> None:
    space = sweep(network(), arrays=[8], tiles=[4, 8, 16], rates=[0.5], ties="exact")
    by_tile = {p.tile: p for p in space.points}
    assert by_tile["16x16"].skippable == by_tile["8x8"].skippable == 0.5
    assert by_tile["4x4"].skippable < 0.5  # a fold is skipped only if all four tiles are zero


def test_sweep_of_shapes() -> None:
    rng = np.random.default_rng(1)
    gemms = feed_forward(8, 16, 32)
    weights = {"ffn.up": rng.normal(size=(16, 32))}
    space = sweep(
        gemms,
        arrays=[4],
        rates=[0.25],
        weights=weights,
        accuracy=lambda left: float((left["ffn.up"] == 0).mean()),
    )
    (point,) = space.points
    assert point.accuracy == point.pruned == pytest.approx(9 / 32)  # SASP takes one tile more
    dense = sweep(gemms, arrays=[4, 8])
    assert [p.accuracy for p in dense.points] == [None, None]
    assert dense.pareto("cycles") == (dense.points[1],)
    with pytest.raises(QueryError, match="no weights"):
        sweep(gemms, arrays=[4], rates=[0.5])
    with pytest.raises(QueryError, match="at least one"):
        sweep(gemms, arrays=[])


def test_fronts_and_rankings_under_two_tables() -> None:
    space = sweep(
        network(),
        arrays=[4, 8, 16],
        rates=[0.0, 0.25, 0.5, 0.75],
        accuracy=lambda net: -float(np.abs(net(np.ones(16)) - network()(np.ones(16))).sum()),
    )
    front = space.pareto()
    values = np.array([[-p.accuracy, p.cycles, p.energy] for p in space.points])
    for point, row in zip(space.points, values, strict=True):
        beaten = ((values <= row).all(axis=1) & (values < row).any(axis=1)).any()
        assert (point in front) != beaten
    assert len(space.ranking.orders) == 2
    assert all(len(order) == 12 for order in space.ranking.orders.values())
    assert space.pareto("accuracy", "relative_eyeriss")
    with pytest.raises(QueryError, match="'colour'"):
        space.pareto("colour")
    frame = space.to_frame()
    assert frame["pareto"].sum() == len(front)
    assert {"speed_up", "energy_horowitz45", "energy_relative_eyeriss"} <= set(frame.columns)
    html = space._repr_html_()
    assert html.count("<tr>") == 13


def test_sweep_needs_no_pandas_until_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    space = sweep((4, 4, 4), arrays=[4])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError):
        space.to_frame()


def test_front_of_a_table() -> None:
    assert pareto_front([[0, 1], [1, 0], [1, 1], [0, 1]]).tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("values", "said"),
    [([1, 2], r"\(2,\)"), ([[1, np.nan], [0, 1]], r"\[0, 1\] NaN"), ([["x"]], "needs numbers")],
)
def test_values_that_cannot_be_compared(values: object, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        pareto_front(values)


def test_points_without_an_accuracy_are_refused() -> None:
    with pytest.raises(QueryError, match=r"accuracy is NaN for tiles of 4x4 at rate 0\.5"):
        sweep(network(), arrays=[4], rates=[0.5], accuracy=lambda net: float("nan"))


@pytest.mark.parametrize(
    "options", [{"arrays": 4}, {"arrays": "4x4"}, {"rates": 0.5}, {"dataflows": "ws"}, {"tiles": 8}]
)
def test_choices_are_lists(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(QueryError, match=f"{name} lists what to sweep over"):
        sweep(network(), **({"arrays": [4]} | options))


def test_sweep_reads_what_loads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "net.npz"
    np.savez(path, W0=rng.normal(size=(8, 16)), b0=np.zeros(8))
    (point,) = sweep(path, arrays=[4], rates=[0.5], ties="exact", accuracy=lambda net: 1.0).points
    assert point.skippable == 0.5


def test_orders_that_differ() -> None:
    ranking = Ranking(("a", "b", "c"), {"one": (1.0, 2.0, 3.0), "two": (3.0, 2.0, 1.0)})
    assert ranking.orders == {"one": ("a", "b", "c"), "two": ("c", "b", "a")}
    assert not ranking.agree
    assert ranking.stability == -1.0
    assert "disagree" in str(ranking)
    assert Ranking(("a",), {"one": (1.0,), "two": (5.0,)}).agree
