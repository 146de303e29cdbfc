"""Matrix products."""

from __future__ import annotations

from typing import cast

import numpy as np

from mipnet.errors import NetworkError
from mipnet.network.numbers import Array
from mipnet.network.readers.combine import total
from mipnet.network.readers.onnx_ops.step import Step, reads
from mipnet.network.readers.products import matmul
from mipnet.network.readers.values import RefusalError, Value


@reads("MatMul")
def _matmul(step: Step) -> Value:
    place = _one(step)
    constant = step.parameter(1 - place)
    return matmul(step.graph, step.name, step.value(place), constant, left=place == 1)


@reads("Gemm")
def _gemm(step: Step) -> Value:
    flips = [bool(step.attribute(key, 0)) for key in ("transA", "transB")]
    alpha, beta = step.number("alpha", 1.0), step.number("beta", 1.0)
    factors: list[Value | Array] = []
    for k, flip in enumerate(flips):
        factor = step.value(k) if k in step.computed else step.parameter(k)
        known = isinstance(factor, Value) and factor.lost
        if not known and len(factor.shape) != 2:
            msg = f"layer {step.name!r}: Gemm takes matrices, got shape {factor.shape}"
            raise NetworkError(msg)
        if flip:
            factor = factor.transpose(step.name, (1, 0)) if isinstance(factor, Value) else factor.T
        factors.append(factor)
    first, second = factors
    if isinstance(first, Value) and isinstance(second, Value):
        _one(step)
    if isinstance(first, Value):
        result = matmul(step.graph, step.name, first, alpha * cast("Array", second))
    elif isinstance(second, Value):
        result = matmul(step.graph, step.name, second, alpha * first, left=True)
    else:
        product = alpha * (first @ second)
        bias = step.value(2).broadcast(step.name, product.shape)
        return bias.apply(step.name, "mul", np.asarray(beta)).apply(step.name, "add", product)
    if len(step.inputs) < 3 or step.inputs[2] is None:
        return result
    if 2 in step.computed:
        return total(step.graph, step.name, [result, step.value(2)], (1.0, beta))
    shift = beta * step.parameter(2)
    summed = result.apply(step.name, "add", shift)
    if summed.shape != result.shape:
        msg = f"layer {step.name!r}: C of shape {shift.shape} does not fit {result.shape}"
        raise NetworkError(msg)
    return summed


def _one(step: Step) -> int:
    """Position of the one factor that is no constant."""
    places = [i for i in step.computed if i < 2]
    if len(places) > 1:
        reason = "multiplies two computed tensors, as attention does; use a product with a constant"
        raise RefusalError(reason)
    return places[0]
