"""Means, sums and extremes over axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mipnet.network.readers.combine import reduced
from mipnet.network.readers.torch_ops.step import Step, computed, reads
from mipnet.network.readers.values import RefusalError, Value


def _register(name: str, kind: str) -> None:
    @reads(name)
    def rule(
        step: Step,
        input: Any,
        dim: int | Sequence[int] | None = None,
        keepdim: bool = False,
        *,
        dtype: Any = None,
    ) -> Value:
        del dtype
        value = computed(input)
        if dim is None or dim == ():
            if value.batched and not value.lost:
                reason = "runs over the batch axis too; name the other axes with dim="
                raise RefusalError(reason)
            axes = None
        else:
            axes = [int(d) for d in dim] if isinstance(dim, (tuple, list)) else [int(dim)]  # type: ignore[arg-type]
        return reduced(step.graph, step.name, value, axes, keep=bool(keepdim), kind=kind)


for _name, _kind in (("mean", "mean"), ("sum", "sum"), ("amax", "max"), ("amin", "min")):
    _register(_name, _kind)
