"""Mixed-integer algebra of neural networks: programs, affine forms, formulations.

This package knows columns, rows and bounds. It knows no network, no solver and no modelling
language, and depends on numpy and scipy alone.
"""

from formulations.argmax import argmax_rows, top_rows
from formulations.big_m import BigM
from formulations.clip import clip_rows
from formulations.expression import AffineForm
from formulations.hinge import hinge_rows
from formulations.max_pool import max_rows
from formulations.piecewise import Pieces, piecewise_rows
from formulations.program import Definition, Program, ProgramArrays
from formulations.registry import (
    Formulation,
    formulation,
    formulations,
    register_formulation,
)
from formulations.relu import relu_rows
from formulations.triangle import Triangle

__all__ = [
    "AffineForm",
    "BigM",
    "Definition",
    "Formulation",
    "Pieces",
    "Program",
    "ProgramArrays",
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
]
