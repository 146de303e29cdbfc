"""minimal_distortion and certified_radius against enumeration, and their fail-closed behaviour."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mipnet.bounds import Bounds, first_bounds
from mipnet.errors import QueryError, RegionError
from mipnet.network import Affine, Interval, Network, ReLU
from mipnet.region import Region
from mipnet.search import Verdict, find_adversarial, nearest_program, radius_search
from mipnet.search.decide import Decision
from mipnet.search.distortion import certified_radius, minimal_distortion
from mipnet.search.distortion_result import CertifiedRadius, ClassDistance, Distortion
from mipnet.search.nearest import Nearest
from mipnet.search.radius_search import RadiusSearch
from tests.search.distance_cases import NORMS, case, check_point, least_distance
from tests.search.search_cases import random_network


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(9))
def test_agrees_with_enumeration(seed: int, norm: str) -> None:
    net, x = case(seed)
    found = minimal_distortion(net, x, norm=norm, lower=-1.0, upper=1.0)
    truth = least_distance(net, x, norm, found.label, None, -1.0, 1.0)
    if found.status == "none":
        assert truth == np.inf == found.lower == found.upper
        assert found.point is None
        return
    assert found.status == "optimal", found
    assert found.lower <= truth * (1.0 + 1e-9) + 1e-12
    assert found.upper >= truth * (1.0 - 1e-9) - 1e-12
    assert found.gap <= 1e-4
    check_point(found, net, x, -1.0, 1.0)
    assert found.lower == max(0.0, min(c.radius for c in found.classes) + (norm == "l0"))


@pytest.mark.parametrize("norm", ["linf", "l1", "l2"])
@pytest.mark.parametrize("seed", [1, 2, 4])
def test_programs_alone_agree_with_enumeration(
    monkeypatch: pytest.MonkeyPatch, seed: int, norm: str
) -> None:
    monkeypatch.setattr(RadiusSearch, "bisect", lambda *_: None)
    monkeypatch.setattr(RadiusSearch, "grow", lambda *_, **__: None)
    monkeypatch.setattr(Nearest, "search", worst_point)
    monkeypatch.setattr(nearest_program, "MIP_UNSTABLE", 1000)
    net, x = case(seed)
    found = minimal_distortion(net, x, norm=norm, lower=-1.0, upper=1.0, tolerance=1e-3)
    truth = least_distance(net, x, norm, found.label, None, -1.0, 1.0)
    assert found.status == "optimal", found
    assert "mip" in {c.method for c in found.classes}
    assert found.lower <= truth * (1.0 + 1e-9) <= found.upper * (1.0 + 2e-9)
    check_point(found, net, x, -1.0, 1.0)


def worst_point(nearest: Nearest, *_: object) -> None:
    """In place of the attack: some far witness."""
    grid = np.random.default_rng(0).uniform(-1.0, 1.0, (5000, nearest.centre.size))
    margins = nearest.margins(grid).max(axis=1)
    far = np.abs(grid - nearest.centre).max(axis=1) * (margins > 0.0)
    nearest.offer(grid[int(np.argmax(far))])


@pytest.mark.parametrize("norm", NORMS)
def test_decisions_alone_agree_with_enumeration(monkeypatch: pytest.MonkeyPatch, norm: str) -> None:
    from mipnet.search import distortion

    monkeypatch.setattr(distortion, "polish_witness", lambda _: None)
    monkeypatch.setattr(distortion, "close_by_programs", lambda _: None)
    monkeypatch.setattr(Nearest, "search", worst_point)
    net, x = case(4)
    found = minimal_distortion(net, x, norm=norm, lower=-1.0, upper=1.0, tolerance=0.02)
    truth = least_distance(net, x, norm, found.label, None, -1.0, 1.0)
    assert found.lower <= truth * (1.0 + 1e-9) <= found.upper * (1.0 + 2e-9)
    assert found.status == "optimal" or norm == "l2"
    check_point(found, net, x, -1.0, 1.0)


@pytest.mark.parametrize("norm", NORMS)
def test_target_must_beat_every_class(norm: str) -> None:
    """Class 1 passes the label long before it passes class 2, if it ever does."""
    rows = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    net = Network.sequential([Affine(rows, [1.0, 0.0, 0.5])])
    x = np.zeros(2)
    found = minimal_distortion(net, x, target=1, norm=norm, lower=-3.0, upper=3.0)
    truth = least_distance(net, x, norm, 0, 1, -3.0, 3.0)
    any_class = least_distance(net, x, norm, 0, None, -3.0, 3.0)
    assert truth > any_class or norm == "l0"
    assert found.status == "optimal"
    assert found.lower <= truth * (1 + 1e-9) <= found.upper * (1 + 2e-9)
    check_point(found, net, x, -3.0, 3.0)
    never = Network.sequential([Affine([[0.0], [1.0], [2.0]], [0.5, 0.0, 0.1])])
    assert (
        minimal_distortion(never, [0.0], 0, target=1, norm=norm, lower=0, upper=5).status == "none"
    )


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l1", np.inf), ("l2", 2)])
@pytest.mark.parametrize("domain", [None, 8.0])
def test_linear_classifier_in_closed_form(norm: str, dual: float, domain: float | None) -> None:
    rng = np.random.default_rng(5)
    net = Network.sequential([Affine(rng.normal(size=(4, 30)), 3.0 * rng.normal(size=4))])
    x = rng.normal(size=30)
    sides = {} if domain is None else {"lower": -domain, "upper": domain}
    found = minimal_distortion(net, x, norm=norm, **sides)  # type: ignore[arg-type]
    weight, y = net.nodes[0].layer.parameters[0], net(x)
    others = [k for k in range(4) if k != found.label]
    truth = min(
        (y[found.label] - y[k]) / np.linalg.norm(weight[found.label] - weight[k], dual)
        for k in others
    )
    assert found.status == "optimal"
    assert found.lower <= truth * (1 + 1e-9) <= found.upper * (1 + 2e-9)


@pytest.mark.parametrize("norm", ["linf", "l1", "l2"])
def test_the_finest_tolerance_ends(norm: str) -> None:
    net, x = case(1)
    found = minimal_distortion(net, x, norm=norm, lower=-1, upper=1, tolerance=1e-6)
    truth = least_distance(net, x, norm, found.label, None, -1.0, 1.0)
    assert found.lower <= truth * (1 + 1e-9) <= found.upper * (1 + 2e-9)
    assert found.gap < 1e-4
    assert found.status == "optimal" or found.reason


def test_misclassified_centre_is_its_own_witness() -> None:
    net, x = case(1)
    wrong = int(np.argmin(net(x)))
    found = minimal_distortion(net, x, wrong, norm="l1")
    assert (found.status, found.lower, found.upper, found.rounds) == ("optimal", 0.0, 0.0, 0)
    assert found.point is not None
    assert found.point.tolist() == x.tolist()
    assert found.robust_radius == -np.inf
    right = int(np.argmax(net(x)))
    assert minimal_distortion(net, x, wrong, target=right).upper == 0.0


@pytest.mark.parametrize("norm", NORMS)
def test_no_adversarial_point_in_the_domain(norm: str) -> None:
    net = random_network(1, (3, 4, 3))
    x = np.array([0.1, 0.2, 0.3])
    found = minimal_distortion(net, x, norm=norm, lower=x - 1e-3, upper=x + 1e-3)
    assert (found.status, found.lower, found.upper) == ("none", np.inf, np.inf)
    assert (found.point, found.reason, found.gap) == (None, "", np.inf)
    single = minimal_distortion(net, x, norm=norm, lower=x, upper=x)
    assert single.status == "none"


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_within_the_largest_radius(norm: str) -> None:
    net, x = case(4)
    truth = least_distance(net, x, norm, int(np.argmax(net(x))), None, -1.0, 1.0)
    most = truth - 1 if norm == "l0" else 0.95 * truth
    near = minimal_distortion(net, x, norm=norm, max_radius=most, lower=-1, upper=1)
    assert near.status == "none"
    assert near.robust_radius == most
    assert near.lower == most + (norm == "l0")
    most = truth if norm == "l0" else 1.05 * truth
    far = minimal_distortion(net, x, norm=norm, max_radius=most, lower=-1, upper=1)
    assert far.status == "optimal"
    assert far.upper <= most


def test_constant_network_over_an_open_domain() -> None:
    net = Network.sequential([Affine(np.zeros((2, 3)), [1.0, 0.0])])
    found = minimal_distortion(net, np.zeros(3))
    assert found.status == "unresolved"
    assert "max_radius" in found.reason
    assert found.lower >= 2.0**20
    assert minimal_distortion(net, np.zeros(3), max_radius=5.0).status == "none"
    assert minimal_distortion(net, np.zeros(3), 1).upper == 0.0


def test_tie_at_the_centre_is_no_distance() -> None:
    net = Network.sequential([Affine([[1.0], [-1.0]], [0.0, 0.0])])
    found = minimal_distortion(net, [0.0], 0)
    assert found.lower == 0.0
    assert 0.0 < found.upper < 1e-8
    assert found.robust_radius == -np.inf


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_plateau_of_ties_stays_open(norm: str) -> None:
    """Outputs are equal up to 1; only beyond is class 1 larger."""
    net = Network.sequential([Affine([[1.0]], [-1.0]), ReLU(), Affine([[0.0], [1.0]], [0.0, 0.0])])
    found = minimal_distortion(net, [0.0], 0, norm=norm, lower=-4, upper=4)
    assert found.status == "bounded"
    assert found.lower == 0.0
    assert 1.0 < found.upper < 1.001
    assert found.reason


def test_float32_model_is_replayed_in_float32() -> None:
    net, _ = case(1)
    layers = {
        n.name: Affine(n.layer.weight.astype(np.float32), n.layer.bias.astype(np.float32))
        for n in net.nodes
        if isinstance(n.layer, Affine)
    }
    net = replace(net.with_layers(layers), dtype="float32")
    x = np.array([0.1, -0.3, 0.7, 0.2])
    for norm in NORMS:
        found = minimal_distortion(net, x, norm=norm, lower=-1, upper=1)
        truth = least_distance(net, x, norm, found.label, None, -1.0, 1.0)
        assert found.status == "optimal"
        assert found.lower <= truth * (1 + 1e-9) <= found.upper * (1 + 2e-9)
        check_point(found, net, x, -1.0, 1.0)
        assert found.point is not None
        moved = found.point != x
        assert np.array_equal(found.point[moved].astype(np.float32), found.point[moved])


@pytest.mark.parametrize("norm", NORMS)
def test_no_time_is_no_answer(norm: str) -> None:
    net, x = case(1)
    found = minimal_distortion(net, x, norm=norm, lower=-1, upper=1, time_limit=0.0)
    assert found.status == "unresolved"
    assert (found.lower, found.upper) == (0.0, np.inf)
    assert "time limit" in found.reason


def test_time_that_ends_after_the_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = case(1)
    monkeypatch.setattr(RadiusSearch, "hurried", lambda *_: True)
    monkeypatch.setattr(RadiusSearch, "ask", lambda *_: "open")
    monkeypatch.setattr("mipnet.search.distortion.close_by_programs", lambda _: None)
    found = minimal_distortion(net, x, lower=-1, upper=1)
    assert found.status == "bounded"
    assert found.reason
    assert found.lower <= least_distance(net, x, "linf", found.label, None, -1, 1) <= found.upper


@pytest.mark.parametrize("where", ["attack", "bounds", "decision", "inside", "program"])
def test_interrupt_returns_what_is_known(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(nearest_program, "MIP_UNSTABLE", 1000)
    if where == "program":
        monkeypatch.setattr(RadiusSearch, "bisect", lambda *_: None)
    places = {
        "attack": (Nearest, "attack"),
        "bounds": (radius_search, "first_bounds"),
        "decision": (Decision, "run"),
        "inside": (Decision, "_run"),
        "program": (nearest_program, "solve"),
    }
    monkeypatch.setattr(*places[where], interrupted)
    net, x = case(4)
    found = minimal_distortion(net, x, lower=-1, upper=1)
    assert found.reason == "interrupted"
    assert found.status == ("unresolved" if where == "attack" else "bounded")
    truth = least_distance(net, x, "linf", found.label, None, -1, 1)
    assert found.lower <= truth <= found.upper


def test_wrong_bounds_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that deny the witness are seen to be wrong."""

    def wrong(network: Network, region: Region, method: str, **_: object) -> Bounds:
        sound = first_bounds(network, region, method)
        low = np.full_like(sound.output.lower, -2.0)
        return replace(sound, intervals={**sound.intervals, network.output: Interval(low, low + 1)})

    monkeypatch.setattr(radius_search, "first_bounds", wrong)
    monkeypatch.setattr(RadiusSearch, "bisect", lambda *_: None)
    net, x = case(1)
    found = minimal_distortion(net, x, lower=-1, upper=1)
    assert found.status == "bounded"
    assert "contradicted" in found.reason
    assert found.lower <= least_distance(net, x, "linf", found.label, None, -1, 1)


def test_proof_beyond_a_witness_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    def overdone(search: RadiusSearch, *_: object, **__: object) -> None:
        search.floors = [ClassDistance(f.name, 1.5, "crown") for f in search.floors]

    monkeypatch.setattr(RadiusSearch, "grow", overdone)
    net, x = case(1)
    found = minimal_distortion(net, x, lower=-1, upper=1)
    assert (found.status, found.lower, found.robust_radius) == ("bounded", 0.0, -np.inf)
    assert "contradicts" in found.reason
    radius = certified_radius(net, x, method="exact", lower=-1, upper=1)
    assert (float(radius), radius.status) == (-np.inf, "incomplete")


def test_classes_far_away_are_settled_by_bounds_alone() -> None:
    net = Network.sequential([Affine([[0.0], [1.0], [0.0]], [1.0, 0.0, -100.0])])
    found = minimal_distortion(net, [0.0], lower=-5, upper=5)
    assert {c.name: c.method for c in found.classes}["class 2"] == "crown"
    assert found.rounds <= 1


@pytest.mark.parametrize(
    ("keywords", "error", "named"),
    [
        ({"label": 3}, QueryError, "label 3"),
        ({"label": 0.5}, QueryError, "integer"),
        ({"target": 7}, QueryError, "target 7"),
        ({"label": 0, "target": 0}, QueryError, "label itself"),
        ({"norm": "l7"}, QueryError, "l7"),
        ({"norm": "l0"}, RegionError, "domain"),
        ({"tolerance": 0.0}, QueryError, "tolerance"),
        ({"tolerance": -1e-3}, QueryError, "tolerance"),
        ({"tolerance": 1.0}, QueryError, "tolerance"),
        ({"tolerance": math.nan}, QueryError, "tolerance"),
        ({"max_radius": math.inf}, QueryError, "max_radius"),
        ({"max_radius": -1.0}, QueryError, "max_radius"),
        ({"time_limit": math.nan}, QueryError, "time_limit"),
        ({"time_limit": -1.0}, QueryError, "time_limit"),
        ({"lower": 0.5, "upper": 1.0}, RegionError, "outside"),
        ({"lower": [0.0, 0.0], "upper": 1.0}, RegionError, "2 values"),
        ({"lower": -1.0, "upper": math.inf}, RegionError, "finite"),
    ],
)
def test_bad_questions(keywords: dict[str, object], error: type[Exception], named: str) -> None:
    net = random_network(0, (3, 4, 3))
    with pytest.raises(error, match=named):
        minimal_distortion(net, np.zeros(3), **keywords)  # type: ignore[arg-type]
    with pytest.raises(error, match=named):
        certified_radius(net, np.zeros(3), **keywords)  # type: ignore[arg-type]


def test_unknown_method_one_output_and_nan_are_refused() -> None:
    net = random_network(0, (3, 4, 3))
    with pytest.raises(QueryError, match="guess"):
        certified_radius(net, np.zeros(3), method="guess")  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="one output"):
        minimal_distortion(random_network(0, (3, 4, 1)), np.zeros(3))
    with pytest.raises(RegionError, match="NaN"):
        minimal_distortion(net, [0.0, np.nan, 0.0], 0)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 99}', '{"format": 1}', "[" * 99999])
def test_no_result_is_refused(text: str) -> None:
    for kind in (Distortion, CertifiedRadius):
        with pytest.raises(QueryError):
            kind.from_json(text)


def test_json_round_trips() -> None:
    net, x = case(1)
    for found in (
        minimal_distortion(net, x, norm="l1", lower=-1, upper=1),
        minimal_distortion(net, x, lower=x - 1e-4, upper=x + 1e-4),
    ):
        text = found.to_json()
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        twin = Distortion.from_json(text)
        assert twin == found
        assert twin.clocks == found.clocks
        if found.point is not None:
            assert twin.point is not None
            assert twin.point.tobytes() == found.point.tobytes()
        assert found.status in str(found)
    radius = certified_radius(net, x, int(np.argmin(net(x))))
    assert CertifiedRadius.from_json(radius.to_json()) == radius
    assert "-inf" in str(radius)


def test_clauses_of_the_verdict_and_of_the_distortion_agree() -> None:
    net, x = case(1)
    found = minimal_distortion(net, x, lower=-1, upper=1)
    verdict = find_adversarial(net, x, radius=1.01 * found.upper, lower=-1, upper=1)
    assert isinstance(verdict, Verdict)
    assert verdict.status == "witness"
    assert [c.name for c in verdict.clauses] == [c.name for c in found.classes]
