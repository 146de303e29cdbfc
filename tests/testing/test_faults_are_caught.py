"""Deliberately wrong layers, formulations and pruning methods do not pass."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from formulations import BigM, Triangle, register_formulation
from mipnet.errors import MipnetError
from mipnet.network import Interval
from mipnet.network.layers import Abs, Affine, MaxPool, Tanh
from mipnet.pruning import Pruner, prunable_layers, register_pruner
from mipnet.testing import (
    ConformanceError,
    check_formulation,
    check_layer,
    check_pruner,
)


class NarrowInterval(Abs):
    def interval(self, *values: Interval) -> Interval:
        found = super().interval(*values)
        return Interval(found.lower, 0.9 * found.upper)


class LineTooHigh(Abs):
    def bracket(self, lower: Any, upper: Any) -> Any:
        found = super().bracket(lower, upper)
        return replace(found, below=found.below + 0.05)


class LineTooLow(Abs):
    def bracket(self, lower: Any, upper: Any) -> Any:
        found = super().bracket(lower, upper)
        return replace(found, above=0.5 * found.above)


class WrongGradient(Tanh):
    def derivative(self, x: Any) -> Any:
        return 1.1 * super().derivative(x)


class ShiftedRows(Abs):
    def encode(self, program: Any, *forms: Any, bounds: Any, formulation: Any) -> Any:
        found = super().encode(program, *forms, bounds=bounds, formulation=formulation)
        return found.scale(np.full(found.size, 1.01))


class RowsOfAnother(Tanh):
    """Pieces coarser than the band it states."""

    band = 0.001


class Forgetful(Affine):
    def encode(self, program: Any, *forms: Any, bounds: Any, formulation: Any) -> Any:
        return forms[0].affine(self.weight, np.zeros_like(self.bias))


class Crashing(Abs):
    def relax(self, *values: Interval) -> Any:
        raise ZeroDivisionError("oops")


class InPlace(MaxPool):
    def forward(self, *values: Any) -> Any:
        found = super().forward(*values)
        values[0][...] = 0.0
        return found


def vector(make: Any) -> Any:
    return lambda rng: (make(), [(4,)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (vector(NarrowInterval), "interval: output above an upper bound"),
        (vector(LineTooHigh), "backward: lower line above an output"),
        (vector(LineTooLow), "backward|lines: output above"),
        (vector(WrongGradient), "gradient and differences"),
        (vector(ShiftedRows), "formulation 'big_m', sparsity 0.0, solver 'highs'.*output forms at"),
        (vector(lambda: RowsOfAnother(0.2)), r"at the solution .*band 0\.001"),
        (lambda rng: (Forgetful(rng.normal(size=(2, 3)), rng.normal(size=2)), [(3,)]), "forms"),
        (vector(Crashing), "raised ZeroDivisionError: oops"),
        (lambda rng: (InPlace((2, 2)), [(1, 3, 3)]), "changes its inputs"),
    ],
)
def test_wrong_layers_are_caught(make: Any, message: str) -> None:
    with pytest.raises(ConformanceError, match=message) as caught:
        check_layer(make, ["big_m"], sparsity=[0.0], seeds=[3])
    assert f"layer {make(np.random.default_rng(0))[0].kind!r}" in str(caught.value)
    assert "seed 3" in str(caught.value)
    assert isinstance(caught.value, MipnetError)


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let tests register things without leaving a trace."""
    for module, name in (
        ("formulations.registry", "_FORMULATIONS"),
        ("mipnet.pruning.registry", "PRUNERS"),
    ):
        found = sys.modules[module]
        monkeypatch.setattr(found, name, dict(getattr(found, name)))
    return


class _Own(BigM):
    def unstable_parts(self, program: Any, form: Any, lower: Any, upper: Any) -> Any:
        raise NotImplementedError


class ConstantTooSmall(_Own):
    def unstable_parts(self, program: Any, form: Any, lower: Any, upper: Any) -> Any:
        return BigM.unstable_parts(self, program, form, lower, 0.6 * upper)


class PosesAsExact(Triangle):
    exact = True


class LeavesOutThePoints(Triangle):
    exact = True

    def unstable_relu(self, program: Any, form: Any, lower: Any, upper: Any) -> Any:
        known = len(program.definitions)
        found = super().unstable_relu(program, form, lower, upper)
        del program._definitions[known:]
        return found


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (ConstantTooSmall, "a forward pass breaks the program"),
        (PosesAsExact, "at the solution"),
        (LeavesOutThePoints, "breaks the program .* have no definition: program.define"),
    ],
)
def test_wrong_formulations_are_caught(scratch: None, cls: Any, message: str) -> None:
    register_formulation("wrong")(cls)
    with pytest.raises(ConformanceError, match=message) as caught:
        check_formulation("wrong", ["ReLU"])
    assert "layer 'ReLU', formulation 'wrong', sparsity 0.0" in str(caught.value)
    assert "seed 0" in str(caught.value)


def test_a_relaxation_that_is_none_is_caught(scratch: None) -> None:
    @register_formulation("wrong")
    class Slim(Triangle):
        def unstable_relu(self, program: Any, form: Any, lower: Any, upper: Any) -> Any:
            y = super().unstable_relu(program, form, lower, upper)
            program.add_rows(y, lower=-np.inf, upper=0.8 * upper)
            return y

    with pytest.raises(ConformanceError, match="a forward pass breaks the program"):
        check_formulation("wrong", ["ReLU"])


def test_wrong_pruning_methods_are_caught(scratch: None) -> None:
    @register_pruner("unsteady")
    @dataclass(kw_only=True)
    class Unsteady(Pruner):
        source = "test"
        needs = frozenset()

        def scores(self, network: Any, data: Any, rng: Any) -> Any:
            found = prunable_layers(network).items()
            return {n: np.random.default_rng().random(g.width) for n, g in found}

    with pytest.raises(ConformanceError, match=r"pruner 'unsteady', seed 0: the same random_state"):
        check_pruner("unsteady")

    @register_pruner("greedy")
    @dataclass(kw_only=True)
    class Greedy(Pruner):
        source = "test"
        needs = frozenset({"data"})

        def scores(self, network: Any, data: Any, rng: Any) -> Any:
            return {n: np.zeros(g.width) for n, g in prunable_layers(network).items()}

        def choose(self, job: Any) -> Any:
            found = super().choose(job)
            return replace(found, kept={n: [0] for n in found.kept})

    with pytest.raises(ConformanceError, match=r"keep 0.0.*kept \[1, 1\] of \[8, 6\], wanted 0"):
        check_pruner("greedy")
