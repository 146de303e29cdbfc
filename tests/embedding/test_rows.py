import numpy as np
import pyomo.environ as pyo
import pytest
import scipy.sparse as sp

from mipnet.embedding.rows import RowArrays, Rows


@pytest.fixture
def model():
    m = pyo.ConcreteModel()
    m.v = pyo.Var(range(3), initialize={0: 1.0, 1: 2.0, 2: 3.0})
    matrix = sp.csr_array(np.array([[1.0, 0, -2], [0, 3, 0], [1, 1, 1], [0, 0.5, 0.25]]))
    lower, upper = np.array([-np.inf, 6, 0, -1]), np.array([4, 6, np.inf, 5.0])
    m.rows = Rows(RowArrays(matrix, lower, upper), list(m.v.values()))
    return m


def test_rows_are_constraints_of_all_kinds(model):
    found = [(c.lb, c.body(), c.ub, c.equality) for c in model.rows.values()]
    assert found == [
        (None, -5, 4, False),
        (6, 6, 6, True),
        (0, 6, None, False),
        (-1, 1.75, 5, False),
    ]
    assert [c.name for c in model.component_data_objects(pyo.Constraint)] == [
        f"rows[{i}]" for i in range(4)
    ]
    assert [c.uslack() for c in model.rows.values()] == [9, 0, np.inf, 3.25]


def test_expressions_are_written_once(model):
    assert model.rows[2].expr is model.rows[2].expr
    assert model.rows[2].expr is model.rows[2].get_value()


def test_replacing_a_row_takes_it_from_the_matrix(model):
    model.rows[1].set_value(model.v[0] <= 7)
    assert model.rows.kept().tolist() == [0, 2, 3]
    assert [str(c.expr) for c in model.rows.replaced()] == ["v[0]  <=  7"]
    with pytest.raises(ValueError, match="proper"):
        model.rows[2].set_value("nothing")
    assert model.rows.kept().tolist() == [0, 2, 3]


def test_deactivated_and_deleted_rows_do_not_count(model):
    model.rows[0].deactivate()
    del model.rows[3]
    assert model.rows.kept().tolist() == [1, 2]
    model.rows[3] = model.v[0] >= 0
    assert [c.name for c in model.rows.replaced()] == ["rows[3]"]
    model.rows.deactivate()
    assert model.rows.kept().size == 0


def test_no_rows():
    m = pyo.ConcreteModel()
    m.rows = Rows(RowArrays(sp.csr_array((0, 2)), np.zeros(0), np.zeros(0)), [])
    assert list(m.component_data_objects(pyo.Constraint)) == []
