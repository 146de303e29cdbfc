"""A solver that never comes back, whatever limit it is given."""

from __future__ import annotations

import ctypes
from typing import Any

from mipnet.bench import register_solver
from mipnet.solver import Solution, solve


@register_solver("stuck", version=lambda: "0")
def stuck(arrays: Any, **options: Any) -> Solution:
    ctypes.PyDLL(None).sleep(3600)
    return solve(arrays, **options)
