"""Bisection of the inputs."""

from __future__ import annotations

import numpy as np
import pytest

from mipnet.clocks import Stopwatch
from mipnet.network import Affine
from mipnet.region import Box, ball
from mipnet.search import leaves
from mipnet.search.bisection import BoxTree, exclude_by_bisection
from mipnet.search.goal import Clause, Stack, beats
from tests.search.search_cases import largest_margin, random_network


@pytest.mark.parametrize("seed", range(15))
def test_agrees_with_enumeration(seed: int) -> None:
    net = random_network(seed, (3, 5, 4, 3), 1.5)
    centre = np.zeros(3)
    label = int(np.argmax(net(centre)))
    hits: list[np.ndarray] = []
    for target in set(range(3)) - {label}:
        worst = largest_margin(net, centre, 0.7, "linf", label, target)
        excluded, _ = exclude_by_bisection(
            net,
            Box(centre - 0.7, centre + 0.7),
            Stack((beats(target, [label], 3),)),
            Stopwatch(20.0),
            boxes=10_000,
            hit=lambda point: hits.append(point) or True,
            leaf=lambda *_: "open",
        )
        assert not excluded or worst < 0.0
        assert excluded or worst > -0.02
        assert all(net(h)[target] >= net(h)[label] for h in hits)
        hits.clear()


def test_leaves_cover_the_region() -> None:
    net = random_network(2, (2, 6, 1))
    tree = BoxTree(net, Box([-1.0, -1.0], [1.0, 1.0]))
    for _ in range(6):
        tree.step(tree.bounds[:, 0], lambda bounds: np.zeros(len(bounds), dtype=bool))
    points = np.random.default_rng(0).uniform(-1.0, 1.0, size=(500, 2))
    inside = (tree.lower[:, None] <= points) & (points <= tree.upper[:, None])
    assert inside.all(axis=2).any(axis=0).all()
    owner = np.argmax(inside.all(axis=2), axis=0)
    assert np.all(net(points)[:, 0] >= tree.bounds[owner, 0])


def test_a_box_limit_excludes_nothing() -> None:
    net = random_network(4, (3, 8, 8, 2), 2.0)
    region = ball(np.zeros(3), 1.0, "linf")
    far = Clause("far", np.array([[1.0, 0.0]]), np.array([-50.0]))
    near = Clause("near", np.array([[1.0, 0.0]]), np.array([-float(net(np.zeros(3))[0])]))
    for clause, expected in ((far, True), (near, False)):
        excluded, _ = exclude_by_bisection(
            net,
            region,
            Stack((clause,)),
            Stopwatch(5.0),
            boxes=200,
            hit=lambda _: False,
            leaf=lambda *_: "open",
        )
        assert excluded == expected


def test_points_are_inside_an_l1_ball() -> None:
    net = random_network(4, (3, 8, 2), 2.0)
    region = ball(np.zeros(3), 0.5, "l1")
    tree = BoxTree(net.then(Affine(np.eye(2), np.zeros(2)), "copy"), region)
    for _ in range(4):
        points = tree.step(tree.bounds[:, 0], lambda bounds: np.zeros(len(bounds), dtype=bool))
        assert all(region.contains(p) for p in points)


@pytest.mark.parametrize("leaf", [0, 4, 100])
@pytest.mark.parametrize("seed", range(8))
def test_minimisation_agrees_with_enumeration(
    monkeypatch: pytest.MonkeyPatch, seed: int, leaf: int
) -> None:
    monkeypatch.setattr(leaves, "LEAF_UNSTABLE", leaf)
    net = random_network(seed, (3, 5, 4, 2), 1.5)
    centre = np.full(3, 0.25)
    truth = -largest_margin(net, centre, 0.8, "linf", 1, 0)
    scalar = net.then(Affine(np.array([[-1.0, 1.0]]), np.zeros(1)), "objective")
    region = Box(centre - 0.8, centre + 0.8)
    value = float(scalar(centre)[0])
    task = leaves.Minimisation(scalar, region, 1e-4, 0, centre, value)
    bounds = [task.run(Stopwatch(None), boxes) for boxes in (64, 3000)]
    assert bounds[0] <= truth + 1e-9
    assert bounds[1] <= truth + 1e-9
    assert task.value >= truth - 1e-9
    assert task.value == pytest.approx(float(scalar(task.point)[0]))
    assert region.contains(task.point)
    assert task.value - bounds[1] <= 1e-4 + 1e-9 or leaf == 0
