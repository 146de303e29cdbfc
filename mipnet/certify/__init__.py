"""What is proven about pruned networks, and budgets that bounds, programs and machines measure."""

from mipnet.certify.budgets import Binaries, Cycles, ProgramSize, Unstable, budget_of
from mipnet.certify.difference import DifferenceBounds, difference_bounds
from mipnet.certify.near_zero import Dropped, NearZeros, drop_near_zeros, near_zeros
from mipnet.certify.simplify import Certificate, Simplified, simplify

__all__ = [
    "Binaries",
    "Certificate",
    "Cycles",
    "DifferenceBounds",
    "Dropped",
    "NearZeros",
    "ProgramSize",
    "Simplified",
    "Unstable",
    "budget_of",
    "difference_bounds",
    "drop_near_zeros",
    "near_zeros",
    "simplify",
]
