"""Exact search over the inputs of a network: adversarial examples and global optima."""

from mipnet.search.adversarial import find_adversarial
from mipnet.search.optimize import Optimum, maximize, minimize
from mipnet.search.verdict import ClauseResult, Verdict

__all__ = ["ClauseResult", "Optimum", "Verdict", "find_adversarial", "maximize", "minimize"]
