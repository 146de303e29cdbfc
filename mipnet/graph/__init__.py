"""Ranking of units as nodes of a graph: Markov chains over affinities, PageRank along layers."""

from mipnet.graph.affinity import AFFINITIES, asym, cka, cos, flow, js
from mipnet.graph.markov import degree, stationary, transition
from mipnet.graph.pagerank import mlp_rank
from mipnet.graph.plot import svg, unit_graph

__all__ = [
    "AFFINITIES",
    "asym",
    "cka",
    "cos",
    "degree",
    "flow",
    "js",
    "mlp_rank",
    "stationary",
    "svg",
    "transition",
    "unit_graph",
]
