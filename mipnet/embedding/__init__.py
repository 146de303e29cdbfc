"""Networks inside Pyomo models."""

from mipnet.embedding.network_block import NetworkBlock
from mipnet.embedding.report import EmbeddingReport
from mipnet.embedding.solve import SolveResult, solve

__all__ = ["EmbeddingReport", "NetworkBlock", "SolveResult", "solve"]
