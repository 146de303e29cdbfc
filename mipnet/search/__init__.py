"""Exact search over the inputs of a network: adversarial examples and global optima."""

from mipnet.search.accuracy import robust_accuracy
from mipnet.search.accuracy_result import RobustAccuracy
from mipnet.search.adversarial import find_adversarial
from mipnet.search.distortion import certified_radius, minimal_distortion
from mipnet.search.distortion_result import CertifiedRadius, Distortion
from mipnet.search.optimize import maximize, minimize
from mipnet.search.optimum import Optimum
from mipnet.search.verdict import ClauseResult, Verdict
from mipnet.search.verify import verify
from mipnet.search.verify_result import VerifyResult

__all__ = [
    "CertifiedRadius",
    "ClauseResult",
    "Distortion",
    "Optimum",
    "RobustAccuracy",
    "Verdict",
    "VerifyResult",
    "certified_radius",
    "find_adversarial",
    "maximize",
    "minimal_distortion",
    "minimize",
    "robust_accuracy",
    "verify",
]
