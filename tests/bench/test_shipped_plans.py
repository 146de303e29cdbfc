"""The plans under ``benchmarks/`` can be read and expanded; what they need is made up."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from bench_cases import tiny

from mipnet.bench import load_plan
from mipnet.bench.plan import expand
from mipnet.pruning import pruners

PLANS = sorted((Path(__file__).parent.parent.parent / "benchmarks").glob("*.toml"))


def idx(path: Path, values: np.ndarray) -> None:
    """Write an IDX file of bytes."""
    head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(head + values.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of a single pixel, and one instance for each benchmark the plan names."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "mnist").mkdir()
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        numbers = np.arange(count)
        idx(folder / "mnist" / f"{part}-images-idx3-ubyte.gz", (numbers % 256).reshape(-1, 1, 1))
        idx(folder / "mnist" / f"{part}-labels-idx1-ubyte.gz", numbers % 10)
    families = ["acasxu", "cora_mnist", "eran_mnist_relu", "linearizenn", "mnist_fc"]
    families += ["reach_prob_density", "rl_benchmarks", "safenlp"]
    rows = ["benchmark,onnx,vnnlib,timeout_s,verdict"]
    for family in families:
        (folder / family).mkdir()
        tiny(folder / family / "net.onnx")
        (folder / family / "prop.vnnlib").touch()
        rows.append(f"{family},net.onnx,prop.vnnlib,30,unsat")
    (folder / "instances.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("path", PLANS, ids=lambda p: p.stem)
def test_plan_is_in_order(path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIPNET_DATA", str(outside))
    monkeypatch.setenv("MIPNET_VNN", str(outside))
    plan = load_plan(path)
    matrix = expand(plan)
    assert plan.name == path.stem
    assert matrix.cells
    assert matrix.networks
    if path.stem in {"digits", "mnist"}:
        # A method that is added needs no change here.
        assert {t.labels["method"] for t in matrix.masks} == set(pruners())


def test_all_five_are_there() -> None:
    named = {"digits", "mnist", "cacciola", "verification", "formulations"}
    assert named <= {path.stem for path in PLANS}
