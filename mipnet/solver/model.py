"""Handing a program over to HiGHS in one call."""

from __future__ import annotations

from typing import Any

import numpy as np

from formulations import ProgramArrays
from mipnet.errors import SolverError


def refuse_constructs(arrays: ProgramArrays) -> None:
    """Refuse a program that says more than rows, bounds and integers do.

    Raises
    ------
    SolverError
        When it holds SOS1 sets, complementarity conditions, indicator constraints or expressions:
        left out, they would leave a relaxation that answers another question.
    """
    if arrays.constructs:
        msg = f"the program holds {arrays.constructs.summary()}, which HiGHS does not know; choose "
        msg += "a formulation of rows and integers ('big_m', 'partition', 'ideal'), or put the "
        msg += "network into a Pyomo model (mipnet.NetworkBlock) and give it to a solver that does"
        raise SolverError(msg)


def load_model(arrays: ProgramArrays) -> Any:
    """Return a silent HiGHS object that holds the program, handed over in one call.

    Raises
    ------
    SolverError
        When HiGHS refuses the model, keeps fewer entries than it was given, or has no word for
        what the program holds beside rows and integers.
    """
    import highspy

    refuse_constructs(arrays)
    highs = highspy.Highs()
    accepted(highs.setOptionValue("output_flag", False), "option output_flag")
    # Before passModel: entries below the default would be dropped on the way in.
    accepted(highs.setOptionValue("small_matrix_value", 1e-12), "option small_matrix_value")
    matrix = arrays.matrix
    status = highs.passModel(
        arrays.n_columns,
        arrays.n_rows,
        arrays.n_nonzeros,
        0,
        int(highspy.MatrixFormat.kRowwise),
        0,
        int(highspy.ObjSense.kMinimize),
        arrays.offset,
        arrays.cost,
        arrays.lower,
        arrays.upper,
        arrays.row_lower,
        arrays.row_upper,
        matrix.indptr[:-1].astype(np.int32, copy=False) if arrays.n_rows else np.zeros(1, np.int32),
        matrix.indices.astype(np.int32, copy=False) if arrays.n_nonzeros else np.zeros(1, np.int32),
        matrix.data if arrays.n_nonzeros else np.zeros(1),
        np.zeros(1, np.int32),
        np.zeros(1, np.int32),
        np.zeros(1),
        arrays.integer.astype(np.int32),
    )
    accepted(status, "passModel")
    if highs.getNumNz() != arrays.n_nonzeros:
        msg = f"HiGHS kept {highs.getNumNz()} of {arrays.n_nonzeros} matrix entries"
        raise SolverError(msg)
    return highs


def set_options(highs: Any, options: dict[str, object]) -> None:
    """Set HiGHS options.

    Raises
    ------
    SolverError
        When HiGHS refuses one.
    """
    for name, value in options.items():
        accepted(highs.setOptionValue(name, value), f"option {name} = {value!r}")


def accepted(status: Any, what: str) -> None:
    """Go on when HiGHS took something.

    Raises
    ------
    SolverError
        When it did not; names what.
    """
    import highspy

    if status == highspy.HighsStatus.kError:
        msg = f"HiGHS refused the {what}"
        raise SolverError(msg)
