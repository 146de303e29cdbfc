"""Mixed-integer algebra of neural networks: programs, affine forms, formulations.

This package knows columns, rows and bounds. It knows no network, no solver and no modelling
language, and depends on numpy and scipy alone.
"""

from formulations.argmax import argmax_rows, top_rows
from formulations.auto import Auto, worth
from formulations.big_m import BigM
from formulations.clip import clip_rows
from formulations.complementarity import Complementarity
from formulations.constructs import Constructs, Separator
from formulations.definition import Definition, Formula
from formulations.expression import AffineForm
from formulations.hinge import hinge_rows
from formulations.ideal import Ideal
from formulations.indicator import Indicator
from formulations.max_pool import max_rows
from formulations.mixed import Mixed
from formulations.partition import Partition
from formulations.piecewise import Pieces, piecewise_rows
from formulations.program import Program, ProgramArrays
from formulations.reduced_space import ReducedSpace
from formulations.registry import (
    Formulation,
    PartsFormulation,
    formulation,
    formulations,
    register_formulation,
)
from formulations.relu import relu_rows
from formulations.sos1 import SOS1
from formulations.triangle import Triangle

__all__ = [
    "SOS1",
    "AffineForm",
    "Auto",
    "BigM",
    "Complementarity",
    "Constructs",
    "Definition",
    "Formula",
    "Formulation",
    "Ideal",
    "Indicator",
    "Mixed",
    "Partition",
    "PartsFormulation",
    "Pieces",
    "Program",
    "ProgramArrays",
    "ReducedSpace",
    "Separator",
    "Triangle",
    "argmax_rows",
    "clip_rows",
    "formulation",
    "formulations",
    "hinge_rows",
    "max_rows",
    "piecewise_rows",
    "register_formulation",
    "relu_rows",
    "top_rows",
    "worth",
]
