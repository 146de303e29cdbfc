"""Limits that are none are refused before anything is solved."""

from __future__ import annotations

import math

import pyomo.environ as pyo
import pytest

import mipnet
from mipnet.errors import QueryError


@pytest.mark.parametrize(
    "options",
    [{"time_limit": "a"}, {"time_limit": -1}, {"time_limit": math.nan}, {"threads": 0}],
)
def test_limits_are_checked(options):
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.goal = pyo.Objective(expr=model.x)
    with pytest.raises(QueryError, match=next(iter(options))):
        mipnet.solve(model, **options)
