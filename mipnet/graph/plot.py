"""Pictures of a graph of units: networkx for those who have it draw, SVG for everyone else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mipnet.arguments import require
from mipnet.errors import GraphError
from mipnet.graph.markov import degree, transition

if TYPE_CHECKING:
    import networkx as nx

Array = npt.NDArray[np.float64]

#: Ink of kept and of removed nodes.
KEPT, REMOVED, EDGE = "#1b6ca8", "#c9c9c9", "#555555"


def unit_graph(
    affinity: npt.ArrayLike,
    rank: npt.ArrayLike | None = None,
    *,
    kept: npt.ArrayLike | None = None,
    labels: Sequence[str] | None = None,
    top: int | None = None,
) -> nx.DiGraph[int]:
    """Graph of units for networkx.

    Parameters
    ----------
    affinity : array, shape (n, n)
        Edge weights; edges of weight 0 are left out.
    rank : array, shape (n,), optional
        Importance of the units; their share of all affinity when absent.
    kept : array of int or bool, optional
        Units a mask keeps; all when absent.
    labels : sequence of str, optional
        Names of the units; their numbers when absent.
    top : int, optional
        Strongest outgoing edges of each unit to keep.

    Returns
    -------
    networkx.DiGraph
        Nodes with ``rank``, ``kept``, ``label``; edges with ``weight`` (the affinity) and
        ``chance`` (of the Markov chain).

    Raises
    ------
    GraphError
        When the affinity is no graph, or something does not fit its number of units.
    """
    import networkx as nx

    chance = transition(affinity)
    weights = np.asarray(affinity, dtype=np.float64)
    n = len(weights)
    values = degree(affinity) if rank is None else np.asarray(rank, dtype=np.float64)
    names = [str(k) for k in range(n)] if labels is None else [str(name) for name in labels]
    if values.shape != (n,) or not np.isfinite(values).all() or len(names) != n:
        msg = f"{n} units need as many finite ranks and labels; got {values.shape}, {len(names)}"
        raise GraphError(msg)
    flags = _flags(kept, n)
    graph: nx.DiGraph[int] = nx.DiGraph()
    for k in range(n):
        graph.add_node(k, rank=float(values[k]), kept=bool(flags[k]), label=names[k])
    for i in range(n):
        order = np.argsort(-weights[i], kind="stable")[:top]
        for j in order[weights[i, order] > 0.0].tolist():
            graph.add_edge(i, j, weight=float(weights[i, j]), chance=float(chance[i, j]))
    return graph


def svg(graph: nx.DiGraph[int], *, size: int = 480, title: str = "", seed: int = 0) -> str:
    """Draw a graph of :func:`unit_graph` as a self-contained SVG text.

    Units that are alike stand together (spring layout); area says rank, width and shade of a
    line the affinity; removed units are grey. Hovering shows the numbers.

    Parameters
    ----------
    graph : networkx.DiGraph
    size : int
        Width and height in pixels.
    title : str
    seed : int
        Of the layout.

    Raises
    ------
    GraphError
        When an argument is of another kind.
    """
    import networkx as nx

    require(graph, nx.DiGraph, "graph (see unit_graph)", GraphError)
    require(title, str, "title", GraphError)
    for name, value in (("size", size), ("seed", seed)):
        require(value, int, name, GraphError)

    found = nx.spring_layout(graph.to_undirected(), weight="weight", seed=seed)
    margin, head = 30.0, 24.0 if title else 0.0
    places = _spread({node: np.asarray(at) for node, at in found.items()}, size, margin, head)
    most = max((data["weight"] for *_, data in graph.edges(data=True)), default=1.0)
    largest = max((abs(data["rank"]) for _, data in graph.nodes(data=True)), default=0.0) or 1.0
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" '
        f'viewBox="0 0 {size} {size}" font-family="sans-serif" font-size="11">',
        f"<title>{escape(title or 'graph of units')}</title>",
    ]
    if title:
        lines.append(f'<text x="{size / 2:.1f}" y="16" text-anchor="middle">{escape(title)}</text>')
    for i, j, data in graph.edges(data=True):
        (x, y), (u, v) = places[i], places[j]
        share = data["weight"] / most
        lines.append(
            f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{u:.1f}" y2="{v:.1f}" stroke="{EDGE}" '
            f'stroke-width="{0.3 + 2.0 * share:.2f}" stroke-opacity="{0.1 + 0.5 * share:.2f}"/>'
        )
    for node, data in graph.nodes(data=True):
        x, y = places[node]
        radius = 4.0 + 10.0 * np.sqrt(abs(data["rank"]) / largest)
        about = escape(f"{data['label']}: rank {data['rank']:.4g}")
        lines.append(
            f'<g><title>{about}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" '
            f'fill="{KEPT if data["kept"] else REMOVED}"/><text x="{x:.1f}" y="{y + 4:.1f}" '
            f'text-anchor="middle" fill="{"white" if data["kept"] else "black"}">'
            f"{escape(data['label'])}</text></g>"
        )
    return "\n".join([*lines, "</svg>"])


def _spread(
    places: dict[int, Array], size: int, margin: float, head: float
) -> dict[int, tuple[float, float]]:
    """Places stretched over the picture."""
    points = np.array(list(places.values())).reshape(-1, 2)
    low, high = points.min(axis=0, initial=np.inf), points.max(axis=0, initial=-np.inf)
    reach = np.where(high > low, high - low, 1.0)
    room = np.array([size - 2.0 * margin, size - 2.0 * margin - head])
    corner = np.array([margin, margin + head])
    moved = {node: corner + room * (at - low) / reach for node, at in places.items()}
    return {node: (float(at[0]), float(at[1])) for node, at in moved.items()}


def _flags(kept: npt.ArrayLike | None, n: int) -> npt.NDArray[np.bool_]:
    if kept is None:
        return np.ones(n, bool)
    given = np.asarray(kept)
    if given.dtype == np.bool_ and given.shape == (n,):
        return given
    whole = np.issubdtype(given.dtype, np.integer) and given.ndim == 1
    if not whole or (given.size and not 0 <= given.min() <= given.max() < n):
        msg = f"kept must be unit numbers 0..{n - 1}, or {n} flags"
        raise GraphError(msg)
    return np.isin(np.arange(n), given)
