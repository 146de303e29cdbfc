"""Networks inside Pyomo models."""

from mipnet.embedding.add import add_network
from mipnet.embedding.batch import NetworkBatch
from mipnet.embedding.ensemble import add_ensemble
from mipnet.embedding.free_layer import add_free_layer
from mipnet.embedding.network_block import NetworkBlock
from mipnet.embedding.report import EmbeddingReport
from mipnet.embedding.result import SolveResult
from mipnet.embedding.solve import solve

__all__ = [
    "EmbeddingReport",
    "NetworkBatch",
    "NetworkBlock",
    "SolveResult",
    "add_ensemble",
    "add_free_layer",
    "add_network",
    "solve",
]
