"""Exact answers for ReLU networks with two inputs, in whole numbers: no code of the package.

The lines on which a neuron changes its phase cut a polygon of inputs into cells on which all
outputs are affine, so that every maximum is at a corner. Corners have homogeneous coordinates and
affine functions coefficients that are Python integers: nothing is ever rounded, whatever the size
of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

Vertex = tuple[int, int, int]
#: ``a x + b y + c``, scaled by a positive number.
Line = tuple[int, int, int]
Polygon = list[Vertex]
Number = float | Fraction


def vertex(x: Fraction, y: Fraction) -> Vertex:
    """Homogeneous coordinates of a point."""
    w = math.lcm(x.denominator, y.denominator)
    return int(x * w), int(y * w), w


def line(a: Number, b: Number, c: Number) -> Line:
    """Affine function with whole coefficients, the same up to a positive factor."""
    parts = [Fraction(v) for v in (a, b, c)]
    w = math.lcm(*(p.denominator for p in parts))
    x, y, z = (int(p * w) for p in parts)
    return x, y, z


def at(line: Line, point: Vertex) -> int:
    """Value times the (positive) last coordinate of the point."""
    return line[0] * point[0] + line[1] * point[1] + line[2] * point[2]


def clip(polygon: Polygon, side: Line) -> Polygon:
    """Part of a convex polygon (or segment, or point) where an affine function is not negative."""
    values = [at(side, p) for p in polygon]
    if min(values, default=0) >= 0:
        return polygon
    kept: Polygon = []
    for k, (p, v) in enumerate(zip(polygon, values, strict=True)):
        q, w = polygon[k - 1], values[k - 1]
        if v * w < 0:
            kept.append(_crossing(p, v, q, w))
        if v >= 0:
            kept.append(p)
    return list(dict.fromkeys(kept))


def _crossing(p: Vertex, v: int, q: Vertex, w: int) -> Vertex:
    """Where the function with values of opposite sign at two points is zero."""
    v, w = abs(v), abs(w)
    found = [w * a + v * b for a, b in zip(p, q, strict=True)]
    common = math.gcd(*found)
    x, y, z = (a // common for a in found)
    return x, y, z


def box(lower: Sequence[Number], upper: Sequence[Number]) -> Polygon:
    """Rectangle, segment or point."""
    (a, b), (c, d) = ([Fraction(v) for v in side] for side in (lower, upper))
    return list(dict.fromkeys([vertex(a, b), vertex(c, b), vertex(c, d), vertex(a, d)]))


def directions(count: int) -> list[tuple[Fraction, Fraction]]:
    """Unit vectors with rational coordinates, counterclockwise, four times ``count`` of them."""
    quarter = []
    for k in range(count):
        t = Fraction(round(math.tan(math.pi * k / (4 * count)) * 1024), 1024)
        quarter.append(((1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)))
    half = [*quarter, *((-y, x) for x, y in quarter)]
    return [*half, *((-x, -y) for x, y in half)]


@dataclass
class Cell:
    """A polygon on which outputs are affine.

    ``outputs`` are whole; the true ones are these times ``scale``.
    """

    corners: Polygon
    outputs: list[Line]
    scale: Fraction

    def split(self, side: Line) -> Iterator[Cell]:
        """Both parts, where there are two."""
        values = [at(side, p) for p in self.corners]
        if min(values) >= 0 or max(values) <= 0:
            yield self
            return
        for half in (side, (-side[0], -side[1], -side[2])):
            yield Cell(clip(self.corners, half), self.outputs, self.scale)


def cells(weights: Sequence, biases: Sequence, polygons: Sequence[Polygon]) -> list[Cell]:
    """Cells of a network (lists or arrays of floats) over a union of polygons."""
    found = [Cell(p, [(1, 0, 0), (0, 1, 0)], Fraction(1)) for p in polygons if p]
    for depth, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        exact = [
            [Fraction(float(v)) for v in (*row, b)] for row, b in zip(weight, bias, strict=True)
        ]
        factor = math.lcm(*(v.denominator for row in exact for v in row))
        whole = [[int(v * factor) for v in row] for row in exact]
        found = [
            Cell(cell.corners, [_affine(row, cell) for row in whole], cell.scale / factor)
            for cell in (found if depth == 0 else _phases(found))
        ]
    return found


def _affine(row: list[int], cell: Cell) -> Line:
    """One affine layer on top; its constant in the scale of the inputs."""
    *slopes, constant = row
    one = cell.scale.denominator // cell.scale.numerator
    a, b, c = (sum(w * f[k] for w, f in zip(slopes, cell.outputs, strict=True)) for k in range(3))
    return a, b, c + constant * one


def _phases(found: list[Cell]) -> list[Cell]:
    """Cells in which no neuron changes its phase, with the activations."""
    done = []
    for cell in found:
        parts = [cell]
        for side in cell.outputs:
            parts = [p for part in parts for p in part.split(side)]
        done += [
            Cell(p.corners, [f if _on(p.corners, f) else (0, 0, 0) for f in p.outputs], p.scale)
            for p in parts
        ]
    return done


def _on(corners: Polygon, side: Line) -> bool:
    return any(at(side, p) > 0 for p in corners)


def largest(
    found: list[Cell], rows: Sequence[Sequence[Number]], pick: Callable[[list[Fraction]], Fraction]
) -> Fraction:
    """Largest value of the smallest, k-th largest, ... of linear functions of the outputs.

    Parameters
    ----------
    found : list of Cell
    rows : coefficients of each function, and its constant where there is one more
    pick : callable
        Chooses one of the values by their order alone.
    """
    best: Fraction | None = None
    for cell in found:
        functions = [_combined(cell, row) for row in rows]
        parts = [cell]
        # Where functions keep their order, the chosen one is affine.
        for (f, m), (g, n) in combinations(functions, 2):
            a, b, c = (n * u - m * v for u, v in zip(f, g, strict=True))
            parts = [p for part in parts for p in part.split((a, b, c))]
        for corner in {corner for part in parts for corner in part.corners}:
            value = pick([Fraction(at(f, corner), m * corner[2]) for f, m in functions])
            value *= cell.scale
            best = value if best is None or value > best else best
    assert best is not None
    return best


def _combined(cell: Cell, row: Sequence[Number]) -> tuple[Line, int]:
    """Function of the inputs in the scale of the outputs: a whole one, and its denominator."""
    count = len(cell.outputs)
    parts = [Fraction(v) for v in row]
    common = math.lcm(*(v.denominator for v in parts))
    whole = [int(v * common) for v in parts]
    pairs = [(w, f) for w, f in zip(whole, cell.outputs, strict=False) if w]
    a, b, c = (sum(w * f[k] for w, f in pairs) for k in range(3))
    return (a, b, c + int(sum(whole[count:]) / cell.scale)), common
