"""mipnet: prune trained networks, compile them into small exact MIPs, get answers to trust.

>>> import mipnet
>>> net = mipnet.load(([[[1.0, -1.0]], [[2.0]]], [[0.0], [1.0]]))
>>> best = mipnet.maximize(net, [1.0], (-1.0, 1.0))
>>> best.status, round(best.value, 6)
('optimal', 5.0)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public name to the module that defines it; loaded on first use, so that ``import mipnet``
#: stays light and imports neither torch nor Pyomo nor a solver.
_PUBLIC = {
    "Network": "mipnet.network",
    "load": "mipnet.network.readers",
    "save": "mipnet.network.writers",
    "to_onnx": "mipnet.network.writers",
    "to_torch": "mipnet.network.writers",
    "Box": "mipnet.region",
    "L1Ball": "mipnet.region",
    "LinfBall": "mipnet.region",
    "ball": "mipnet.region",
    "compute_bounds": "mipnet.bounds",
    "Mask": "mipnet.pruning",
    "apply": "mipnet.pruning",
    "compact": "mipnet.pruning",
    "prune": "mipnet.pruning",
    "pruners": "mipnet.pruning",
    "finetune": "mipnet.pruning",
    "NetworkBlock": "mipnet.embedding",
    "add_ensemble": "mipnet.embedding",
    "add_free_layer": "mipnet.embedding",
    "add_network": "mipnet.embedding",
    "add_oracle": "mipnet.embedding.oracle",
    "solve": "mipnet.embedding",
    "Verdict": "mipnet.search",
    "find_adversarial": "mipnet.search",
    "maximize": "mipnet.search",
    "minimize": "mipnet.search",
    "minimal_distortion": "mipnet.search",
    "certified_radius": "mipnet.search",
    "robust_accuracy": "mipnet.search",
    "load_bounds": "mipnet.bounds",
    "save_bounds": "mipnet.bounds",
    "L2Ball": "mipnet.region",
    "L0Ball": "mipnet.region",
    "Constrained": "mipnet.region",
    "verify": "mipnet.search",
    "VerifyResult": "mipnet.search",
    "train_mlp": "mipnet.pruning",
    "hardware": "mipnet.hardware",
    "difference_bounds": "mipnet.certify",
    "testing": "mipnet.testing",
    "learning": "mipnet.learning",
    "add_trust_region": "mipnet.learning",
    "select_network": "mipnet.learning",
}

if TYPE_CHECKING:
    from mipnet import hardware as hardware
    from mipnet import learning as learning
    from mipnet import testing as testing
    from mipnet.bounds import compute_bounds as compute_bounds
    from mipnet.bounds import load_bounds as load_bounds
    from mipnet.bounds import save_bounds as save_bounds
    from mipnet.certify import difference_bounds as difference_bounds
    from mipnet.embedding import NetworkBlock as NetworkBlock
    from mipnet.embedding import add_ensemble as add_ensemble
    from mipnet.embedding import add_free_layer as add_free_layer
    from mipnet.embedding import add_network as add_network
    from mipnet.embedding import solve as solve
    from mipnet.embedding.oracle import add_oracle as add_oracle
    from mipnet.learning import add_trust_region as add_trust_region
    from mipnet.learning import select_network as select_network
    from mipnet.network import Network as Network
    from mipnet.network.readers import load as load
    from mipnet.network.writers import save as save
    from mipnet.network.writers import to_onnx as to_onnx
    from mipnet.network.writers import to_torch as to_torch
    from mipnet.pruning import Mask as Mask
    from mipnet.pruning import apply as apply
    from mipnet.pruning import compact as compact
    from mipnet.pruning import finetune as finetune
    from mipnet.pruning import prune as prune
    from mipnet.pruning import pruners as pruners
    from mipnet.pruning import train_mlp as train_mlp
    from mipnet.region import Box as Box
    from mipnet.region import Constrained as Constrained
    from mipnet.region import L0Ball as L0Ball
    from mipnet.region import L1Ball as L1Ball
    from mipnet.region import L2Ball as L2Ball
    from mipnet.region import LinfBall as LinfBall
    from mipnet.region import ball as ball
    from mipnet.search import Verdict as Verdict
    from mipnet.search import VerifyResult as VerifyResult
    from mipnet.search import certified_radius as certified_radius
    from mipnet.search import find_adversarial as find_adversarial
    from mipnet.search import maximize as maximize
    from mipnet.search import minimal_distortion as minimal_distortion
    from mipnet.search import minimize as minimize
    from mipnet.search import robust_accuracy as robust_accuracy
    from mipnet.search import verify as verify

__all__ = [
    "Box",
    "Constrained",
    "L0Ball",
    "L1Ball",
    "L2Ball",
    "LinfBall",
    "Mask",
    "Network",
    "NetworkBlock",
    "Verdict",
    "VerifyResult",
    "__version__",
    "add_ensemble",
    "add_free_layer",
    "add_network",
    "add_oracle",
    "add_trust_region",
    "apply",
    "ball",
    "certified_radius",
    "compact",
    "compute_bounds",
    "difference_bounds",
    "find_adversarial",
    "finetune",
    "hardware",
    "learning",
    "load",
    "load_bounds",
    "maximize",
    "minimal_distortion",
    "minimize",
    "prune",
    "pruners",
    "robust_accuracy",
    "save",
    "save_bounds",
    "select_network",
    "solve",
    "testing",
    "to_onnx",
    "to_torch",
    "train_mlp",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        msg = f"module 'mipnet' has no attribute {name!r}"
        raise AttributeError(msg)
    module = import_module(_PUBLIC[name])
    value = module if module.__name__ == f"mipnet.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
