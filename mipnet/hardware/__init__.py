"""What a mask costs on a systolic array: cycles, utilisation, traffic, stalls and energy.

>>> from mipnet.hardware import cost
>>> cost([(64, 64, 64)], array="16x16", dataflow="ws").cycles
1760
"""

from mipnet.hardware.blocks import attention, conv, dense, feed_forward, transformer_block
from mipnet.hardware.cost import cost, staircase
from mipnet.hardware.costs import Figures, GemmCosts
from mipnet.hardware.design import DesignPoint, DesignSpace, pareto_front
from mipnet.hardware.energy import EnergyTable, energy_table, energy_tables
from mipnet.hardware.evaluate import evaluate
from mipnet.hardware.extract import extract, register_gemm, weight_matrices, with_matrices
from mipnet.hardware.gemm import Gemm, Workload
from mipnet.hardware.machine import Machine, Memory, Precision
from mipnet.hardware.maskfile import load_masks, save_masks
from mipnet.hardware.masks import ElementMask, NMMask, TileMask
from mipnet.hardware.packing import Packing, pack
from mipnet.hardware.result import HardwareCost, LayerCost
from mipnet.hardware.roofline import Roofline
from mipnet.hardware.savings import Ranking, Savings
from mipnet.hardware.scalesim import ScaleSimReport, scalesim_report
from mipnet.hardware.staircase import Staircase
from mipnet.hardware.sweep import sweep
from mipnet.hardware.tiles import prune_tiles, tile_scores

__all__ = [
    "DesignPoint",
    "DesignSpace",
    "ElementMask",
    "EnergyTable",
    "Figures",
    "Gemm",
    "GemmCosts",
    "HardwareCost",
    "LayerCost",
    "Machine",
    "Memory",
    "NMMask",
    "Packing",
    "Precision",
    "Ranking",
    "Roofline",
    "Savings",
    "ScaleSimReport",
    "Staircase",
    "TileMask",
    "Workload",
    "attention",
    "conv",
    "cost",
    "dense",
    "energy_table",
    "energy_tables",
    "evaluate",
    "extract",
    "feed_forward",
    "load_masks",
    "pack",
    "pareto_front",
    "prune_tiles",
    "register_gemm",
    "save_masks",
    "scalesim_report",
    "staircase",
    "sweep",
    "tile_scores",
    "transformer_block",
    "weight_matrices",
    "with_matrices",
]
