"""Pruning: masks, the small networks they make, and one file per method."""

from mipnet.pruning import methods
from mipnet.pruning.apply import apply
from mipnet.pruning.base import Pruner
from mipnet.pruning.budgets import Budget, Keep, Macs, Parameters, Tiles
from mipnet.pruning.compact import compact
from mipnet.pruning.compensate import mean_shifts
from mipnet.pruning.data import Data
from mipnet.pruning.job import Choice, Job
from mipnet.pruning.mask import LayerMask, Mask
from mipnet.pruning.provenance import Provenance
from mipnet.pruning.registry import describe_methods, prune, pruner, pruners, register_pruner
from mipnet.pruning.report import LayerReport, PruneReport, PruneResult
from mipnet.pruning.saving import save_result
from mipnet.pruning.tiles import TileGrid, tile_grids
from mipnet.pruning.training import finetune, quality, train_mlp
from mipnet.pruning.units import Group, Units, prunable_layers, units_of

__all__ = [
    "Budget",
    "Choice",
    "Data",
    "Group",
    "Job",
    "Keep",
    "LayerMask",
    "LayerReport",
    "Macs",
    "Mask",
    "Parameters",
    "Provenance",
    "PruneReport",
    "PruneResult",
    "Pruner",
    "TileGrid",
    "Tiles",
    "Units",
    "apply",
    "compact",
    "describe_methods",
    "finetune",
    "mean_shifts",
    "methods",
    "prunable_layers",
    "prune",
    "pruner",
    "pruners",
    "quality",
    "register_pruner",
    "save_result",
    "tile_grids",
    "train_mlp",
    "units_of",
]
