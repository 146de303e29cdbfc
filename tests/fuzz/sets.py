"""Input sets of the fuzz: as regions of the library, as exact polygons, and as exact predicates."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from mipnet.region import Box, Constrained, Region, ball
from tests.fuzz import exact

Array = np.ndarray
BALLS = ("linf", "l1", "l2", "l0")
KINDS, SHARES = ("box", *BALLS, "constrained"), (0.17, 0.25, 0.2, 0.15, 0.15, 0.08)

#: Directions for polygons inside and around a disc, four times as many.
_DIRECTIONS = exact.directions(12)


@dataclass(frozen=True, eq=False)
class InputSet:
    """A box, or a ball within one, perhaps with linear constraints."""

    kind: str
    lower: Array
    upper: Array
    centre: Array
    radius: float
    rows: Array = field(default_factory=lambda: np.zeros((0, 2)))
    sides: Array = field(default_factory=lambda: np.zeros(0))
    group: int = 1

    def sums(self, values: Array) -> list[Fraction]:
        """Exact sums of the two groups of inputs."""
        exactly = [Fraction(v) for v in values.tolist()]
        return [sum(part, Fraction(0)) for part in (exactly[: self.group], exactly[self.group :])]

    @property
    def norm(self) -> str:
        """Of the ball; empty for a box."""
        return self.kind if self.kind in BALLS else ""

    def region(self) -> Region:
        """As the library has it."""
        if self.kind == "box":
            return Box(self.lower, self.upper)
        if self.norm:
            return ball(self.centre, self.radius, self.norm, self.lower, self.upper)
        base = Box(self.lower, self.upper)
        return Constrained(base, self.rows, upper=self.sides)

    def question(self) -> dict[str, Any]:
        """Keywords of find_adversarial."""
        if not self.norm:
            return {"region": self.region()}
        domain = {"lower": self.lower, "upper": self.upper}
        return {"norm": self.norm, "radius": self.radius, **domain}

    def polygons(self, radius: float | None = None) -> tuple[list[Any], list[Any]]:
        """Two unions of polygons: inside the set and around it; the same but for l2."""
        r = Fraction(self.radius if radius is None else radius)
        low, c, high = (self.sums(side) for side in (self.lower, self.centre, self.upper))
        if self.kind == "linf":
            steps = [Fraction(v) for v in self.centre.tolist()]
            ends = (
                [max(Fraction(a), m - r) for a, m in zip(self.lower.tolist(), steps, strict=True)],
                [min(Fraction(b), m + r) for b, m in zip(self.upper.tolist(), steps, strict=True)],
            )
            low, high = ([sum(e[: self.group]), sum(e[self.group :])] for e in ends)
        whole = exact.box(low, high)
        if self.kind == "l0":
            arms = [
                exact.box(
                    *([side[i] if i == k else c[i] for i in range(2)] for side in (low, high))
                )
                for k in range(2)
            ]
            found = [[exact.vertex(*c)], arms, [whole]][min(int(r), 2)]
            found = [found] if r == 0 else found
            return found, found
        if self.kind == "l1":
            for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                whole = exact.clip(whole, exact.line(-a, -b, r + a * c[0] + b * c[1]))
        for (a, b), side in zip(self.rows.tolist(), self.sides.tolist(), strict=True):
            whole = exact.clip(whole, exact.line(-Fraction(a), -Fraction(b), side))
        if self.kind != "l2":
            return [whole], [whole]
        inner = [exact.vertex(c[0] + r * a, c[1] + r * b) for a, b in _DIRECTIONS]
        inner = list(dict.fromkeys(inner))
        for a, b in _DIRECTIONS:
            whole = exact.clip(whole, exact.line(-a, -b, r + a * c[0] + b * c[1]))
        for k in range(2):
            unit = (1, 0) if k == 0 else (0, 1)
            inner = exact.clip(inner, exact.line(*unit, -low[k]))
            inner = exact.clip(inner, exact.line(-unit[0], -unit[1], high[k]))
        return [inner or [exact.vertex(*c)]], [whole]

    def holds(self, point: Array, radius: float | None = None) -> bool:
        """Membership in rational arithmetic, without tolerance."""
        r = Fraction(self.radius if radius is None else radius)
        x = [Fraction(v) for v in point.tolist()]
        steps = [abs(a - Fraction(b)) for a, b in zip(x, self.centre.tolist(), strict=True)]
        boxed = all(
            Fraction(a) <= v <= Fraction(b)
            for a, v, b in zip(self.lower.tolist(), x, self.upper.tolist(), strict=True)
        )
        within = {
            "linf": max(steps) <= r,
            "l1": sum(steps) <= r,
            "l2": sum(s * s for s in steps) <= r * r,
            "l0": sum(s != 0 for s in steps) <= r,
        }
        rows = all(
            sum(Fraction(a) * v for a, v in zip(row, x, strict=True)) <= Fraction(side)
            for row, side in zip(self.rows.tolist(), self.sides.tolist(), strict=True)
        )
        return boxed and rows and within.get(self.kind, True)


def make(rng: np.random.Generator, kind: str, group: int = 1) -> InputSet:
    """A random set of a kind, nasty in some way more often than not."""
    n = 2 * group
    if group > 1 and kind not in {"box", "linf", "l1"}:
        kind = "linf"
    centre, half = rng.normal(size=n) / group, rng.uniform(0.1, 2.0, size=n) / group
    shape = rng.integers(8)
    if shape == 0:
        centre, half = np.round(4.0 * centre) / 4.0, np.round(4.0 * half + 0.5) / 4.0
    elif shape == 1:
        centre = centre + rng.choice([-1.0, 1.0], size=n) * 10.0 ** rng.uniform(1, 4)
    lower, upper = centre - half, centre + half
    if shape == 2 and kind != "constrained":
        upper = np.where(rng.random(n) < 0.5, lower, upper)
    elif shape == 3:
        # At the edge where inputs are clipped.
        centre = np.where(rng.random(n) < 0.7, lower, centre)
    centre = np.clip(centre, lower, upper)
    radius = [0.0, 1e-9, 1e-3, 0.25, 0.5, rng.uniform(0.05, 1.0), rng.uniform(0.05, 1.5), 10.0][
        rng.integers(8)
    ]
    if kind == "l0":
        radius = float(rng.integers(0, 4))
    rows, sides = np.zeros((0, n)), np.zeros(0)
    if kind == "constrained":
        rows = np.round(
            2.0 * rng.normal(size=(int(rng.integers(1, 3)), 2)), int(rng.integers(0, 3))
        )
        rows[~rows.any(axis=1)] = 1.0
        middle = 0.5 * lower + 0.5 * upper
        sides = rows @ middle + rng.uniform(0.05, 0.6) * np.abs(rows) @ (upper - lower)
    return InputSet(kind, lower, upper, centre, float(radius), rows, sides, group)
