"""Counts and cycles of dense GEMMs: golden values, plain loops, laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fold_reference import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from mipnet.errors import QueryError
from mipnet.hardware import Machine, Memory, cost, evaluate

sides = st.integers(1, 40)
arrays = st.integers(1, 12)
flows = st.sampled_from(["ws", "os", "is"])
modes = st.sampled_from(["serial", "no_fill", "overlap", "paper"])
bandwidths = st.sampled_from([0.3, 1.0, 4.0, 16.0, 1e4])
memories = st.builds(
    Memory,
    input_bytes=st.sampled_from([16, 100, 1000, 10**6]),
    weight_bytes=st.sampled_from([16, 100, 1000, 10**6]),
    output_bytes=st.sampled_from([64, 1000, 10**6]),
    bandwidth=bandwidths,
    write_bandwidth=st.none() | bandwidths,
    sram_bandwidth=st.none() | bandwidths,
    double_buffered=st.booleans(),
    partial_sums=st.sampled_from(["accumulator", "spill"]),
)
machines = st.builds(
    Machine,
    arrays,
    arrays,
    dataflow=flows,
    mode=modes,
    edge_aware=st.booleans(),
    precision=st.sampled_from(["int8", "fp32", "fp32_int8"]),
    memory=memories,
)


def costs(m: int, k: int, n: int, machine: Machine):
    options = dict(vars(machine))
    rows, columns = options.pop("rows"), options.pop("columns")
    return evaluate(m, k, n, rows, columns, **options)


@pytest.mark.parametrize(
    ("array", "gemm", "ws", "os", "is_"),
    [
        ((4, 4), (5, 7, 9), 90, 78, 76),
        ((4, 4), (16, 16, 16), 416, 352, 416),
        ((4, 4), (1, 20, 12), 165, 78, 110),
        ((8, 4), (32, 10, 3), 100, 80, 336),
        ((4, 8), (5, 7, 9), 76, 68, 46),
        ((16, 16), (16, 16, 16), 62, 46, 62),
        ((16, 16), (64, 64, 64), 1760, 1504, 1760),
    ],
)
def test_golden_cycles(
    array: tuple[int, int], gemm: tuple[int, int, int], ws: int, os: int, is_: int
) -> None:
    found = [cost([gemm], array=array, dataflow=flow).cycles for flow in ("ws", "os", "is")]
    assert found == [ws, os, is_]


def test_no_fill_of_the_known_thread() -> None:
    """ARM-software/SCALE-Sim issue 51: 12 folds of 128 + 256 cycles."""
    found = evaluate(256, 4 * 128, 3 * 128, 128, dataflow="ws", mode="no_fill")
    assert (int(found.folds), int(found.cycles)) == (12, 4608)


def test_a_single_vector_on_a_large_array() -> None:
    found = cost([(1, 128, 128)], array=128)
    assert found.cycles == 383
    assert found.mapping_efficiency == 1.0
    assert found.utilization == pytest.approx(128 * 128 / (128 * 128 * 383))


@settings(max_examples=150)
@given(m=sides, k=sides, n=sides, machine=machines)
def test_counts_and_stalls_are_those_of_the_loops(m: int, k: int, n: int, machine: Machine) -> None:
    if machine.mode == "overlap":
        machine = replace(machine, mode="serial")
    found, expected = costs(m, k, n, machine), reference(m, k, n, machine)
    assert int(found.compute_cycles) == expected.compute
    assert int(found.cycles) == expected.total
    assert int(found.input_reads) == expected.inputs
    assert int(found.weight_reads) == expected.weights
    assert int(found.partial_sum_reads) == expected.sums
    assert int(found.result_writes) == expected.results == m * n
    assert int(found.dram_input_reads) == expected.dram_inputs
    assert int(found.dram_weight_reads) == expected.dram_weights
    assert int(found.dram_partial_sums) == expected.dram_sums


@settings(max_examples=100)
@given(m=sides, k=sides, n=sides, machine=machines)
def test_stalls_are_never_negative(m: int, k: int, n: int, machine: Machine) -> None:
    assert int(costs(m, k, n, machine).stall_cycles) >= 0


@settings(max_examples=150)
@given(
    m=sides,
    k=sides,
    n=sides,
    machine=machines,
    port=st.sampled_from(["bandwidth", "write_bandwidth", "sram_bandwidth"]),
    factor=st.floats(1.0, 8.0),
)
def test_more_bandwidth_never_costs_cycles(
    m: int, k: int, n: int, machine: Machine, port: str, factor: float
) -> None:
    width = getattr(machine.memory, port)
    if width is None:
        return
    faster = replace(machine, memory=replace(machine.memory, **{port: width * factor}))
    assert int(costs(m, k, n, faster).cycles) <= int(costs(m, k, n, machine).cycles)
    free = replace(machine, memory=Memory())
    assert int(costs(m, k, n, free).stall_cycles) == 0


@settings(max_examples=150)
@given(
    m=sides,
    k=sides,
    n=sides,
    machine=machines,
    buffer=st.sampled_from(["input_bytes", "weight_bytes", "output_bytes"]),
    more=st.integers(1, 5000),
)
def test_more_memory_never_costs_cycles_or_traffic(
    m: int, k: int, n: int, machine: Machine, buffer: str, more: int
) -> None:
    size = getattr(machine.memory, buffer) + more
    larger = replace(machine, memory=replace(machine.memory, **{buffer: size}))
    before, after = costs(m, k, n, machine), costs(m, k, n, larger)
    assert int(after.cycles) <= int(before.cycles)
    assert int(after.dram_read_bytes) <= int(before.dram_read_bytes)
    assert int(after.dram_write_bytes) <= int(before.dram_write_bytes)


@settings(max_examples=100)
@given(m=sides, k=sides, n=sides, machine=machines)
def test_overlap_is_never_slower_and_edges_never_dearer(
    m: int, k: int, n: int, machine: Machine
) -> None:
    def compute(**changes: object) -> int:
        return int(costs(m, k, n, replace(machine, **changes)).compute_cycles)

    assert compute(mode="overlap") <= compute(mode="serial")
    assert compute(edge_aware=True) <= compute(edge_aware=False)
    if machine.rows >= max(m, k, n) and machine.columns >= max(m, k, n):
        assert compute(mode="overlap") == compute(mode="serial")


@given(m=sides, k=sides, n=sides, machine=machines)
def test_utilization_stays_below_one(m: int, k: int, n: int, machine: Machine) -> None:
    found = costs(m, k, n, replace(machine, mode="serial"))
    assert 0.0 < float(found.utilization) <= float(found.mapping_efficiency) <= 1.0


def test_traffic_is_at_least_every_tensor_once() -> None:
    found = cost([(64, 64, 64)], array=16, dataflow="ws")
    assert (found.dram_reads, found.dram_writes) == (2 * 64 * 64, 64 * 64)
    spilled = cost([(64, 64, 64)], array=16, memory=Memory(partial_sums="spill"))
    # SCALE-Sim sends all 16384 sums of a 64-cube on 16x16 to DRAM; os keeps its 4096 results.
    assert spilled.dram_writes == 16384
    assert spilled.dram_reads == 2 * 64 * 64 + 3 * 64 * 64
    os = cost([(64, 64, 64)], array=16, dataflow="os", memory=Memory(partial_sums="spill"))
    assert os.dram_writes == 4096


def test_sums_that_do_not_fit_spill_and_are_reported() -> None:
    small = Memory(output_bytes=1024)
    found = cost([(64, 64, 64)], array=16, memory=small)
    assert found.dram_writes == 16384
    assert any("spill" in note for note in found.notes)
    assert not cost([(64, 64, 64)], array=16).notes


def test_many_gemms_and_arrays_at_once() -> None:
    rng = np.random.default_rng(0)
    shapes, side = rng.integers(1, 300, (30, 3)), np.array([[4], [8], [32]])
    memory = Memory(bandwidth=3.0)
    many = evaluate(*shapes.T, side, 2 * side, dataflow="is", mode="overlap", memory=memory)
    assert many.cycles.shape == (3, 30)
    for a, (r,) in enumerate(side.tolist()):
        for g, (m, k, n) in enumerate(shapes.tolist()):
            one = evaluate(m, k, n, r, 2 * r, dataflow="is", mode="overlap", memory=memory)
            assert one.figures() == many.figures((a, g))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, 4, 4, 4), "M"),
        ((4, -1, 4, 4), "K"),
        ((4, 4, 4, 0), "rows"),
        ((4, 4, 2.5, 4), "N"),
        ((4, 4, 4, 2**21), "sides"),
        (([4, 4], 4, [4, 4, 4], 4), "broadcast"),
        ((2**40, 2**40, 1, 4), "64-bit"),
    ],
)
def test_bad_sizes(arguments: tuple[float, ...], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        evaluate(*arguments)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bandwidth", 0),
        ("bandwidth", -1.0),
        ("bandwidth", float("nan")),
        ("bandwidth", "fast"),
        ("sram_bandwidth", 0.0),
        ("input_bytes", 0),
        ("partial_sums", "nowhere"),
        ("write_bandwidth", 4.0),
    ],
)
def test_bad_memory(field: str, value: object) -> None:
    with pytest.raises(QueryError, match=field):
        Memory(**{field: value})
