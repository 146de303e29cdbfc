"""Colours of the page: told apart by eyes that lack a cone, and seen against the paper."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from mipnet.bench.report.figures import COLOURS
from mipnet.bench.report.page import asset

STYLE = asset("style.css")
LIGHT, REST = STYLE.split("@media (prefers-color-scheme: dark)", 1)
SCHEMES = {"light": LIGHT, "dark": REST.split("}\n}", 1)[0]}
#: Linear RGB as seen without the long-wave or the middle-wave cone: G. Machado, M. Oliveira,
#: L. Fernandes, A physiologically-based model for simulation of color vision deficiency, 2009.
SIGHT = {
    "full": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255.0
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    t = XYZ @ np.clip(rgb, 0.0, 1.0) / (XYZ @ np.ones(3))
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16.0 / 116.0)
    return np.array([116.0 * f[1] - 16.0, 500.0 * (f[0] - f[1]), 200.0 * (f[1] - f[2])])


def palette(scheme: str, name: str, count: int) -> list[str]:
    return [re.findall(rf"--{name}-{k}: (#\w{{6}})", SCHEMES[scheme])[0] for k in range(count)]


def variable(scheme: str, name: str) -> str:
    return str(re.findall(rf"--{name}: (#\w{{6}})", SCHEMES[scheme])[0])


@pytest.mark.parametrize("scheme", list(SCHEMES))
@pytest.mark.parametrize("sight", list(SIGHT))
def test_series_are_told_apart(scheme: str, sight: str) -> None:
    """The first five colours by hue or lightness alone; names at the lines and dashes help too."""
    seen = {c: lab(SIGHT[sight] @ linear(c)) for c in palette(scheme, "series", 5)}
    near = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in combinations(seen, 2)}
    assert min(near.values()) > 8.0, min(near, key=lambda pair: near[pair])


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_contrast(scheme: str) -> None:
    def luminance(colour: str) -> float:
        return float(XYZ[1] @ linear(colour)) + 0.05

    paper = luminance(variable(scheme, "paper"))

    def contrast(colour: str) -> float:
        own = luminance(colour)
        return max(own, paper) / min(own, paper)

    # Graphics need 3:1 and text 4.5:1: WCAG 2.2, 1.4.11 and 1.4.3.
    assert min(map(contrast, palette(scheme, "series", 10))) >= 3.0
    for name in ("ink", "soft", "accent", "bad"):
        assert contrast(variable(scheme, name)) >= 4.5, name


def test_paper_figures_have_the_colours_of_the_page() -> None:
    assert list(COLOURS) == palette("light", "series", 10)
