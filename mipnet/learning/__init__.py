"""Around a trained network: where to trust it, and which one to take."""

from mipnet.learning.add import add_trust_region
from mipnet.learning.density import DensityRegion
from mipnet.learning.forest import IsolationRegion
from mipnet.learning.hull import ConvexHull
from mipnet.learning.region import TrustRegion
from mipnet.learning.select import select_network
from mipnet.learning.selection import Selection, Trial

__all__ = [
    "ConvexHull",
    "DensityRegion",
    "IsolationRegion",
    "Selection",
    "Trial",
    "TrustRegion",
    "add_trust_region",
    "select_network",
]
