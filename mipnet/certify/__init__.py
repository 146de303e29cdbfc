"""What is proven about pruned networks, and budgets that bounds, programs and machines measure."""

from mipnet.certify.difference import DifferenceBounds, difference_bounds

__all__ = ["DifferenceBounds", "difference_bounds"]
