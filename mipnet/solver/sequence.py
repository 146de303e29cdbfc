"""Many linear programs over the same rows: only the objective changes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from formulations import ProgramArrays
from mipnet.errors import SolverError
from mipnet.solver.coefficients import prepare
from mipnet.solver.model import load_model, set_options
from mipnet.solver.pool import POOL
from mipnet.solver.version import highs_version

Array = npt.NDArray[np.float64]


class LinearSequence:
    """HiGHS kept warm over the linear relaxation of a program.

    The basis of one solve starts the next, so a solve costs a few simplex iterations. One object
    serves one thread.

    Parameters
    ----------
    arrays : ProgramArrays
        Integrality is ignored.

    Attributes
    ----------
    values : array, shape (n_columns,)
        Columns the last solve ended with, feasible or not.
    """

    def __init__(self, arrays: ProgramArrays) -> None:
        highs_version()
        prepared = prepare(arrays).arrays
        self.arrays = prepared
        self.values = np.zeros(prepared.n_columns)
        relaxed = np.zeros(prepared.n_columns, dtype=np.int32)
        self._highs = load_model(prepared)
        self._columns = np.arange(prepared.n_columns, dtype=np.int32)
        self._highs.changeColsIntegrality(
            prepared.n_columns, self._columns, relaxed.astype(np.uint8)
        )
        # A warm basis makes presolve a cost without a gain.
        set_options(self._highs, {"presolve": "off", "threads": 1, "solver": "simplex"})

    def duals(self, cost: Array, time_limit: float | None = None) -> Array | None:
        """Row duals of ``min cost.v``, or None when the solve did not end with any.

        Any vector of row duals proves a bound (see :func:`mipnet.bounds.safe.dual_bounds`), so
        the status of the solve is not asked for more than that.

        Parameters
        ----------
        cost : array, shape (n_columns,)
        time_limit : float, optional
            Seconds for this solve.
        """
        if time_limit is not None:
            # The limit of HiGHS counts over the life of the object.
            limit = float(self._highs.getRunTime()) + max(0.0, time_limit)
            set_options(self._highs, {"time_limit": limit})
        status = self._highs.changeColsCost(cost.size, self._columns, cost)
        if status.name == "kError":
            msg = "HiGHS refused the objective"
            raise SolverError(msg)
        POOL.enter(1)
        try:
            outcome = self._highs.run()
        except (RuntimeError, MemoryError):
            # A run that dies has no duals, and bounds stay as they are.
            return None
        finally:
            POOL.leave()
        solution = self._highs.getSolution()
        self.values = np.array(solution.col_value, dtype=np.float64)
        if outcome.name == "kError" or not solution.dual_valid:
            return None
        duals = np.array(solution.row_dual, dtype=np.float64)
        return duals if np.isfinite(duals).all() else None
