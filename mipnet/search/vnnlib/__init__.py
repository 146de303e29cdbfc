"""VNN-LIB 1.0: the property language of the verification competitions.

Demarco, Guidotti, Pulina, Tacchella et al., VNN-LIB: the verification of neural networks library,
www.vnnlib.org. A file declares inputs ``X_i`` and outputs ``Y_j`` and asserts what a counterexample
looks like.
"""

from mipnet.search.vnnlib.prop import Case, Property, parse_property, read_property
from mipnet.search.vnnlib.syntax import VnnlibError

__all__ = ["Case", "Property", "VnnlibError", "parse_property", "read_property"]
