"""Branch and bound over boxes and over phases, as the searches use it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mipnet.bounds import alpha_bounds, first_bounds
from mipnet.clocks import Stopwatch
from mipnet.network import Affine, Network
from mipnet.region import Box, Region, ball
from mipnet.search import decide, find_adversarial, trees
from mipnet.search.descent import Descent
from mipnet.search.goal import Clause, Stack, beats
from mipnet.search.question import Question, Settings
from mipnet.search.trees import TreeSearch
from tests.search.search_cases import largest_margin, random_network

KINDS = {"boxes": (8, "bisection"), "phases": (0, "splitting")}


def send(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """Halve the boxes of regions with up to so many inputs; all others are left to phases."""
    monkeypatch.setattr(trees, "FEW_INPUTS", few)
    monkeypatch.setattr(trees, "SOME_INPUTS", few)


@pytest.fixture(params=KINDS)
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of the tree that small questions are sent to."""
    few, name = KINDS[request.param]
    send(monkeypatch, few)
    monkeypatch.setattr(trees, "_NEAR", np.inf)
    return name


def search_of(net: Network, region: Region, *clauses: Clause) -> tuple[Question, TreeSearch]:
    """A question nothing but CROWN has looked at."""
    question = Question(net, region, Stack(clauses), Stopwatch(None), Settings())
    bounds = first_bounds(question.goals(), region, "crown")
    assert question.accept(bounds)
    return question, TreeSearch(question, bounds)


def rounds(question: Question, search: TreeSearch, count: int) -> None:
    while count and not question.decided():
        count -= 1
        for bounds in search.round(Stopwatch(20.0)):
            assert question.accept(bounds)
            if question.decided():
                return


@pytest.mark.parametrize("seed", range(15))
def test_agrees_with_enumeration(method: str, seed: int) -> None:
    net = random_network(seed, (3, 5, 4, 3), 1.5)
    centre = np.zeros(3)
    label = int(np.argmax(net(centre)))
    region = Box(centre - 0.7, centre + 0.7)
    for target in set(range(3)) - {label}:
        worst = largest_margin(net, centre, 0.7, "linf", label, target)
        question, search = search_of(net, region, beats(target, [label], 3))
        rounds(question, search, 3)
        assert not question.excluded or worst < 0.0
        assert question.witness is None or worst > 0.0
        assert question.decided() or abs(worst) < 0.02
        if question.witness is not None:
            outputs = net(question.witness.point)
            assert outputs[target] > outputs[label]
            assert region.contains(question.witness.point)
        elif question.results[0].method == method:
            assert worst <= question.results[0].bound + 1e-9


@pytest.mark.parametrize("seed", range(8))
def test_conjunctions_agree_with_enumeration(method: str, seed: int) -> None:
    """A target that has to beat two classes: often neither row is out of reach alone."""
    net = random_network(40 + seed, (3, 4, 3, 3), 1.5)
    centre, region = np.zeros(3), Box(np.full(3, -0.8), np.full(3, 0.8))
    label = int(np.argmin(net(centre)))
    rivals = [k for k in range(3) if k != label]
    question, search = search_of(net, region, beats(label, rivals, 3))
    rounds(question, search, 3)
    points = region.sample(np.random.default_rng(seed), 4000)
    seen = float(question.clauses[0].margin(net(points)).max())
    alone = min(largest_margin(net, centre, 0.8, "linf", rival, label) for rival in rivals)
    if question.excluded:
        assert seen <= question.results[0].bound + 1e-9
    if question.witness is not None:
        assert alone > 0.0
        assert question.clauses[0].margin(net(question.witness.point[None]))[0] > 0.0
    assert question.decided() or abs(seen) < 0.1


def test_rows_that_only_together_are_out_of_reach(method: str) -> None:
    net = Network.sequential([Affine([[1.0], [-1.0]], [0.0, 0.0])])
    both = Clause("both", np.eye(2), np.array([-0.1, -0.1]))
    question, search = search_of(net, Box([-1.0], [1.0]), both)
    assert question.results[0].bound > 0.0
    rounds(question, search, 1)
    assert question.excluded
    assert question.results[0].method == method
    assert question.results[0].bound >= -0.1


def test_several_clauses_share_a_tree(method: str) -> None:
    net = random_network(8, (3, 10, 8, 4), 1.5)
    region = ball(np.zeros(3), 0.25, "linf")
    outputs = net(region.sample(np.random.default_rng(0), 4000))
    reached = outputs.max(axis=0)
    eye = np.eye(4)
    clauses = [
        Clause(f"output {k}", eye[k : k + 1], -reached[k : k + 1] - 0.05 * (k + 1))
        for k in range(4)
    ]
    question, search = search_of(net, region, *clauses)
    rounds(question, search, 4)
    assert question.excluded
    assert method in {r.method for r in question.results}


def test_a_subproblem_limit_excludes_nothing(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    net = random_network(4, (3, 8, 8, 2), 2.0)
    region = ball(np.zeros(3), 1.0, "linf")
    row, centre = np.array([[1.0, 0.0]]), float(net(np.zeros(3))[0])
    question, search = search_of(net, region, Clause("high", row, np.array([-centre - 1e-4])))
    monkeypatch.setattr(trees, "PHASES", 1)
    search._boxes = 2
    question.confirm = lambda *_: False  # type: ignore[method-assign]
    for _ in search.round(Stopwatch(5.0)):
        pass
    assert question.results[0].outcome == "open"
    assert question.results[0].bound > 0.0


@pytest.mark.parametrize("norm", ["l1", "l2", "l0"])
def test_points_are_inside_the_ball(
    monkeypatch: pytest.MonkeyPatch, method: str, norm: str
) -> None:
    """What a tree offers may lie in the box alone; what is taken lies in the ball."""
    region = ball(np.zeros(3), 1 if norm == "l0" else 0.5, norm, -1.0, 1.0)
    taken: list[np.ndarray] = []
    confirm = Question.confirm

    def noted(question: Question, point: np.ndarray, how: str) -> bool:
        found = confirm(question, point, how)
        if question.witness is not None:
            taken.append(question.witness.point)
        return found

    monkeypatch.setattr(Question, "confirm", noted)
    for seed in range(4):
        net = random_network(seed, (3, 8, 2), 2.0)
        points = region.sample(np.random.default_rng(seed), 2000)
        high, centre = float(net(points)[:, 0].max()), float(net(np.zeros(3))[0])
        goal = Clause("high", np.array([[1.0, 0.0]]), np.array([-0.3 * high - 0.7 * centre]))
        question, search = search_of(net, region, goal)
        rounds(question, search, 2)
        assert not question.excluded
    assert len(taken) > 1
    assert all(region.contains(p) for p in taken)


def test_time_ends_a_round(method: str) -> None:
    net = random_network(0, (8, 60, 60, 2), 2.0)
    region = ball(np.zeros(8), 2.0, "linf")
    high = Clause("high", np.array([[1.0, 0.0]]), np.array([-1e3]))
    question, search = search_of(net, region, high)
    watch = Stopwatch(0.3)
    while not watch.expired and not question.decided():
        for bounds in search.round(watch):
            question.accept(bounds)
    assert watch.elapsed < 1.5


# --- minimisation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_minimisation_agrees_with_enumeration(method: str, seed: int, threads: int) -> None:
    net = random_network(seed, (3, 5, 4, 2), 1.5)
    centre = np.full(3, 0.25)
    truth = -largest_margin(net, centre, 0.8, "linf", 1, 0)
    scalar = net.then(Affine(np.array([[-1.0, 1.0]]), np.zeros(1)), "objective")
    region = Box(centre - 0.8, centre + 0.8)
    task = Descent(alpha_bounds(scalar, region), region, threads)
    task._boxes = 64
    before = task.bound
    for _ in range(4):
        task.round(Stopwatch(None), centre, float(scalar(centre)[0]), 1e-4)
        assert before <= task.bound <= truth + 1e-9
        before = task.bound
    assert task.value >= truth - 1e-9
    assert task.value == pytest.approx(float(scalar(task.point)[0]), abs=1e-12)
    assert region.contains(task.point)
    assert task.value - task.bound <= 1e-4 + 1e-9
    assert task.method in {"milp", method}


def test_a_tree_with_nothing_left_says_so(method: str) -> None:
    """Four neurons have sixteen patterns; a gap of nothing may stay open after all of them."""
    net = random_network(1, (3, 4, 1))
    region = Box(np.full(3, -1.0), np.full(3, 1.0))
    task, value = Descent(alpha_bounds(net, region), region, 1), float(net(region.centre)[0])
    for _ in range(4 if method == "splitting" else 1):
        task.round(Stopwatch(10.0), region.centre, value, 0.0)
        if task.exhausted or task.value <= task.bound:
            break
    assert task.bound <= task.value + 1e-12
    assert task.value <= task.bound + 1e-5
    if method == "splitting":
        assert task.exhausted or task.value <= task.bound
        assert task.visited <= 64
    else:
        # Boxes can always be halved once more, unless what they bound is above every value seen.
        assert task.exhausted or task.visited >= 500


def test_value_and_point_stay_together_whatever_the_threads_do() -> None:
    """Offers of two threads at once: the value is always that of the point."""
    net = random_network(3, (3, 6, 1))
    region = Box(np.full(3, -1.0), np.full(3, 1.0))
    task = Descent(alpha_bounds(net, region), region, 2)
    points = region.sample(np.random.default_rng(0), 400)
    values = net(points)[:, 0]

    def offer(i: int) -> None:
        task._offer(points[i], float(values[i]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(offer, range(400)))
    assert task.value == values.min()
    assert task.point.tolist() == points[np.argmin(values)].tolist()


# --- both, behind the public door -----------------------------------------------------------------


def test_both_trees_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "MIP_UNSTABLE", -1)
    monkeypatch.setattr(decide.Decision, "attack", lambda _: None)
    answers = []
    for few in (8, 0):
        send(monkeypatch, few)
        answers.append(
            [
                find_adversarial(random_network(s, (3, 8, 6, 3), 1.5), np.zeros(3), radius=0.3)
                for s in range(10)
            ]
        )
    statuses = [[v.status for v in verdicts] for verdicts in answers]
    assert statuses[0] == statuses[1]
    assert set(statuses[0]) == {"robust", "witness"}
