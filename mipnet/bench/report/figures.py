"""The figures of the page for papers: vector graphics through matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mipnet.bench.errors import StoreError
from mipnet.bench.registry import unknown_name
from mipnet.bench.report.grid import grid
from mipnet.bench.report.metrics import METRICS
from mipnet.bench.report.payload import series_of
from mipnet.bench.report.summary import (
    CLOCKS,
    PRUNE_CLOCKS,
    baseline_of,
    fidelity_of,
    pareto,
    spreads,
    summary,
)
from mipnet.bench.statistics import cactus, kaplan_meier, profile, ratios_to_best
from mipnet.errors import MissingPackageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

Array = npt.NDArray[np.float64]

#: Shortest time a profile tells apart, seconds.
FLOOR = 1e-3
#: Colours of the page by their number, and of the clocks in their order,
#: those of the preparation first.
COLOURS = (
    *("#2b2a28", "#2a6db0", "#c4516c", "#0b5f54", "#b07d12"),
    *("#6b4c9a", "#3f8fb3", "#6b7d1e", "#882255", "#8a857b"),
)
CLOCK_COLOURS = (
    *("#cfc7b8", "#b3a58d", "#8f7f66"),
    *("#a8b8c8", "#7fa99b", "#d9c58b", "#3d6f8e", "#b98f9c"),
)
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 2)), (0, (6, 2, 1.5, 2)), (0, (1, 3)))
_MARKERS = "osD^vh"
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#6a655c",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e2d9",
    "grid.linewidth": 0.7,
    "xtick.color": "#6a655c",
    "ytick.color": "#6a655c",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "mipnet",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "text.parse_math": False,
}


@contextmanager
def _canvas(width: float, height: float) -> Iterator[Any]:
    """Axes of a figure of its own: no state of pyplot is touched."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("matplotlib", "figures of results", "plots") from error

    class Styled(Figure):
        def savefig(self, *args: Any, **options: Any) -> None:
            # Whether text stays text is decided when the file is written.
            with mpl.rc_context(_STYLE):
                super().savefig(*args, **options)

    with mpl.rc_context(_STYLE):
        yield Styled(figsize=(width, height), layout="constrained").add_subplot()


def figure(
    cells: pd.DataFrame,
    name: str,
    *,
    metric: str = "total_s",
    shift: float = 1.0,
    width: float = 6.3,
    **options: Any,
) -> Any:
    """Draw one of the figures of the page.

    Parameters
    ----------
    cells : DataFrame
        With the columns of :func:`~mipnet.bench.report.grid.with_series`.
    name : {"pareto", "profile", "cactus", "clocks", "spread", "pairs"}
    metric : str
        What is compared.
    shift : float
        Of geometric means.
    width : float
        Inches; 6.3 fills a page, 3.1 a column.
    **options
        ``fidelity`` of ``pareto``; ``survival`` of ``cactus``; ``pair`` (two series) of
        ``pairs``; ``clocks`` of ``clocks``: ``"seconds"``, ``"shares"``, or ``"before"``, with
        preparation.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    StoreError
        When there is no such figure, series or option.
    MissingPackageError
        Without matplotlib.
    """
    if name not in FIGURES:
        raise StoreError(unknown_name("figure", name, tuple(FIGURES)))
    draw, known, height = FIGURES[name]
    for option in options:
        if option not in known:
            raise StoreError(unknown_name(f"option of {name}", option, known))
    if name == "pareto":
        options["shift"] = shift
    rows = len(set(cells["series"]))
    with _canvas(width, height if height else 0.9 + 0.26 * rows) as axes:
        draw(axes, cells, metric, **options)
        return axes.figure


def _looks(cells: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {
        s["name"]: {
            "color": COLOURS[s["colour"]],
            "linestyle": _DASHES[s["dash"] % len(_DASHES)],
            "linewidth": 1.9 if s["dense"] else 1.4,
            "label": s["name"],
        }
        for s in series_of(cells)
    }


def _pareto(
    axes: Any, cells: pd.DataFrame, metric: str, shift: float = 1.0, fidelity: str | None = None
) -> None:
    points: Any = pareto(cells, metric=metric, shift=shift, fidelity=fidelity)
    measure = fidelity or fidelity_of(cells)
    looks = _looks(cells)
    networks = list(dict.fromkeys(points["network"]))
    most = points["cycles"].max()
    for point in points.itertuples(index=False):
        area = 60.0 if math.isnan(point.cycles) else 400.0 * point.cycles / most
        axes.scatter(
            point.fidelity,
            max(point.seconds, FLOOR),
            s=20.0 + area,
            marker=_MARKERS[networks.index(point.network) % len(_MARKERS)],
            facecolor=(*_rgb(looks[point.series]["color"]), 0.4 if point.front else 0.18),
            edgecolor=(*_rgb(looks[point.series]["color"]), 1.0 if point.front else 0.3),
            linewidth=1.4 if point.front else 0.8,
        )
    _logarithmic(axes, "y")
    axes.set_xlabel(METRICS[measure].heading.lower())
    axes.set_ylabel(f"{_title(metric)} (mean)")
    keys = [axes.plot([], [], **{**look, "linewidth": 2.5})[0] for look in looks.values()]
    if len(networks) > 1:
        for k, network in enumerate(networks):
            look = {"marker": _MARKERS[k % len(_MARKERS)], "linestyle": "", "color": "none"}
            keys += axes.plot([], [], label=network, markeredgecolor="#6a655c", **look)
    _legend(axes, keys)


def _profile(axes: Any, cells: pd.DataFrame, metric: str) -> None:
    common = grid(cells, metric).common()
    ratios = ratios_to_best(np.nan_to_num(common.times, nan=1.0), common.solved, floor=FLOOR)
    looks, most = _looks(cells), 2.0
    curves = []
    for k, name in enumerate(common.series):
        factors, shares = profile(ratios[common.present[:, k], k])
        curves.append((name, factors, shares))
        most = max([most, *factors])
    for name, factors, shares in curves:
        x = np.concatenate([[1.0], factors, [1.05 * most]])
        y = np.concatenate([[0.0], shares, shares[-1:] if shares.size else [0.0]])
        axes.step(x, y, where="post", **looks[name])
    axes.set_xscale("log", base=2)
    axes.set_xlim(1.0, 1.05 * most)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("times the best of the shown")
    axes.set_ylabel("share of items solved")
    axes.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    _legend(axes)


def _cactus(axes: Any, cells: pd.DataFrame, metric: str, survival: bool = False) -> None:
    whole, looks = grid(cells, metric), _looks(cells)
    for k, name in enumerate(whole.series):
        here = whole.present[:, k]
        times, solved = np.maximum(whole.times[here, k], FLOOR), whole.solved[here, k]
        if survival:
            found = kaplan_meier(times, solved)
            x, y, start = found.times, found.open, 1.0
        else:
            x, counts = cactus(times, solved)
            y, start = counts.astype(np.float64), 0.0
        end = np.max(times, initial=FLOOR)
        last = y[-1] if y.size else start
        x, y = np.concatenate([[FLOOR], x, [end]]), np.concatenate([[start], y, [last]])
        axes.step(x, y, where="post", **looks[name])
        cut = times[~solved]
        axes.plot(cut, np.full(cut.size, last), "|", color=looks[name]["color"], markersize=7)
    _logarithmic(axes, "x")
    shortest = np.nanmin(np.maximum(whole.times, FLOOR))
    axes.set_xlim(left=0.8 * shortest)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(_title(metric))
    axes.set_ylabel("share still open" if survival else "items solved")
    _legend(axes)


def _clocks(axes: Any, cells: pd.DataFrame, metric: str, clocks: str = "seconds") -> None:
    del metric
    known = ("seconds", "shares", "before")
    if clocks not in known:
        raise StoreError(unknown_name("way to stack clocks", clocks, known))
    names = (*PRUNE_CLOCKS[1:], *CLOCKS) if clocks == "before" else CLOCKS
    frame = summary(cells)[list(names)].fillna(0.0)
    if clocks == "shares":
        frame = frame.div(frame.sum(axis=1).replace(0.0, 1.0), axis=0)
    left = np.zeros(len(frame))
    for clock, colour in zip(names, CLOCK_COLOURS[-len(names) :], strict=True):
        size = frame[clock].to_numpy()
        axes.barh(frame.index, size, left=left, color=colour, label=METRICS[clock].heading)
        left = left + size
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of the mean time" if clocks == "shares" else "mean seconds of a cell")
    _legend(axes)


def _spread(axes: Any, cells: pd.DataFrame, metric: str) -> None:
    whole, looks = grid(cells, metric), _looks(cells)
    for k, name in enumerate(whole.series):
        factors = spreads(whole, k)
        height = k + 0.5 * (np.random.default_rng(k).random(factors.size) - 0.5)
        axes.scatter(factors, height, s=9, alpha=0.4, color=looks[name]["color"], linewidth=0)
        if factors.size:
            middle = float(np.median(factors))
            axes.plot([middle, middle], [k - 0.35, k + 0.35], color=looks[name]["color"], lw=2)
    axes.set_yticks(range(len(whole.series)), whole.series)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("geometric standard deviation over seeds")


def _pairs(axes: Any, cells: pd.DataFrame, metric: str, pair: Sequence[str] | None = None) -> None:
    whole, looks = grid(cells, metric), _looks(cells)
    first = baseline_of(cells, whole.series)
    other = next((name for name in whole.series if name != first), first)
    chosen = tuple(pair) if pair else (first, other)
    for name in chosen:
        if name not in whole.series:
            raise StoreError(unknown_name("series", name, whole.series))
    a, b = (whole.series.index(name) for name in chosen)
    both = whole.present[:, a] & whole.present[:, b]
    x, y = (np.maximum(whole.times[both, k], FLOOR) for k in (a, b))
    won = whole.solved[both, a] & whole.solved[both, b]
    colour = looks[chosen[1]]["color"]
    axes.scatter(x[won], y[won], s=14, alpha=0.6, color=colour, linewidth=0)
    axes.scatter(x[~won], y[~won], s=22, marker="x", color=colour, linewidth=1.2)
    if both.any():
        ends = np.array([min(x.min(), y.min()) / 1.3, max(x.max(), y.max()) * 1.3])
        for factor in (1.0, 2.0, 0.5, 10.0, 0.1):
            style = "-" if factor == 1.0 else ":"
            axes.plot(ends, factor * ends, style, color="#6a655c", linewidth=0.8)
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
    _logarithmic(axes, "x")
    _logarithmic(axes, "y")
    axes.set_xlabel(chosen[0])
    axes.set_ylabel(chosen[1])


#: Drawing function, its own options, and height in inches (0: by the number of series).
FIGURES: dict[str, tuple[Any, tuple[str, ...], float]] = {
    "pareto": (_pareto, ("fidelity",), 4.0),
    "profile": (_profile, (), 3.4),
    "cactus": (_cactus, ("survival",), 3.4),
    "clocks": (_clocks, ("clocks",), 0.0),
    "spread": (_spread, (), 0.0),
    "pairs": (_pairs, ("pair",), 5.0),
}


def _legend(axes: Any, keys: Sequence[Any] | None = None) -> None:
    chosen = {"handles": keys} if keys else {}
    axes.figure.legend(**chosen, loc="outside lower center", ncols=3)


def _logarithmic(axes: Any, name: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    getattr(axes, f"set_{name}scale")("log")
    axis = getattr(axes, f"{name}axis")
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100.0 * low else (1.0,)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def _title(metric: str) -> str:
    names = {"total_s": "seconds of the whole search", "solve_s": "seconds in the solver"}
    return names.get(metric, metric)


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[k : k + 2], 16) / 255.0 for k in (1, 3, 5))
