"""All recorded runs of SCALE-Sim 3.0.0."""

from __future__ import annotations

import numpy as np
import pytest
from scalesim_rows import MORE, ROWS

from mipnet.hardware import cost, scalesim_report

RUNS = [line.split() for line in ROWS.split("\n") if line]


@pytest.mark.parametrize("run", RUNS, ids="-".join)
def test_every_column(run: list[str]) -> None:
    dataflow, *numbers = run
    r, c, m, k, n, folds_r, folds_c, fold, total = map(int, numbers[:9])
    found = scalesim_report(m, k, n, r, c, dataflow=dataflow)
    assert int(found.total_cycles) == total
    assert [int(v) for v in (found.input_reads, found.filter_reads, found.output_writes)] == [
        int(v) for v in numbers[12:]
    ]
    percent = (found.utilization, found.mapping_efficiency, found.compute_utilization)
    assert [f"{float(v):.4f}" for v in percent] == numbers[9:12]
    # The model counts cycles, the tool prints the index of the last one.
    own = cost([(m, k, n)], array=(r, c), dataflow=dataflow)
    assert own.cycles == total + 1 == folds_r * folds_c * fold
    assert int(own.costs.folds[0]) == folds_r * folds_c
    assert own.sram_reads == int(numbers[12]) + int(numbers[13])
    slip = folds_r * folds_c * (r + c) if dataflow == "os" else 0
    assert own.sram_writes == int(numbers[14]) - slip


@pytest.mark.parametrize("run", [line.split() for line in MORE.split("\n") if line], ids="-".join)
def test_random_arrays_and_shapes(run: list[str]) -> None:
    dataflow, *numbers = run
    r, c, m, k, n, total = map(int, numbers[:6])
    found = scalesim_report(m, k, n, r, c, dataflow=dataflow)
    percent = (found.utilization, found.mapping_efficiency, found.compute_utilization)
    counts = (found.input_reads, found.filter_reads, found.output_writes)
    assert [f"{float(v):.4f}" for v in percent] == numbers[6:9]
    assert [int(v) for v in (found.total_cycles, *counts)] == [total, *map(int, numbers[9:])]
    assert cost((m, k, n), array=(r, c), dataflow=dataflow).cycles == total + 1


def test_there_are_ninety_and_sixty() -> None:
    assert (len(RUNS), len(MORE.split("\n")) - 2) == (90, 60)


#: Dataflow, array side, GEMM, kB of each buffer, DRAM words; -1 where the tool's set replacement
#: lies between fetching once and fetching every time.
DRAM = [
    ("os", 8, (64, 64, 64), (32768, 32768, 4096, 4096), (32768, -1, 4096, 4096), 4096),
    ("ws", 8, (64, 64, 64), (32768, 32768, 4096, 4096), (4096, 4096, 4096, 4096), 32768),
    ("is", 8, (64, 64, 64), (4096, 4096, 4096, 4096), (32768, 32768, 4096, 4096), 32768),
    ("os", 16, (100, 100, 10), (10000,) * 4, (7000, 1000, 1000, 1000), 1000),
    ("ws", 16, (100, 100, 10), (10000,) * 4, (1000,) * 4, 7000),
    ("is", 16, (100, 100, 10), (10000,) * 4, (7000, 1000, 1000, 1000), 7000),
    ("os", 32, (128, 128, 64), (32768, 32768, 32768, 16384), (32768, 32768, -1, 8192), 8192),
    ("ws", 32, (128, 128, 64), (32768, 32768, 32768, 16384), (8192,) * 4, 32768),
    ("is", 32, (128, 128, 64), (16384,) * 4, (32768, 32768, 32768, 8192), 32768),
]


@pytest.mark.parametrize(("dataflow", "side", "gemm", "inputs", "filters", "writes"), DRAM)
def test_dram_words_under_small_buffers(
    dataflow: str,
    side: int,
    gemm: tuple[int, int, int],
    inputs: tuple[int, ...],
    filters: tuple[int, ...],
    writes: int,
) -> None:
    for kb, read, filtered in zip((1, 4, 16, 64), inputs, filters, strict=True):
        found = scalesim_report(*gemm, side, dataflow=dataflow, buffer_kb=(kb, kb))
        assert int(found.dram_input_reads) == read
        if filtered >= 0:
            assert int(found.dram_filter_reads) == filtered
        assert int(found.dram_output_writes) == writes


def test_one_pe_and_one_product() -> None:
    found = scalesim_report(1, 1, 1, 1, dataflow="os")
    assert int(found.total_cycles) == 0
    assert np.isnan(found.utilization)
