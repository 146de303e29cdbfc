"""A conformance suite for layers, formulations and pruning methods, mipnet's own and others'.

Needs no test runner; with pytest::

    @pytest.mark.parametrize("case", mipnet.testing.cases(), ids=str)
    def test_conformance(case):
        case.run()
"""

from mipnet.testing.cases import Case, cases, formulations, layers
from mipnet.testing.checks import check_formulation, check_layer
from mipnet.testing.pruning import check_pruner
from mipnet.testing.where import ConformanceError

__all__ = [
    "Case",
    "ConformanceError",
    "cases",
    "check_formulation",
    "check_layer",
    "check_pruner",
    "formulations",
    "layers",
]
