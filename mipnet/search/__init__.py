"""Exact search over the inputs of a network: adversarial examples and global optima."""

from mipnet.search.adversarial import find_adversarial
from mipnet.search.optimize import Optimum, maximize, minimize
from mipnet.search.verdict import ClauseResult, Verdict
from mipnet.search.verify import verify
from mipnet.search.verify_result import VerifyResult

__all__ = [
    "ClauseResult",
    "Optimum",
    "Verdict",
    "VerifyResult",
    "find_adversarial",
    "maximize",
    "minimize",
    "verify",
]
