"""Roofline: what peak and bandwidth allow each GEMM, before and after pruning."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import log10

from mipnet.hardware.costs import Figures


@dataclass(frozen=True)
class Arrow:
    """A GEMM under the roof, before and after pruning.

    Attributes
    ----------
    name : str
    intensity_before, intensity : float
        MACs per DRAM byte.
    attainable_before, attainable : float
        MACs per cycle that the roof allows.
    reached_before, reached : float
        MACs per cycle of the model.
    """

    name: str
    intensity_before: float
    intensity: float
    attainable_before: float
    attainable: float
    reached_before: float
    reached: float


@dataclass(frozen=True)
class Roofline:
    """The roof of a machine and the GEMMs below it.

    Attributes
    ----------
    peak : float
        MACs per cycle, R C.
    bandwidth : float
        DRAM bytes per cycle.
    arrows : tuple of Arrow
    """

    peak: float
    bandwidth: float
    arrows: tuple[Arrow, ...]

    @property
    def ridge(self) -> float:
        """Intensity from which on the array is the limit, MACs per byte."""
        return self.peak / self.bandwidth

    def attainable(self, intensity: float) -> float:
        """MACs per cycle allowed at an intensity."""
        return min(self.peak, intensity * self.bandwidth)

    def svg(self, width: int = 560, height: int = 320) -> str:
        """Drawing: the roof, and an arrow for every GEMM from before to after pruning."""
        points = [
            (i, y)
            for a in self.arrows
            for i, y in ((a.intensity_before, a.reached_before), (a.intensity, a.reached))
            if i > 0 and y > 0
        ]
        xs = [log10(i) for i, _ in points] + [log10(self.ridge)]
        ys = [log10(y) for _, y in points] + [log10(self.peak)]
        left, right = min(xs) - 0.3, max(xs) + 0.3
        low, high = min(ys) - 0.3, max(ys) + 0.3

        def at(intensity: float, speed: float) -> str:
            x = 50 + (log10(intensity) - left) / (right - left) * (width - 70)
            y = height - 40 - (log10(speed) - low) / (high - low) * (height - 60)
            return f"{x:.1f},{y:.1f}"

        start = max(10**left, 10**low / self.bandwidth)
        roof = " ".join(
            at(i, self.attainable(i)) for i in (start, self.ridge, 10**right) if i >= start
        )
        drawn = [
            f'<line x1="{a[0]}" y1="{a[1]}" x2="{b[0]}" y2="{b[1]}" stroke="#0072b2" '
            f'marker-end="url(#tip)"><title>{escape(arrow.name)}</title></line>'
            f'<circle cx="{a[0]}" cy="{a[1]}" r="3" fill="#0072b2"/>'
            for arrow in self.arrows
            if arrow.intensity > 0 and arrow.reached > 0
            for a, b in [
                (
                    at(arrow.intensity_before, arrow.reached_before).split(","),
                    at(arrow.intensity, arrow.reached).split(","),
                )
            ]
        ]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            'font-family="sans-serif" font-size="11"><defs><marker id="tip" markerWidth="7" '
            'markerHeight="7" refX="6" refY="3" orient="auto"><path d="M0,0 L6,3 L0,6 z" '
            'fill="#0072b2"/></marker></defs>'
            f'<polyline points="{roof}" fill="none" stroke="#555"/>{"".join(drawn)}'
            f'<text x="{width / 2:.0f}" y="{height - 8}" text-anchor="middle">'
            f"MAC per DRAM byte (log; ridge {self.ridge:.3g})</text>"
            f'<text x="14" y="{height / 2:.0f}" text-anchor="middle" '
            f'transform="rotate(-90 14 {height / 2:.0f})">MAC per cycle (log; peak '
            f"{self.peak:g})</text></svg>"
        )


def roofline(
    names: tuple[str, ...],
    before: tuple[Figures, ...],
    after: tuple[Figures, ...],
    peak: float,
    bandwidth: float,
) -> Roofline:
    """Roofline of GEMMs from their figures, timed at that bandwidth."""
    roof = Roofline(float(peak), float(bandwidth), ())
    arrows = tuple(
        Arrow(
            name,
            b.intensity,
            a.intensity,
            roof.attainable(b.intensity),
            roof.attainable(a.intensity),
            b.macs / b.cycles if b.cycles else 0.0,
            a.macs / a.cycles if a.cycles else 0.0,
        )
        for name, b, a in zip(names, before, after, strict=True)
    )
    return Roofline(roof.peak, roof.bandwidth, arrows)
