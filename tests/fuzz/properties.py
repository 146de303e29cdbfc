"""Random VNN-LIB files, and what they say in fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from tests.fuzz.nets import Net

#: Coefficients of the outputs, and a constant where there is one more.
Rows = Sequence[Sequence[float | Fraction]]
Ends = tuple[list[Fraction], list[Fraction]]


def make(net: Net, rng: np.random.Generator) -> tuple[list[Ends], list[Rows], str]:
    """Boxes and clauses, exactly, and the file that asks for them."""
    n, boxes, said = net.n_outputs, [], []
    for _ in range(int(rng.integers(1, 4))):
        centre = rng.normal(size=net.n_inputs)
        half = rng.uniform(0.0, 1.0) * rng.integers(0, 3) / net.group
        ends = [(f"{c - half:.4f}", f"{c + half:.3e}") for c in centre]
        ends = [(a, b) if Fraction(a) <= Fraction(b) else (b, a) for a, b in ends]
        boxes.append(([Fraction(a) for a, _ in ends], [Fraction(b) for _, b in ends]))
        said.append("(and " + " ".join(_bound(rng, i, *e) for i, e in enumerate(ends)) + ")")
    names = [f"X_{i}" for i in range(net.n_inputs)] + [f"Y_{j}" for j in range(n)]
    lines = [f"(declare-const {name} Real)" for name in names]
    lines.append(f"(assert (or {' '.join(said)}))")
    spread = float(np.abs(net.network(rng.normal(size=(2, net.n_inputs)))).max())
    clauses: list[Rows] = []
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        rows, words = zip(
            *(_comparison(rng, n, spread) for _ in range(int(rng.integers(1, 3)))), strict=True
        )
        clauses.append(rows)
        parts.append(f"(and {' '.join(words)})")
    lines.append(f"(assert (or {' '.join(parts)}))")
    return boxes, clauses, "\n".join(lines)


def _bound(rng: np.random.Generator, i: int, low: str, high: str) -> str:
    forms = [
        f"(>= X_{i} {low}) (<= X_{i} {high})",
        f"(<= {low} X_{i}) (<= X_{i} {high})",
        f"(<= {low} X_{i} {high})",
        f"(>= (* 2 X_{i}) (* 2 {low})) (<= (- X_{i} {high}) 0)",
    ]
    return forms[rng.integers(len(forms))]


def _comparison(rng: np.random.Generator, n: int, spread: float) -> tuple[list[Fraction], str]:
    """A row over the outputs with its constant, and a way to write it."""
    i, j = (int(v) for v in rng.choice(n, 2, replace=False))
    constant = f"{spread * rng.normal():.3e}"
    row = [Fraction(0)] * (n + 1)
    if rng.random() < 0.4:
        row[i], row[n] = Fraction(1), -Fraction(constant)
        return row, [f"(>= Y_{i} {constant})", f"(<= {constant} Y_{i})"][rng.integers(2)]
    row[i], row[j], row[n] = Fraction(1), Fraction(-1), -Fraction(constant)
    forms = [
        f"(>= (- Y_{i} Y_{j}) {constant})",
        f"(<= (+ Y_{j} {constant}) Y_{i})",
        f"(>= (* 0.5 Y_{i}) (+ (* 0.5 Y_{j}) (/ {constant} 2)))",
    ]
    return row, forms[rng.integers(len(forms))]
