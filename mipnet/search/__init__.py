"""Exact search over the inputs of a network: adversarial examples and global optima."""

from mipnet.search.adversarial import find_adversarial
from mipnet.search.optimize import Optimum, maximize, minimize
from mipnet.search.verdict import TargetResult, Verdict

__all__ = ["Optimum", "TargetResult", "Verdict", "find_adversarial", "maximize", "minimize"]
