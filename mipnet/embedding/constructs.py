"""What Pyomo has for SOS1 sets, complementarity conditions, indicators and expressions.

A program describes them by columns (:class:`formulations.Constructs`); here they become components:

==================  =============================================================================
``sos1``            ``SOSConstraint``, one set for each neuron
``complementary``   ``Complementarity`` of :mod:`pyomo.mpec`; its transformations make products
                    (``mpec.simple_nonlinear``), disjunctions (``mpec.simple_disjunction``) or the
                    conditions of AMPL (``mpec.nl``) of it
``either``          ``Disjunction`` of :mod:`pyomo.gdp`, of ``active_phase`` and
                    ``inactive_phase``; ``phase_links`` ties the binaries. Pyomo has no other word
                    for an indicator constraint; ``gdp.bigm`` and ``gdp.hull`` turn it into rows
``expressions``     ``Expression``, named, so that nested ones are not copied. Writers of models
                    take each once, ``pyo.value`` follows every mention: for shallow networks
``mixed_rows``      ``Constraint``: rows over variables and expressions
==================  =============================================================================
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
from pyomo.gdp import Disjunct, Disjunction
from pyomo.mpec import Complementarity, complements

from formulations import Constructs, Formula, ProgramArrays
from mipnet.embedding.rows import RowArrays

#: Components that :func:`add_conditions` and :func:`add_expressions` make.
COMPONENTS = (
    "sos1", "complementary", "either", "active_phase", "inactive_phase", "phase_links",
    "expressions", "mixed_rows",
)  # fmt: skip
#: What a closed form is written with.
_FUNCTIONS = SimpleNamespace(exp=pyo.exp, log=pyo.log, tanh=pyo.tanh)

Objects = npt.NDArray[np.object_]


def add_expressions(block: Any, known: Constructs, columns: Objects, outputs: Any) -> None:
    """Write the named expressions of a program, and put them into ``columns``.

    Parameters
    ----------
    block : block
        Gets the component ``expressions``.
    known : Constructs
    columns : array of object, shape (n_columns,)
        Variables of the other columns; filled in place.
    outputs : dict of int to ExpressionData
        Expressions that are there already, by column; they get their content.
    """
    if not known.expressions:
        return
    inner = [j for j in known.named.tolist() if j not in outputs]
    block.expressions = pyo.Expression(range(len(inner)))
    place = dict(zip(inner, block.expressions.index_set(), strict=True))
    for definition in known.expressions:
        rule = definition.rule
        matrix, constant = definition.form.coefficients, definition.form.constant
        for k, column in enumerate(definition.columns.tolist()):
            entries = slice(matrix.indptr[k], matrix.indptr[k + 1])
            a = _combined(matrix.data[entries], columns[matrix.indices[entries]])
            written = _written(a + float(constant[k]), rule)
            if column in outputs:
                outputs[column].set_value(written)
                columns[column] = outputs[column]
            else:
                block.expressions[place[column]] = written
                columns[column] = block.expressions[place[column]]


def evaluate(known: Constructs, values: npt.NDArray[np.float64]) -> None:
    """Compute the expressions of a program from the values of its variables, each of them once.

    Pyomo evaluates a named expression anew wherever it stands, which multiplies from layer to
    layer.

    Parameters
    ----------
    known : Constructs
    values : array, shape (n_columns,)
        Filled in place where columns are expressions.
    """
    for definition in known.expressions:
        a = definition.form.evaluate(values)
        values[definition.columns] = [_written(v, definition.rule, math) for v in a.tolist()]


def add_conditions(block: Any, arrays: ProgramArrays, columns: Objects) -> RowArrays:
    """Add the conditions of a program as components of a block.

    Parameters
    ----------
    block : block
    arrays : ProgramArrays
    columns : array of object, shape (n_columns,)
        Variable or expression of each column.

    Returns
    -------
    RowArrays
        The rows that are linear in variables; those over expressions are among the components.
    """
    known = arrays.constructs
    if len(known.sos1):
        block.sos1 = pyo.SOSConstraint(range(len(known.sos1)), sos=1, rule=_later)
        for k, pair in enumerate(known.sos1):
            block.sos1.add(k, list(columns[pair]), [1, 2])
    if len(known.complementary):
        block.complementary = Complementarity(range(len(known.complementary)))
        for k, (a, b) in enumerate(columns[known.complementary]):
            block.complementary.add(k, complements(a >= 0, b >= 0))
    if len(known.indicators):
        _add_disjunctions(block, known, columns)
    return _add_mixed_rows(block, arrays, columns)


def _add_disjunctions(block: Any, known: Constructs, columns: Objects) -> None:
    """One disjunction for each binary: what is zero where it is 1, and where it is 0."""
    binaries = np.unique(known.indicators[:, 0])
    block.active_phase = Disjunct(range(binaries.size))
    block.inactive_phase = Disjunct(range(binaries.size))
    block.either = Disjunction(range(binaries.size))
    block.phase_links = pyo.Constraint(range(binaries.size))
    for k, binary in enumerate(binaries.tolist()):
        sides = (block.inactive_phase[k], block.active_phase[k])
        for value, disjunct in enumerate(sides):
            own = known.indicators[(known.indicators[:, 0] == binary)
                                   & (known.indicators[:, 1] == value), 2]  # fmt: skip
            disjunct.zero = pyo.Constraint(range(own.size))
            for i, column in enumerate(own.tolist()):
                disjunct.zero[i] = columns[column] == 0
        block.either[k] = list(sides)
        block.phase_links[k] = columns[binary] == sides[1].binary_indicator_var


def _add_mixed_rows(block: Any, arrays: ProgramArrays, columns: Objects) -> RowArrays:
    """Write the rows over expressions; return the others."""
    matrix, low, high = arrays.matrix, arrays.row_lower, arrays.row_upper
    if not arrays.constructs.expressions:
        # The arrays themselves, not a copy.
        return RowArrays.of_program(arrays)
    named = np.zeros(arrays.n_columns)
    named[arrays.constructs.named] = 1.0
    mixed = np.flatnonzero(abs(matrix) @ named)
    if not mixed.size:
        return RowArrays.of_program(arrays)
    block.mixed_rows = pyo.Constraint(range(mixed.size))
    for k, row in enumerate(mixed.tolist()):
        entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
        body = _combined(matrix.data[entries], columns[matrix.indices[entries]])
        ends = (
            None if np.isinf(low[row]) else low[row],
            None if np.isinf(high[row]) else high[row],
        )
        block.mixed_rows[k] = body == ends[0] if low[row] == high[row] else (ends[0], body, ends[1])
    others = np.setdiff1d(np.arange(arrays.n_rows), mixed)
    return RowArrays(matrix[others], low[others], high[others])


def _combined(coefficients: npt.NDArray[np.float64], members: Objects) -> Any:
    """Linear combination of variables and expressions."""
    return sum(c * v for c, v in zip(coefficients.tolist(), members.tolist(), strict=True))


def _written(a: Any, rule: Any, functions: Any = _FUNCTIONS) -> Any:
    """Expression of a rule at an expression ``a``, or number at a number."""
    if isinstance(rule, Formula):
        return rule.symbolic(a, functions)
    return {
        "identity": lambda: a,
        "positive_part": lambda: 0.5 * (a + abs(a)),
        "negative_part": lambda: 0.5 * (abs(a) - a),
    }[rule]()


def _later(block: Any, k: int) -> Any:
    """Rule of a component whose members are added one by one; a function that can be pickled."""
    del block, k
    return pyo.SOSConstraint.Skip
