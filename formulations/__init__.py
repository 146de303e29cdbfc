"""Mixed-integer algebra of neural networks: programs, affine forms, formulations.

This package knows columns, rows and bounds. It knows no network, no solver and no modelling
language, and depends on numpy and scipy alone.
"""

from formulations.big_m import BigM
from formulations.expression import AffineForm
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
    "Program",
    "ProgramArrays",
    "Triangle",
    "formulation",
    "formulations",
    "register_formulation",
    "relu_rows",
]
