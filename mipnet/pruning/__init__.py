"""Pruning: masks, the small networks they make, and one file per method."""

from mipnet.pruning import methods
from mipnet.pruning.apply import apply
from mipnet.pruning.base import Choice, Job, Pruner
from mipnet.pruning.compact import compact
from mipnet.pruning.mask import LayerMask, Mask, Provenance
from mipnet.pruning.registry import prune, pruner, pruners, register_pruner
from mipnet.pruning.report import LayerReport, PruneReport, PruneResult
from mipnet.pruning.training import finetune, train_mlp
from mipnet.pruning.units import Group, prunable_layers

__all__ = [
    "Choice",
    "Group",
    "Job",
    "LayerMask",
    "LayerReport",
    "Mask",
    "Provenance",
    "PruneReport",
    "PruneResult",
    "Pruner",
    "apply",
    "compact",
    "finetune",
    "methods",
    "prunable_layers",
    "prune",
    "pruner",
    "pruners",
    "register_pruner",
    "train_mlp",
]
