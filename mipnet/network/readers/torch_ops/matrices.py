"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from mipnet.network.readers.combine import total
from mipnet.network.readers.products import dense, matmul
from mipnet.network.readers.torch_ops.step import Step, computed, reads
from mipnet.network.readers.values import RefusalError, Value


@reads("linear")
def linear(step: Step, input: Any, weight: Any, bias: Any = None) -> Value:
    """``input @ weight.T + bias``."""
    value = computed(input)
    for parameter in (weight, bias):
        if isinstance(parameter, Value):
            step.constant(parameter)
    return dense(step.graph, step.name, value, weight, bias)


@reads("matmul", "mm", "bmm", "mv")
def _matmul(step: Step, input: Any, other: Any) -> Value:
    if isinstance(input, Value) and isinstance(other, Value):
        reason = "multiplies two computed tensors, as attention does; use a product with a constant"
        raise RefusalError(reason)
    left = not isinstance(input, Value)
    constant = step.constant(input if left else other)
    value = computed(other if left else input)
    return matmul(step.graph, step.name, value, constant, left=left)


@reads("addmm")
def _addmm(
    step: Step, input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1
) -> Value:
    product = _matmul(step, mat1, mat2).apply(step.name, "mul", np.asarray(float(alpha)))
    if isinstance(input, Value):
        return total(step.graph, step.name, [product, input], (1.0, float(beta)))
    return product.apply(step.name, "add", beta * step.constant(input))
