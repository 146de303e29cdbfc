"""The pruning benchmark measures what its tables say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pruning
import pytest
from pruning import arguments, comparison, measured, read, spr_report


def record(method: str, seed: int, tuned: float, **changes: Any) -> dict[str, Any]:
    plain = {"data": "digits", "keep": 0.5, "status": "done", "raw": 0.5, "parameters": 100}
    return {
        **plain,
        "method": method,
        "seed": seed,
        "tuned": tuned,
        "unstable": 3.0,
        "solve": 1.0,
        "decided": 2,
        "seconds": 0.5,
        **changes,
    }


def test_comparison_counts_wins_by_seed_and_lists_what_was_refused() -> None:
    found = comparison(
        [
            *(record("random", s, t) for s, t in enumerate((0.8, 0.9))),
            *(record("magnitude", s, t) for s, t in enumerate((0.9, 0.9))),
            *(record("mip", s, t) for s, t in enumerate((0.95, 0.89))),
            {"method": "odd", "seed": 0, "keep": 0.5, "status": "refused"},
        ]
    )
    lines = found.splitlines()
    mip = next(line for line in lines if "| mip" in line)
    assert "+7.00 (1/2)" in mip
    assert "+2.00 (1/2)" in mip
    assert lines.index(mip) < next(k for k, line in enumerate(lines) if "| random" in line)
    assert "refused: odd" in found


def test_spr_report_pairs_dense_and_pruned() -> None:
    rows = [
        {"net": "2x50", "seed": s, "kind": k, "status": "robust", "seconds": t, "units": u}
        | {"parameters": 10, "accuracy": a}
        for s, k, t, u, a in (
            (0, "dense", 4.0, 100, 0.97),
            (1, "dense", 2.0, 100, 0.98),
            (0, "spr", 1.0, 82, 0.968),
            (1, "spr", 1.0, 72, 0.985),
        )
    ]
    found = spr_report(rows, 60.0)
    assert "-0.20, +0.50" in found
    assert "3.00" in found
    assert "82, 72" in found


def test_a_cell_prunes_fine_tunes_and_asks() -> None:
    pytest.importorskip("torch")
    from mipnet.pruning import train_mlp

    data = read("digits", None, 0)
    assert (len(data.X), len(data.unseen)) == (1200, 597)
    net = train_mlp(data.X, data.y, (12,), epochs=3, dtype="float32", input_bounds=(0.0, 1.0))
    given = arguments(["compare", "--epochs", "1", "--images", "1", "--limit", "1"])
    cell = {"data": "digits", "method": "mip", "keep": 0.5, "seed": 0}
    found = measured(cell, net, data, given)
    assert found["status"] == "done"
    assert found["parameters"] <= 64 * 6 + 6 + 6 * 10 + 10
    assert 0 <= found["unstable"] <= 6
    assert measured({**cell, "method": "spr"}, net, data, given)["tuned"] > 0.1
    monkey = {**cell, "keep": 2.0}
    assert measured(monkey, net, data, given)["status"] == "refused"


def test_without_images_the_remedy_is_named(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    with pytest.raises(FileNotFoundError, match="MIPNET_DATA"):
        read("mnist", None, 10)
    torch = pytest.importorskip("torch")
    monkeypatch.delenv("MIPNET_DATA", raising=False)
    monkeypatch.setattr("sys.argv", ["pruning.py", "spr", "--output", str(tmp_path / "x.jsonl")])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert pruning.main() == 2
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert "MIPNET_DATA" in capsys.readouterr().err
    assert np.isfinite(list(pruning.RADIUS.values())).all()
