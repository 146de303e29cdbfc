"""Top-k robustness against enumeration of activation patterns and of sets of rivals."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from scipy.optimize import linprog

from mipnet.clocks import Stopwatch
from mipnet.errors import QueryError
from mipnet.network import Affine, Network
from mipnet.region import Box, Constrained
from mipnet.search import Verdict, find_adversarial, top_k
from mipnet.search.decide import Decision, Settings
from mipnet.search.goal import Stack, beats
from mipnet.search.top_k import outranks
from tests.search.region_margins import pieces
from tests.search.search_cases import random_network


def kth_margin(network: Network, box: tuple[np.ndarray, np.ndarray], label: int, k: int) -> float:
    """Largest k-th largest ``y[j] - y[label]`` over a box, by linear programs."""
    others = [j for j in range(network.n_outputs) if j != label]
    best = -np.inf
    for piece in pieces(network):
        for rivals in combinations(others, k):
            gain = piece.slope[list(rivals)] - piece.slope[label]
            constant = piece.offset[list(rivals)] - piece.offset[label]
            # The largest t below all rows.
            rows = np.block(
                [[piece.rows, np.zeros((len(piece.rows), 1))], [-gain, np.ones((k, 1))]]
            )
            sides = np.concatenate([piece.sides, constant])
            cost = np.append(np.zeros(network.n_inputs), -1.0)
            bounds = [*zip(*box, strict=True), (None, None)]
            found = linprog(cost, rows, sides, bounds=bounds, method="highs")
            if found.status == 0:
                best = max(best, -float(found.fun))
    return best


def check(verdict: Verdict, net: Network, worst: float) -> None:
    label, k = verdict.label, verdict.top_k
    if verdict.status == "robust":
        assert worst < 0.0
        assert all(c.outcome == "excluded" for c in verdict.clauses)
        assert verdict.bound >= worst - 1e-7
    elif verdict.status == "witness":
        assert worst > 0.0
        assert verdict.point is not None
        outputs = [Fraction(v) for v in net(verdict.point).tolist()]
        assert sum(y > outputs[label] for y in outputs) >= k
        assert verdict.margin == pytest.approx(
            sorted(net(verdict.point))[-k] - float(outputs[label])
        )
    else:
        assert abs(worst) < 1e-5, verdict


@pytest.mark.parametrize("attack", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_agrees_with_enumeration(monkeypatch: pytest.MonkeyPatch, seed: int, attack: bool) -> None:
    if not attack:
        monkeypatch.setattr(top_k, "_attack", lambda *_: None)
        monkeypatch.setattr(Decision, "attack", lambda _: None)
    net = random_network(seed, (2, 4, 5) if seed % 2 else (3, 3, 2, 4), scale=1.5)
    rng = np.random.default_rng(seed)
    x, radius = rng.uniform(-1.0, 1.0, net.n_inputs), float(rng.uniform(0.1, 1.5))
    ranks = np.argsort(-net(x))
    for k in range(1, net.n_outputs):
        label = int(ranks[rng.integers(0, k)])
        verdict = find_adversarial(net, x, label, radius=radius, top_k=k)
        check(verdict, net, kth_margin(net, (x - radius, x + radius), label, k))


def test_both_statuses_occur_for_every_k() -> None:
    seen = set()
    for seed in range(8):
        net = random_network(seed, (3, 6, 5), 1.5)
        for k, radius in product((2, 3, 4), (0.3, 1.0)):
            seen.add((k, find_adversarial(net, np.zeros(3), radius=radius, top_k=k).status))
    assert seen >= {(k, s) for k in (2, 3, 4) for s in ("robust", "witness")}


def test_more_of_the_top_is_harder_to_leave() -> None:
    net = random_network(2, (3, 6, 5), 1.5)
    statuses = [find_adversarial(net, np.zeros(3), radius=1.0, top_k=k).status for k in range(1, 5)]
    assert statuses == sorted(statuses, reverse=True)


def test_a_tie_for_the_last_place_is_neither() -> None:
    """Classes 1 and 2 can both reach the label, and never pass it together."""
    net = Network.sequential([Affine([[0.0], [1.0], [-1.0]], [0.0, 0.0, 0.0])])
    verdict = find_adversarial(net, [0.0], 0, radius=1.0, top_k=2)
    assert verdict.status == "unresolved"
    assert "tolerance" in verdict.reason
    apart = Network.sequential([Affine([[0.0], [1.0], [-1.0]], [0.1, 0.0, 0.0])])
    assert find_adversarial(apart, [0.0], 0, radius=1.0, top_k=2).status == "robust"
    assert find_adversarial(apart, [0.0], 0, radius=1.0).status == "witness"


def test_the_mean_of_the_rows_excludes_without_a_program() -> None:
    """Rivals that exceed the label on opposite sides only: no bound of a single row says so."""
    net = Network.sequential([Affine([[0.0], [1.0], [-1.0]], [0.1, 0.0, 0.0])])
    verdict = find_adversarial(net, [0.0], 0, radius=1.0, top_k=2)
    assert [(c.name, c.method) for c in verdict.clauses] == [("classes 1, 2", "crown")]
    assert verdict.bound == pytest.approx(-0.1)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7])
def test_the_mean_of_the_rows_changes_no_margin(k: int) -> None:
    rng = np.random.default_rng(k)
    clause = outranks(tuple(range(1, k + 1)), 0, 9)
    outputs = rng.normal(size=(500, 9)) + 0.2
    least = (outputs[:, 1 : k + 1] - outputs[:, :1]).min(axis=1)
    assert clause.margin(outputs) == pytest.approx(least, abs=1e-12)
    assert clause.rows.sum(axis=1).tolist() == [0.0] * len(clause.rows)
    assert clause.rows[-1, 0] == -1.0


def test_rivals_out_of_reach_are_in_no_set() -> None:
    rows = np.array([[0.0], [1.0], [1.0], [0.0], [0.0]])
    net = Network.sequential([Affine(rows, [1.0, 0.5, 0.25, -9.0, -9.0])])
    verdict = find_adversarial(net, [0.0], 0, radius=0.4, top_k=2)
    assert verdict.status == "robust"
    assert verdict.clauses == tuple(verdict.clauses)
    # Of four rivals none can pass: not one set is left.
    assert sorted(c.name for c in verdict.clauses) == [f"class {j}" for j in (1, 2, 3, 4)]
    wide = find_adversarial(net, [0.0], 0, radius=0.6, top_k=2)
    assert wide.status == "robust"
    assert {c.name for c in wide.clauses} == {"class 2", "class 3", "class 4"}
    found = find_adversarial(net, [0.0], 0, radius=0.8, top_k=2)
    assert (found.status, found.predicted) == ("witness", 1)
    assert [c.name for c in found.clauses] == ["classes 1, 2"]


def test_too_many_sets_are_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_k, "SETS", 5)
    monkeypatch.setattr(top_k, "_attack", lambda *_: None)
    net = random_network(1, (3, 8, 8), 1.5)
    with pytest.raises(QueryError, match=r"35 sets of 3 classes .* smaller region"):
        find_adversarial(net, np.zeros(3), radius=2.0, top_k=3)


def test_attack_comes_before_the_count_of_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_k, "SETS", 0)
    net = random_network(1, (3, 8, 8), 1.5)
    label = int(np.argsort(-net(np.zeros(3)))[2])
    verdict = find_adversarial(net, np.zeros(3), label, radius=2.0, top_k=3)
    assert verdict.status == "witness"
    assert {c.method for c in verdict.clauses} == {"attack"}


@pytest.mark.parametrize(
    ("keywords", "named"),
    [
        ({"top_k": 0}, "from 1 to 3"),
        ({"top_k": -1}, "top_k -1"),
        ({"top_k": 4}, "top_k 4"),
        ({"top_k": 1.5}, "integer"),
        ({"top_k": True}, "integer"),
        ({"top_k": 2, "target": 1}, "with a target"),
        ({"radius": None}, "radius"),
        ({"region": Box(-np.ones(3), np.ones(3))}, "takes the place"),
    ],
)
def test_bad_questions(keywords: dict[str, object], named: str) -> None:
    net = random_network(0, (3, 4, 4))
    with pytest.raises(QueryError, match=named):
        find_adversarial(net, np.zeros(3), 0, **{"radius": 0.1, **keywords})  # type: ignore[arg-type]


def test_no_time_and_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_network(2, (3, 6, 5), 1.5)
    monkeypatch.setattr(top_k, "_attack", lambda *_: None)
    late = find_adversarial(net, np.zeros(3), radius=1.0, top_k=2, time_limit=0.0)
    assert (late.status, len(late.clauses)) == ("unresolved", 4)
    assert "time limit" in late.reason

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(top_k, "first_bounds", interrupted)
    verdict = find_adversarial(net, np.zeros(3), radius=1.0, top_k=2)
    assert (verdict.status, verdict.reason) == ("unresolved", "interrupted")


def test_float32_model() -> None:
    from dataclasses import replace

    net = replace(random_network(4, (3, 6, 5), 1.5), dtype="float32")
    label = int(np.argsort(-net(np.zeros(3)))[1])
    verdict = find_adversarial(net, np.zeros(3), label, radius=1.5, top_k=2, lower=-1, upper=1)
    assert verdict.status == "witness"
    assert verdict.point is not None
    for outputs in (net(verdict.point), net.replay(verdict.point)):
        assert np.count_nonzero(outputs > outputs[label]) >= 2


# --- any region in place of a ball --------------------------------------------------------------


def test_any_region_in_place_of_a_ball() -> None:
    net = random_network(5, (3, 5, 3), 1.5)
    box = Box(-np.ones(3), np.ones(3))
    for region in (box, Constrained(box, np.ones((1, 3)), -0.2, 0.3)):
        verdict = find_adversarial(net, np.zeros(3), region=region, top_k=2)
        decision = Decision(
            net,
            region,
            Stack((outranks(tuple({0, 1, 2} - {verdict.label}), verdict.label, 3),)),
            Stopwatch(),
            Settings(),
        )
        decision.run()
        assert (verdict.status == "witness") == (decision.witness is not None)
        assert verdict.region == region.describe()
        if verdict.point is not None:
            assert region.contains(verdict.point)
    digests = {
        find_adversarial(net, np.zeros(3), region=r).region_digest
        for r in (
            box,
            Box(-np.ones(3), 2 * np.ones(3)),
            Constrained(box, np.ones((1, 3)), -0.2, 0.3),
            Constrained(box, np.ones((1, 3)), -0.2, 0.4),
        )
    }
    assert len(digests) == 4


def test_a_region_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="2 inputs, the network 3"):
        find_adversarial(random_network(5, (3, 5, 3)), np.zeros(3), region=Box([0, 0], [1, 1]))


def test_one_row_of_a_pair_is_the_usual_clause() -> None:
    assert np.array_equal(outranks((2,), 0, 4).rows, beats(2, [0], 4).rows)
