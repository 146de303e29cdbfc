"""Means, sums and extremes over axes."""

from __future__ import annotations

from mipnet.network.readers.combine import reduced
from mipnet.network.readers.onnx_ops.step import Step, reads
from mipnet.network.readers.values import Value

KINDS = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}


@reads(*KINDS)
def _reduce(step: Step) -> Value:
    axes = step.integers(1, "axes")
    if not axes:
        if step.attribute("noop_with_empty_axes", 0):
            return step.value()
        value = step.value()
        axes = None if value.lost else list(range(len(value.shape)))
    keep = bool(step.attribute("keepdims", 1))
    return reduced(
        step.graph, step.name, step.value(), axes, keep=keep, kind=KINDS[step.node.op_type]
    )
