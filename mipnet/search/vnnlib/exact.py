"""Exact rationals, and the floats around them.

A decimal such as ``0.1`` is no float. Proofs take the next float outside, witnesses the next one
inside, and what a witness prints is a decimal that lies inside.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from functools import lru_cache
from math import inf, isfinite, nextafter
from typing import NamedTuple

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE]([-+]?\d+))?", re.ASCII)
#: Longest numeral, largest exponent of ten, and largest bit length of a computed constant.
DIGITS, EXPONENT, BITS = 400, 400, 8192


def number(text: str) -> Fraction | None:
    """Exact value of a decimal numeral; None when the text is none.

    Raises
    ------
    OverflowError
        When it is far outside the range of floats or unreasonably long.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    if len(text) > DIGITS or abs(int(match[1] or 0)) > EXPONENT:
        raise OverflowError
    return Fraction(text)


def checked(value: Fraction) -> Fraction:
    """Return the value.

    Raises
    ------
    OverflowError
        When its numerator or denominator has become unreasonably long.
    """
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > BITS:
        raise OverflowError
    return value


@lru_cache(maxsize=1 << 16)
def below(value: Fraction) -> float:
    """Largest float that is at most ``value``."""
    near = nearest(value)
    return near if near <= value else nextafter(near, -inf)


@lru_cache(maxsize=1 << 16)
def above(value: Fraction) -> float:
    """Smallest float that is at least ``value``."""
    near = nearest(value)
    return near if near >= value else nextafter(near, inf)


def nearest(value: Fraction) -> float:
    """Nearest float; infinite when the value is out of range."""
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf


class Range(NamedTuple):
    """Exact bounds of one input.

    Attributes
    ----------
    lower, upper : Fraction or None
    open_lower, open_upper : bool
        Whether the end itself is excluded.
    """

    lower: Fraction | None = None
    upper: Fraction | None = None
    open_lower: bool = False
    open_upper: bool = False

    def above(self, end: Fraction, is_open: bool) -> Range:
        """Intersect with everything from ``end`` on."""
        if self.lower is None or (end, is_open) > (self.lower, self.open_lower):
            return self._replace(lower=end, open_lower=is_open)
        return self

    def below(self, end: Fraction, is_open: bool) -> Range:
        """Intersect with everything up to ``end``."""
        if self.upper is None or (-end, is_open) > (-self.upper, self.open_upper):
            return self._replace(upper=end, open_upper=is_open)
        return self

    @property
    def empty(self) -> bool:
        """Whether no number lies within."""
        if self.lower is None or self.upper is None:
            return False
        is_open = self.open_lower or self.open_upper
        return self.lower > self.upper or (is_open and self.lower == self.upper)

    def holds(self, value: Fraction) -> bool:
        """Whether a number lies within."""
        low, high = self.lower, self.upper
        return (low is None or low < value or (low == value and not self.open_lower)) and (
            high is None or value < high or (value == high and not self.open_upper)
        )

    def ends(self) -> tuple[float, float, float, float]:
        """Outer lower and upper, inner lower and upper end; both bounds must be there.

        Where no float lies within, both inner ends are the float nearest to an end.
        """
        if self.lower is None or self.upper is None:
            return -inf, inf, -inf, inf
        outer = below(self.lower), above(self.upper)
        low, high = above(self.lower), below(self.upper)
        if self.open_lower and low == self.lower:
            low = nextafter(low, inf)
        if self.open_upper and high == self.upper:
            high = nextafter(high, -inf)
        if low > high:
            candidates = nearest(self.lower), nearest(self.upper)
            low = high = next((c for c in candidates if self.text(c) is not None), candidates[0])
        return *outer, low, high

    def text(self, value: float) -> str | None:
        """Decimal within the range whose nearest float is ``value``; None when there is none."""
        if not isfinite(value):
            return None
        for text in (repr(value), str(Decimal(value))):
            if self.holds(Fraction(text)):
                return text
        for end in (self.lower, self.upper):
            if end is not None and nearest(end) == value and self.holds(end):
                return _decimal(end)
        return None


def _decimal(value: Fraction) -> str | None:
    """All digits of a number, if they end."""
    exact = Context(prec=2 * BITS, Emax=2 * BITS, Emin=-2 * BITS, traps=[Inexact])
    try:
        return str(exact.divide(Decimal(value.numerator), Decimal(value.denominator)))
    except Inexact:
        return None
