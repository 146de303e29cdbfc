"""Linear comparisons joined by ``and`` and ``or``: the typed tree of a property.

Every walk keeps its own stack, so that depth is limited by memory alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np

from mipnet.network.layers.base import Array
from mipnet.search.vnnlib.exact import above, checked, nearest, number
from mipnet.search.vnnlib.syntax import Expression, Group, Text, Token, shown

COMPARISONS = frozenset({"<=", ">=", "<", ">", "="})
OPERATORS = frozenset({"+", "-", "*", "/"})


@dataclass(frozen=True, eq=False)
class Comparison:
    """``inputs . x + outputs . y + constant >= 0``, or ``> 0`` where strict.

    Attributes
    ----------
    inputs, outputs : dict of int to Fraction
        Coefficients by index; none of them zero.
    constant : Fraction
    strict : bool
    line : int
    """

    inputs: dict[int, Fraction]
    outputs: dict[int, Fraction]
    constant: Fraction
    strict: bool
    line: int

    @property
    def holds_always(self) -> bool:
        """Truth of a comparison without variables."""
        return self.constant > 0 or (self.constant == 0 and not self.strict)

    def holds(self, outputs: Sequence[Fraction]) -> bool:
        """Whether it is true of exact outputs; for comparisons of outputs only."""
        value = self.margin(outputs)
        return value > 0 or (value == 0 and not self.strict)

    def margin(self, outputs: Sequence[Fraction]) -> Fraction:
        """Exact left side at given outputs."""
        return sum((c * outputs[j] for j, c in self.outputs.items()), self.constant)

    @cached_property
    def scaled(self) -> tuple[dict[int, float], float] | None:
        """Coefficients and constant as floats, with the same truth or a little more.

        The coefficients are exact: where they are no floats, the whole comparison is multiplied by
        a positive number that makes them so. The constant is rounded up. None where no such
        number is found.
        """
        factor = Fraction(1)
        if any(nearest(c) != c for c in self.outputs.values()):
            multiple = math.lcm(*(c.denominator for c in self.outputs.values()))
            common = math.gcd(*(int(c * multiple) for c in self.outputs.values()))
            size = max(abs(c) for c in self.outputs.values()) * Fraction(multiple, common)
            power = size.numerator.bit_length()
            factor = Fraction(multiple, common) / (1 << power)
        floats = {j: nearest(c * factor) for j, c in self.outputs.items()}
        constant = above(self.constant * factor)
        exact = all(v == self.outputs[j] * factor for j, v in floats.items())
        return (floats, constant) if exact and math.isfinite(constant) else None

    def row(self, n_outputs: int) -> tuple[Array, float]:
        """Row over all outputs, and its offset, from :attr:`scaled`."""
        row = np.zeros(n_outputs)
        floats, offset = self.scaled or ({}, math.inf)
        for j, value in floats.items():
            row[j] = value
        return row, offset


@dataclass(frozen=True, eq=False)
class Junction:
    """A conjunction or disjunction.

    Attributes
    ----------
    all : bool
        Whether it is a conjunction.
    parts : list of Comparison or Junction
        Parts of a conjunction are no conjunctions, and the same for disjunctions.
    """

    all: bool
    parts: list[Comparison | Junction] = field(default_factory=list)


Formula = Comparison | Junction


class Reader:
    """From lists to formulas.

    Parameters
    ----------
    text : Text
        For the place of errors.
    """

    def __init__(self, text: Text) -> None:
        self.text = text
        #: Declared names; inputs are 0, 1, ..., outputs -1, -2, ...
        self.names: dict[str, int] = {}

    def formula(self, root: Expression) -> Junction:
        """Conjunction of what an assertion says.

        Raises
        ------
        VnnlibError
            When it is no formula over declared names, or not linear.
        """
        whole = Junction(True)
        todo: list[tuple[Expression, Junction]] = [(root, whole)]
        while todo:
            node, into = todo.pop()
            if isinstance(node, Token):
                message = f"expected a comparison, 'and' or 'or', found {shown(node.text)}"
                raise self.text.error(node.at, message)
            head = node.head
            if head in COMPARISONS:
                found = self.comparisons(node)
                if not into.all and len(found) > 1:
                    into.parts.append(Junction(True, list(found)))
                else:
                    into.parts.extend(found)
            elif head in {"and", "or"}:
                if len(node.items) < 2:
                    raise self.text.error(node.at, f"{head!r} needs at least one argument")
                below = into
                if into.all != (head == "and") and len(node.items) > 2:
                    below = Junction(head == "and")
                    into.parts.append(below)
                todo.extend((part, below) for part in reversed(node.items[1:]))
            else:
                raise self.text.error(node.at, _expected("and, or, <=, >=, <, > or =", head))
        return whole

    def comparisons(self, node: Group) -> list[Comparison]:
        """Comparisons ``a <= b <= ...`` stands for."""
        if len(node.items) < 3:
            raise self.text.error(node.at, f"{node.head!r} needs at least two arguments")
        head, found = node.head, []
        for left, right in pairwise(node.items[1:]):
            if head in {">=", ">", "="}:
                found.append(self.difference(left, right, node, head == ">"))
            if head in {"<=", "<", "="}:
                found.append(self.difference(right, left, node, head == "<"))
        return found

    def difference(
        self, high: Expression, low: Expression, node: Group, strict: bool
    ) -> Comparison:
        """``high - low >= 0``."""
        coefficients: dict[int, Fraction] = {}
        constant = Fraction(0)
        known = self.constants(high) | self.constants(low)
        todo: list[tuple[Expression, Fraction]] = [(low, Fraction(-1)), (high, Fraction(1))]
        at = node.at
        try:
            while todo:
                part, factor = todo.pop()
                at = part.at
                value = known[at] if isinstance(part, Group) else self.leaf(part)
                if isinstance(value, Fraction):
                    constant = checked(constant + factor * value)
                elif isinstance(part, Token):
                    key = self.names[part.text]
                    coefficients[key] = checked(coefficients.get(key, Fraction(0)) + factor)
                else:
                    todo.extend(self.terms(part, factor, known))
        except OverflowError as error:
            raise self.text.error(at, "number out of range") from error
        inputs = {key: c for key, c in coefficients.items() if c and key >= 0}
        outputs = {-1 - key: c for key, c in coefficients.items() if c and key < 0}
        return Comparison(inputs, outputs, constant, strict, self.text.line(node.at))

    def terms(
        self, node: Group, factor: Fraction, known: dict[int, Fraction | None]
    ) -> list[tuple[Expression, Fraction]]:
        """Parts of a sum or of a product with constants, each with its factor."""
        parts = node.items[1:]
        if node.head == "+":
            return [(part, factor) for part in parts]
        if node.head == "-":
            return [(parts[0], factor if len(parts) > 1 else -factor)] + [
                (part, -factor) for part in parts[1:]
            ]
        values = [known[p.at] if isinstance(p, Group) else self.leaf(p) for p in parts]
        variable = [p for p, v in zip(parts, values, strict=True) if v is None]
        if len(variable) > 1 or (node.head == "/" and values[0] is not None):
            raise self.text.error(node.at, "not linear in the variables")
        for value in values:
            if value is not None:
                factor = checked(factor / value if node.head == "/" else factor * value)
        return [(variable[0], factor)]

    def constants(self, root: Expression) -> dict[int, Fraction | None]:
        """Value of every list within, by its offset; None where it holds a variable."""
        order: list[Group] = []
        todo = [root] if isinstance(root, Group) else []
        while todo:
            node = todo.pop()
            if node.head not in OPERATORS:
                raise self.text.error(node.at, _expected("+, -, * or /", node.head))
            if len(node.items) < (3 if node.head == "/" else 2):
                raise self.text.error(node.at, f"{node.head!r} has too few arguments")
            order.append(node)
            todo.extend(part for part in node.items[1:] if isinstance(part, Group))
        known: dict[int, Fraction | None] = {}
        for node in reversed(order):
            values = [
                known[part.at] if isinstance(part, Group) else self.leaf(part)
                for part in node.items[1:]
            ]
            known[node.at] = self.value(node, values)
        return known

    def value(self, node: Group, values: list[Fraction | None]) -> Fraction | None:
        """Value of an operation on constants; None where one of them is none."""
        if node.head == "/" and any(v == 0 for v in values[1:]):
            raise self.text.error(node.at, "division by zero")
        total: Fraction | None = None
        for v in values:
            if v is None:
                return None
            try:
                total = v if total is None else checked(_apply(node.head, total, v))
            except OverflowError as error:
                raise self.text.error(node.at, "number out of range") from error
        return -total if total is not None and node.head == "-" and len(values) == 1 else total

    def leaf(self, token: Token) -> Fraction | None:
        """Value of a number; None for a declared variable."""
        if token.text in self.names:
            return None
        try:
            value = number(token.text)
        except OverflowError as error:
            raise self.text.error(token.at, "number out of range") from error
        if value is None:
            raise self.text.error(token.at, f"{shown(token.text)} is no number or declared name")
        return value


def _apply(operator: str, left: Fraction, right: Fraction) -> Fraction:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    return left * right if operator == "*" else left / right


def _expected(what: str, found: str) -> str:
    return f"expected {what}, found {shown(found) if found else 'no operator'}"
