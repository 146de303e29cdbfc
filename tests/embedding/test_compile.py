import numpy as np
import pyomo.environ as pyo
import pytest

from mipnet.embedding import NetworkBlock, compile
from mipnet.embedding.compile import compile_model
from mipnet.errors import EmbeddingError


@pytest.mark.parametrize("size", [1, 3, 1 << 16])
def test_matrices_are_stacked_whole_in_slices_of_any_size(make_net, monkeypatch, size):
    monkeypatch.setattr(compile, "_SLICE", size)
    m = pyo.ConcreteModel()
    m.y = pyo.Var(bounds=(0, 1))
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.first = pyo.Constraint(expr=2 * m.y - m.x[1] <= 3)
    m.a = NetworkBlock(make_net(2, 4, 2), [m.x[1], m.x[0]])
    m.b = NetworkBlock(make_net(2, 3, 1), m.a.outputs)
    m.last = pyo.Constraint(expr=m.y + m.b.outputs[0] - m.y + m.x[0] >= 1)
    found = compile_model(m)
    expected = []
    for row in m.component_data_objects(pyo.Constraint, active=True):
        if row.parent_component().local_name == "input_range":
            continue
        terms = {}
        for value, var in zip(*coefficients(row.body), strict=True):
            terms[var.name] = terms.get(var.name, 0.0) + value
        expected.append({name: value for name, value in terms.items() if value})
    names = [v.name for v in found.variables]
    dense = found.arrays.matrix.toarray()
    assert found.arrays.matrix.has_canonical_format
    got = [{names[j]: float(row[j]) for j in np.flatnonzero(row)} for row in dense]
    assert sorted(map(repr, map(sorted, map(dict.items, got)))) == sorted(
        map(repr, map(sorted, map(dict.items, expected)))
    )


def coefficients(body):
    from pyomo.repn import generate_standard_repn

    form = generate_standard_repn(body)
    return form.linear_coefs, form.linear_vars


def test_more_coefficients_than_can_be_counted_are_refused():
    class Huge:
        nnz = 2**31

    with pytest.raises(EmbeddingError, match="more than HiGHS can hold"):
        compile._stacked([(Huge(), np.zeros(1, np.int32))], 1)
