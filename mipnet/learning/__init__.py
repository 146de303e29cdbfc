"""Around a trained network: where to trust it, and which one to take."""

from mipnet.learning.add import add_trust_region
from mipnet.learning.density import DensityRegion
from mipnet.learning.forest import IsolationRegion
from mipnet.learning.hull import ConvexHull
from mipnet.learning.region import TrustRegion

__all__ = ["ConvexHull", "DensityRegion", "IsolationRegion", "TrustRegion", "add_trust_region"]
