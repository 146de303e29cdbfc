"""What speaks for and against an answer: replays, violations, bands, relaxations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mipnet.embedding.base_block import REPLAY_TOLERANCE, EmbeddedBlockData
from mipnet.embedding.compile import CompiledModel
from mipnet.embedding.inputs import reach
from mipnet.errors import SolverError
from mipnet.solver import Solution, Status

Array = npt.NDArray[np.float64]


def hold_against(solution: Solution, known: float) -> None:
    """Refuse an answer that a known feasible point contradicts.

    Raises
    ------
    SolverError
        When the model is called infeasible, or the proven bound is worse than the point.
    """
    slack = 1e-6 * (1.0 + abs(known))
    if solution.status is Status.INFEASIBLE or solution.bound > known + slack:
        msg = (
            f"HiGHS {solution.version} answers {solution.status.value!r} with bound "
            f"{solution.bound:.9g}, yet a feasible point of the model reaches {known:.9g}; the "
            "model is numerically delicate: rescale the network or your constraints"
        )
        raise SolverError(msg)


def replay(compiled: CompiledModel) -> dict[str, float]:
    """Replay error of every block whose inputs and outputs were loaded, by name."""
    read = [(block, [*block.inputs.values(), *block.outputs.values()]) for block in compiled.blocks]
    read += [(block, list(block.inputs.values())) for block in compiled.others]
    return {
        block.name: block.error()
        for block, variables in read
        if (compiled.columns(variables) >= 0).all()
    }


def soft(compiled: CompiledModel) -> bool:
    """Whether some network is only held within a band, or relaxed."""
    reports = (block.report() for block in compiled.blocks)
    return any(report.bands or not report.exact for report in reports)


def bands(compiled: CompiledModel) -> dict[str, float]:
    """Layers held within a band, as ``block.layer``, and its width."""
    return {
        f"{block.name}.{layer}": width
        for block in compiled.blocks
        for layer, width in block.report().bands.items()
    }


def remarks(compiled: CompiledModel) -> Iterator[str]:
    """Say what of the model may not be what its user thinks."""
    for block in (*compiled.blocks, *compiled.others):
        yield from _widening(block)
    for name in compiled.idle:
        yield f"{name} is used, but its block is deactivated: it may take any value"


def doubts(
    compiled: CompiledModel, errors: dict[str, float], violation: float, values: Array
) -> Iterator[str]:
    """Say what speaks against the loaded solution."""
    for block in (*compiled.blocks, *compiled.others):
        yield from block.doubts(errors.get(block.name, 0.0))
    if not violation <= REPLAY_TOLERANCE * (1.0 + float(np.abs(values).max(initial=0.0))):
        yield f"the loaded solution violates a constraint by {violation:.3g}; do not trust it"


def apart(
    compiled: CompiledModel, solution: Solution, value: float, tolerance: float
) -> Iterator[str]:
    """Say what bands and relaxations cost: the value and the bound of a solved program differ.

    Parameters
    ----------
    compiled : CompiledModel
    solution : Solution
    value : float
        Objective of the loaded point.
    tolerance : float
        Gap that the program was solved to.
    """
    if solution.status is not Status.OPTIMAL or not compiled.arrays.cost.any():
        return
    by = f"value and bound are {max(0.0, value - solution.bound):.3g} apart"
    wide = [f"{name} ({width:g})" for name, width in bands(compiled).items() if width > tolerance]
    if wide:
        yield (
            f"{by}: held within a band wider than the gap tolerance {tolerance:.3g}: "
            + ", ".join(wide)
        )
    relaxed = [b.name for b in compiled.blocks if not b.report().exact]
    if relaxed:
        yield f"{by}: {', '.join(relaxed)} is only relaxed, so that this is a bound, no optimum"


def _widening(block: EmbeddedBlockData) -> Iterator[str]:
    """Say so when the block, not the variables, now limits the inputs."""
    widened = block.widened_inputs()
    if not widened:
        return
    i = widened[0]
    given, region = block.given(i), block.held()
    least, most = reach(given)
    now = f"= {least:g}" if least == most else f"in [{least:g}, {most:g}]"
    what = f"{block.name}: {len(widened)} input(s) may leave the region it was built for, "
    what += f"first {given} {now}, built for [{region.lower[i]}, {region.upper[i]}]; "
    yield what + "the model stays within that region: rebuild() the block to widen it"
