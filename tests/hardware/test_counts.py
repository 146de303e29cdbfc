"""Counts are exact or refused: never wrapped, never wrong."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.errors import QueryError
from mipnet.hardware import (
    Gemm,
    Memory,
    NMMask,
    Precision,
    TileMask,
    attention,
    conv,
    cost,
    evaluate,
    staircase,
    sweep,
)
from mipnet.hardware.counts import LARGEST, total

HALF = TileMask(np.eye(2, dtype=bool), (16, 16), (32, 32))


@pytest.mark.parametrize(
    ("shapes", "batch", "said"),
    [
        ((4, 5, 5), 2**62 + 1, "'gemm0': M = 4 times batch"),
        ((4, 5, 5), 2**61, "'gemm0': M = 4 times batch"),
        ((4, 5, 5), 2**58, "'gemm0': .*64-bit"),
        ({"a": (1, 1, 1), "b": (4, 5, 5)}, 10**20, "'a': .*batch"),
        (attention(16, 64, 4), 2**62, "'attention.q': .*smaller batch"),
        (attention(16, 64, 4)[3:5], 2**62, "'attention.scores': count = 4 times batch"),
        (attention(16, 64, 4)[3:5], 2**52, "'attention.scores': .*repetition"),
        (attention(16, 64, 4, batch=2**62), 1, "'attention.q': .*smaller batch"),
        (conv((3, 4), (3, 3), (8, 8), batch=2**70), 1, "'conv': .*smaller batch"),
        (Gemm("a", 100, 100, 100, count=2**55), 1, "'a': .*repetition"),
        (Gemm("a", 1, 1, 1, count=2**70), 1, "'a': .*count"),
        ([(4, 4, 4), (2**40, 2**40, 1)], 1, "'gemm1': M=.*64-bit"),
        ([(4, 4, 4), (2**70, 2, 1)], 1, "'gemm1': M=.*64-bit"),
    ],
)
def test_what_64_bits_do_not_hold_is_refused_by_name(shapes: object, batch: int, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        cost(shapes, batch=batch)


def test_sums_over_layers_are_exact_at_any_size() -> None:
    found = cost([(2**20, 2**19, 2**18)] * 200)
    assert found.to_dict()["macs"] == 200 * 2**57
    assert found.cycles == 200 * found.layers[0].after.cycles
    assert found.after.hops == 400 * 2**57
    one = cost((2**20, 2**19, 2**18))
    assert found.utilization == pytest.approx(one.utilization)
    assert found.mapping_efficiency == pytest.approx(one.mapping_efficiency)
    assert found.energy == pytest.approx(200 * one.energy)


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.tuples(*[st.integers(1, 2**22)] * 3),
    count=st.integers(1, 2**62),
    dataflow=st.sampled_from(["ws", "os", "is"]),
    spill=st.booleans(),
)
def test_repetitions_multiply_or_are_refused(
    sizes: tuple[int, int, int], count: int, dataflow: str, spill: bool
) -> None:
    memory = Memory(bandwidth=3.0, partial_sums="spill" if spill else "accumulator")
    try:
        one = cost(sizes, dataflow=dataflow, memory=memory).after
        many = cost(Gemm("a", *sizes, count=count), dataflow=dataflow, memory=memory).after
    except QueryError as error:
        assert "64-bit" in str(error)  # noqa: PT017 - either exact or refused
        return
    for name in ("macs", "cycles", "hops", "sram_reads", "dram_reads", "dram_read_bytes"):
        assert getattr(many, name) == count * getattr(one, name)


@given(st.lists(st.integers(0, LARGEST), max_size=20))
def test_sums_of_large_counts(counts: list[int]) -> None:
    assert total(np.array(counts, dtype=np.int64)) == sum(counts)


@pytest.mark.parametrize("bandwidth", [1e-16, 1e-18, 1e-300, 5e-324])
@pytest.mark.parametrize("mode", ["serial", "overlap"])
def test_a_tiny_bandwidth_is_exact_or_refused(bandwidth: float, mode: str) -> None:
    shapes = [(4, 4, 4), (64, 64, 64)]
    with pytest.raises(QueryError, match=r"'gemm1'|'gemm0'") as caught:
        cost(shapes, bandwidth=bandwidth, mode=mode)
    assert f"bandwidth={bandwidth:g}" in str(caught.value)


@given(exponent=st.integers(-20, 0))
def test_stalls_are_at_least_what_the_bytes_take(exponent: int) -> None:
    bandwidth = 10.0**exponent
    try:
        found = cost((5, 5, 5), bandwidth=bandwidth).after
    except QueryError as error:
        assert "bandwidth=" in str(error)  # noqa: PT017 - refused only where it must be
        assert 75 / Fraction(bandwidth) > LARGEST // 2
        return
    assert found.cycles >= float(75 / Fraction(bandwidth)) * (1 - 1e-9)


def test_tile_masks_and_the_other_ports_are_named() -> None:
    shapes, masks = {"a": (4, 4, 4), "b": (8, 32, 32)}, {"b": HALF}
    assert cost(shapes, masks, bandwidth=1e-3).stall_cycles > 0
    with pytest.raises(QueryError, match="bandwidth=1e-17"):
        cost(shapes, masks, bandwidth=1e-17)
    with pytest.raises(QueryError, match="sram_bandwidth=1e-18"):
        cost(shapes, memory=Memory(sram_bandwidth=1e-18))
    with pytest.raises(QueryError, match=r"'a': stall_cycles .*bandwidth"):
        cost(Gemm("a", 5, 5, 5, count=2**20), bandwidth=1e-14)


def test_pe_masks_keep_the_name() -> None:
    with pytest.raises(QueryError, match="'b'"):
        cost([Gemm("a", 4, 4, 4), Gemm("b", 2**40, 2**20, 4)], {"b": NMMask(1, 4)})


def test_staircases_and_bare_evaluations() -> None:
    with pytest.raises(QueryError, match=r"'fc'.*64-bit"):
        staircase({"fc": (2**50, 64, 32)}, "fc")
    many = {f"fc{i}": (64, 64, 64) for i in range(8)}
    with pytest.raises(QueryError, match="'fc0': the cycles of the whole workload"):
        staircase(many, "fc0", bandwidth=1e-14)
    with pytest.raises(QueryError, match=r"number 1.*64-bit"):
        evaluate([4, 2**60], 4, 4, 4)


def test_words_have_a_sensible_width() -> None:
    for bits in (0, -8, 2**20, True):
        with pytest.raises(QueryError, match="bits of weights"):
            Precision("odd", 8, bits, 8, 32)


@pytest.mark.parametrize("value", ["no", 0, 1, None])
def test_a_switch_is_true_or_false(value: object) -> None:
    for name in ("edge_aware", "nm_support", "skip_slices"):
        with pytest.raises(QueryError, match=f"{name} must be True or False"):
            cost((4, 4, 4), **{name: value})
    with pytest.raises(QueryError, match="double_buffered must be True or False"):
        Memory(double_buffered=value)
    with pytest.raises(QueryError, match="weights must be True or False"):
        Gemm("a", 4, 4, 4, weights=value)
    assert cost((4, 4, 4), edge_aware=np.True_).cycles < cost((4, 4, 4)).cycles


@pytest.mark.parametrize(
    "shapes", [(True, 2, 3), [(True, 2, 3)], [(4, 4, 4), (4, 4, True)], {"a": (2, True, 3)}]
)
def test_a_truth_value_is_no_size(shapes: object) -> None:
    with pytest.raises(QueryError, match="whole number of at least 1, not True"):
        cost(shapes)


def test_an_accuracy_is_a_number() -> None:
    for answer in ("x", None, [1, 2]):
        with pytest.raises(QueryError, match=r"accuracy returned .* one number"):
            sweep((4, 4, 4), arrays=[4], accuracy=lambda _, answer=answer: answer)


def test_a_convolution_names_the_side_that_is_wrong() -> None:
    with pytest.raises(QueryError, match="'conv': image side is 0"):
        conv((1, 1), (3, 3), (0, 8), padding=3)
    with pytest.raises(QueryError, match="'conv': kernel side is 0"):
        conv((1, 1), (0, 3), (8, 8))
    with pytest.raises(QueryError, match=r"'conv': padding is 0.5"):
        conv((1, 1), (3, 3), (8, 8), padding=(0.5, 1))


def test_more_different_inputs_than_inputs() -> None:
    with pytest.raises(QueryError, match="17 unique_inputs among its M x K = 16"):
        Gemm("a", 4, 4, 4, unique_inputs=17)
