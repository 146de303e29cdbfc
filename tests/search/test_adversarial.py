"""find_adversarial against enumeration, exact witness checks, and fail-closed behaviour."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from mipnet.bounds import METHODS, Bounds, compute_bounds
from mipnet.errors import QueryError, RegionError
from mipnet.network import Affine, Interval, Network, ReLU
from mipnet.region import Region
from mipnet.search import Verdict, clause_mip, decide, find_adversarial, trees
from mipnet.solver import Solution, Status
from tests.search.search_cases import largest_margin, random_network


def exact_distance(x: np.ndarray, centre: np.ndarray, norm: str) -> Fraction:
    steps = [abs(Fraction(float(a)) - Fraction(float(b))) for a, b in zip(x, centre, strict=True)]
    return max(steps) if norm == "linf" else sum(steps, Fraction(0))


#: Bounding method that leaves the rest to each engine, and what the engine calls itself.
ENGINES = {"boxes": ("milp", "bisection"), "phases": ("milp", "splitting"), "mip": ("alpha", "mip")}


def leave_to(monkeypatch: pytest.MonkeyPatch, engine: str) -> str:
    """Send all questions to one engine; the bounding method to ask for."""
    monkeypatch.setattr(decide, "MIP_UNSTABLE", -1)
    if engine == "phases":
        for name in ("FEW_INPUTS", "SOME_INPUTS"):
            monkeypatch.setattr(trees, name, 0)
        monkeypatch.setattr(trees, "SOME_INPUTS", 0)
        monkeypatch.setattr(trees, "_NEAR", np.inf)
    return ENGINES[engine][0]


@pytest.mark.parametrize("norm", ["linf", "l1"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(20))
def test_verdict_agrees_with_enumeration(
    monkeypatch: pytest.MonkeyPatch, seed: int, engine: str, norm: str
) -> None:
    bounds = leave_to(monkeypatch, engine)
    net = random_network(seed, (3, 4, 3, 3) if seed % 2 else (4, 5, 3), scale=1.5)
    rng = np.random.default_rng(100 + seed)
    x = rng.uniform(-1.0, 1.0, net.n_inputs)
    radius = float(rng.uniform(0.05, 1.5))
    label = int(np.argmax(net(x)))
    verdict = find_adversarial(
        net, x, label, norm=norm, radius=radius, lower=-1.0, upper=1.0, bounds=bounds
    )
    margins = {
        t: largest_margin(net, x, radius, norm, label, t, -1.0, 1.0)
        for t in range(net.n_outputs)
        if t != label
    }
    worst = max(margins.values())
    if verdict.status == "robust":
        assert worst < 0.0
        assert all(c.bound >= margins[int(c.name.split()[1])] - 1e-7 for c in verdict.clauses)
    elif verdict.status == "witness":
        assert worst > 0.0
        assert verdict.point is not None
        assert int(np.argmax(net(verdict.point))) == verdict.predicted != label
        assert exact_distance(verdict.point, x, norm) <= Fraction(radius)
        assert verdict.point.min() >= -1.0
        assert verdict.point.max() <= 1.0
    else:
        assert abs(worst) < 1e-5, verdict


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_finds_witnesses_and_proofs(
    monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    bounds = leave_to(monkeypatch, engine)
    monkeypatch.setattr(decide.Decision, "attack", lambda _: None)
    found = set()
    for seed in range(8):
        net = random_network(seed, (4, 7, 6, 3), 1.5)
        verdict = find_adversarial(net, np.zeros(4), radius=0.45, bounds=bounds)
        found |= {(c.method, c.outcome) for c in verdict.clauses}
    name = ENGINES[engine][1]
    assert found >= {(name, "excluded"), (name, "witness")}
    others = {engine[1] for engine in ENGINES.values()} - {name}
    assert not others & {method for method, _ in found}


def test_both_statuses_occur() -> None:
    statuses = {
        find_adversarial(
            random_network(s, (4, 5, 3), 1.5), np.zeros(4), radius=0.4, lower=-1, upper=1
        ).status
        for s in range(12)
    }
    assert {"robust", "witness"} <= statuses


@pytest.mark.parametrize("bounds", METHODS)
def test_target_only(bounds: str) -> None:
    net = random_network(3, (4, 5, 3), 1.5)
    x = np.zeros(4)
    label = int(np.argmax(net(x)))
    for target in set(range(3)) - {label}:
        verdict = find_adversarial(net, x, radius=0.8, target=target, bounds=bounds)
        assert [c.name for c in verdict.clauses] == [f"class {target}"]
        pairwise = largest_margin(net, x, 0.8, "linf", label, target)
        if verdict.status == "witness":
            assert verdict.point is not None
            assert int(np.argmax(net(verdict.point))) == target == verdict.predicted
        else:
            assert verdict.status == "robust"
        if pairwise < 0.0:
            assert verdict.status == "robust"


def test_target_must_beat_every_class() -> None:
    """Class 1 passes the label only where class 2 is larger still."""
    net = Network.sequential([Affine([[0.0], [1.0], [2.0]], [0.5, 0.0, 0.1])])
    assert find_adversarial(net, [0.0], 0, radius=1.0, target=1).status == "robust"
    assert find_adversarial(net, [0.0], 0, radius=1.0, target=2).status == "witness"
    hidden = random_network(9, (3, 8, 8, 3), 1.5)
    x = np.zeros(3)
    label = int(np.argmax(hidden(x)))
    grid = np.random.default_rng(0).uniform(-2.0, 2.0, size=(20000, 3))
    seen = set(np.argmax(hidden(grid), axis=1).tolist())
    for target in set(range(3)) - {label}:
        verdict = find_adversarial(hidden, x, radius=2.0, target=target)
        assert verdict.status != "robust" or target not in seen
        assert verdict.status != "unresolved"


def test_misclassified_centre_is_a_witness_at_radius_zero() -> None:
    net = random_network(1, (3, 4, 3))
    x = np.array([0.1, 0.2, 0.3])
    wrong = int(np.argmin(net(x)))
    verdict = find_adversarial(net, x, wrong, radius=0.0)
    assert verdict.status == "witness"
    assert verdict.point is not None
    assert verdict.point.tolist() == x.tolist()


def test_right_centre_is_robust_at_radius_zero() -> None:
    net = random_network(1, (3, 4, 3))
    assert find_adversarial(net, [0.1, 0.2, 0.3], radius=0.0).status == "robust"


def test_exact_tie_is_neither() -> None:
    net = Network.sequential([Affine([[1.0], [1.0]], [0.0, 0.0])])
    verdict = find_adversarial(net, [0.5], 0, radius=0.1)
    assert verdict.status == "unresolved"
    assert verdict.reason


def test_constant_network_is_decided() -> None:
    net = Network.sequential([Affine(np.zeros((2, 3)), [1.0, 0.0])])
    assert find_adversarial(net, np.zeros(3), 0, radius=5.0).status == "robust"
    assert find_adversarial(net, np.zeros(3), 1, radius=5.0).status == "witness"


def test_float32_model_is_replayed_in_float32() -> None:
    net = replace(random_network(5, (4, 5, 3), 1.5), dtype="float32")
    net = net.with_layers(
        {
            n.name: Affine(n.layer.weight.astype(np.float32), n.layer.bias.astype(np.float32))
            for n in net.nodes
            if isinstance(n.layer, Affine)
        }
    )
    centre = np.array([0.1, -0.3, 0.7, 0.2])
    verdict = find_adversarial(net, centre, radius=1.0, norm="l1")
    assert verdict.status == "witness"
    assert verdict.point is not None
    own = net.replay(verdict.point, "float32")
    assert int(np.argmax(own)) != verdict.label
    assert verdict.margin_own == pytest.approx(
        float(max(own[k] - own[verdict.label] for k in range(3) if k != verdict.label))
    )
    assert exact_distance(verdict.point, centre, "l1") <= 1


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"label": 3}, QueryError),
        ({"label": -1}, QueryError),
        ({"label": 0.5}, QueryError),
        ({"target": 7}, QueryError),
        ({"label": 0, "target": 0}, QueryError),
        ({"radius": -0.1}, RegionError),
        ({"radius": float("nan")}, RegionError),
        ({"norm": "l7"}, RegionError),
        ({"lower": 0.5, "upper": 1.0}, RegionError),
        ({"lower": [0.0, 0.0], "upper": 1.0}, RegionError),
    ],
)
def test_bad_questions(keywords: dict[str, object], error: type[Exception]) -> None:
    net = random_network(0, (3, 4, 3))
    with pytest.raises(error):
        find_adversarial(net, np.zeros(3), **{"radius": 0.1, **keywords})  # type: ignore[arg-type]


def test_one_output_is_refused() -> None:
    with pytest.raises(QueryError, match="one output"):
        find_adversarial(random_network(0, (3, 4, 1)), np.zeros(3), radius=0.1)


def test_nan_centre_is_refused() -> None:
    with pytest.raises(RegionError, match="NaN"):
        find_adversarial(random_network(0, (3, 4, 2)), [0.0, np.nan, 0.0], 0, radius=0.1)


def hard_case() -> tuple[Network, np.ndarray, float]:
    """A question that attack and bounds leave to the MIP, and whose answer is robust."""
    for seed in range(200):
        net = random_network(seed, (10, 8, 8, 3), 1.5)
        verdict = find_adversarial(net, np.zeros(10), radius=0.3, bounds="alpha")
        if verdict.status == "robust" and any(c.method == "mip" for c in verdict.clauses):
            return net, np.zeros(10), 0.3
    pytest.fail("no such case among the seeds")


def test_injected_wrong_bound_is_unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, radius = hard_case()

    def wrong(network: Network, region: Region, method: str, **_: object) -> Bounds:
        sound = compute_bounds(network, region, method)
        intervals = dict(sound.intervals)
        name = network.nodes[0].name
        box = intervals[name]
        intervals[name] = Interval(box.upper - 1e-3, box.upper)
        return replace(sound, intervals=intervals)

    monkeypatch.setattr(decide, "first_bounds", wrong)
    verdict = find_adversarial(net, x, radius=radius)
    assert verdict.status == "unresolved"
    assert "contradicted" in verdict.reason


@pytest.mark.parametrize(
    "status",
    [Status.TIME_LIMIT, Status.ERROR, Status.INTERRUPTED, Status.NODE_LIMIT, Status.MEMORY_LIMIT],
)
def test_solver_that_ends_early_is_unresolved(
    monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    net, x, radius = hard_case()

    def early(*_: object, **__: object) -> Solution:
        return Solution(status, None, -np.inf, None, 0, 0.0, "x", "prove", "")

    monkeypatch.setattr(clause_mip, "solve", early)
    verdict = find_adversarial(net, x, radius=radius, bounds="alpha")
    assert verdict.status == "unresolved"
    assert status.value in verdict.reason


def test_solver_that_claims_too_much_is_unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The solver calls everything excluded although the attack was switched off on a bad case."""
    net = random_network(4, (10, 8, 8, 3), 1.5)
    x, radius = np.zeros(10), 1.0
    assert find_adversarial(net, x, radius=radius).status == "witness"

    def excludes(*_: object, limits: object, **__: object) -> Solution:
        cutoff = limits.cutoff  # type: ignore[attr-defined]
        return Solution(Status.CUTOFF, None, cutoff, None, 0, 0.0, "x", "prove", "")

    monkeypatch.setattr(clause_mip, "solve", excludes)
    monkeypatch.setattr(decide.Decision, "confirm", lambda *_: None)
    verdict = find_adversarial(net, x, radius=radius, bounds="alpha")
    assert verdict.status == "unresolved"
    assert "point that exists" in verdict.reason


PLACES = {
    "solver": ("alpha", 1, "mipnet.search.clause_mip.solve"),
    "tightening": ("milp", 1, "mipnet.bounds.milp.ranges"),
    "one thread": ("milp", 1, "mipnet.bounds.splitting.choose"),
    "two threads": ("milp", 2, "mipnet.bounds.splitting.choose"),
}


@pytest.mark.parametrize("place", PLACES)
def test_interrupt_returns_what_is_known(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    net, x, radius = hard_case()
    bounds, threads, name = PLACES[place]

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(name, interrupted)
    # Halved boxes would answer before any of these places is reached.
    monkeypatch.setattr(trees, "FEW_INPUTS", 0)
    monkeypatch.setattr(trees, "SOME_INPUTS", 0)
    verdict = find_adversarial(net, x, radius=radius, bounds=bounds, threads=threads)
    assert verdict.status == "unresolved"
    assert verdict.reason == "interrupted"
    # What alpha bounds prove is known by then.
    known = find_adversarial(net, x, radius=radius, bounds=bounds, time_limit=0.0)
    assert verdict.bound < np.inf == known.bound


def test_json_round_trip() -> None:
    net, x, radius = hard_case()
    for r in (radius, 2.0):
        verdict = find_adversarial(net, x, radius=r)
        twin = Verdict.from_json(verdict.to_json())
        assert twin == verdict
        if verdict.point is not None:
            assert twin.point is not None
            assert twin.point.tolist() == verdict.point.tolist()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 99}', '{"format": 1}'])
def test_no_verdict_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        Verdict.from_json(text)


def test_refused_big_m_is_unresolved_and_names_the_neuron() -> None:
    net = Network.sequential(
        [Affine([[1e12], [-1e12]], [0.0, 0.0]), ReLU(), Affine([[1.0, 1.0], [2.0, 2.0]], [0, 1.0])]
    )
    verdict = find_adversarial(net, [0.0], 1, radius=1.0, bounds="interval")
    assert verdict.status == "unresolved"
    assert "'relu0', neuron 0" in verdict.reason
    assert "big-M" in verdict.reason
    assert find_adversarial(net, [0.0], 1, radius=1.0).status == "robust"


def test_delicate_proofs_get_a_second_opinion(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof over rows whose entries had to be moved counts only when two solves agree."""
    net, x, radius = hard_case()
    asked: list[object] = []

    def delicate(arrays: object, **keywords: object) -> Solution:
        asked.append(keywords.get("profile"))
        if keywords.get("profile") is None:
            return Solution(
                Status.CUTOFF, None, 1e-6, None, 0, 0.0, "x", "prove", "", delicate=True
            )
        return Solution(Status.TIME_LIMIT, None, -np.inf, None, 0, 0.0, "x", "prove", "")

    monkeypatch.setattr(clause_mip, "solve", delicate)
    verdict = find_adversarial(net, x, radius=radius, bounds="alpha")
    assert verdict.status == "unresolved"
    assert any(profile is not None for profile in asked)
