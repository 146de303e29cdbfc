"""Tables and figures for papers; names from a plan stay names."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from report_cases import HOSTILE, made_up

from mipnet.bench import StoreError, build_report
from mipnet.bench.report.metrics import METRICS, written
from mipnet.bench.report.page import asset
from mipnet.bench.report.table import Table, plain_cell
from mipnet.bench.report.tables import TABLES
from mipnet.errors import MissingPackageError

pd = pytest.importorskip("pandas")
SIZES = made_up(questions=3)
REPORT = build_report(SIZES)


@pytest.mark.parametrize("name", list(TABLES))
@pytest.mark.parametrize("form", ["markdown", "latex", "csv", "html"])
def test_every_table_in_every_form(name: str, form: str) -> None:
    text = REPORT.table(name).text(form)  # type: ignore[arg-type]
    assert "flap 0.25" in text
    assert text.endswith("\n")
    assert "nan" not in text.lower().replace("domi", "")


def test_markdown_keeps_its_columns_whatever_the_names() -> None:
    frame = pd.DataFrame({"series": ["a|b", HOSTILE, "line\nbreak", "$x_1$ *y*"], "sgm": 1.5})
    lines = Table.of(frame, ("series", "sgm"), "c").text("markdown").splitlines()
    assert len(lines) == 6
    for line in lines:
        assert line.replace("\\|", "").count("|") == 3
        assert "<img" not in line
    assert lines[-1] == "| \\$x\\_1\\$ \\*y\\* | 1.50 |"


def test_latex_escapes_every_special_character() -> None:
    special = r"50% & $x_1$ #{a}~^\ <b> ²"
    frame = pd.DataFrame({"series": [special], "sgm": [float("nan")], "cells": [1234567]})
    text = Table.of(frame, ("series", "sgm", "cells"), "100 %").text("latex")
    row = next(line for line in text.splitlines() if line.startswith("50"))
    assert row == (
        r"50\% \& \$x\_1\$ \#\{a\}\textasciitilde{}\textasciicircum{}\textbackslash{} "
        r"\textless{}b\textgreater{} $^2$ & 1\,234\,567 \\"
    )
    assert r"\caption{100 \%}" in text
    assert r"\begin{tabular}{lr}" in text


def test_csv_has_full_numbers_and_runs_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(REPORT.table("summary").text("csv"))))
    assert float(rows[0]["sgm"]) > 0.0
    assert len(rows[0]["sgm"]) > 8
    assert [plain_cell(v) for v in ("=cmd()", "+1", "@x", "a=b", -1.0, None)] == [
        *("'=cmd()", "'+1", "'@x", "a=b", -1.0, ""),
    ]


def test_html_escapes() -> None:
    frame = pd.DataFrame({"series": [HOSTILE], "sgm": [1.0]})
    text = Table.of(frame, ("series", "sgm"), HOSTILE).text("html")
    assert "<img" not in text
    assert "</script>" not in text
    ElementTree.fromstring(text)  # noqa: S314


def test_numbers_as_text() -> None:
    assert written(float("inf"), "ratio") == "∞"
    assert written(0.00001234, "seconds") == "1.23e-5"
    assert written(12, "count") == "12"
    assert written(999.6, "seconds") == "1000"
    assert written(None, "text") == "–"
    assert written("nonsense", "seconds") == "–"


def test_every_metric_has_a_heading_and_its_formula_is_there() -> None:
    formulas = asset("formulas.html")
    for metric in METRICS.values():
        assert metric.heading
        if metric.formula:
            assert f'id="f-{metric.formula}"' in formulas, metric.name
        else:
            assert metric.kind in {"text", "count"}, metric.name


def test_options_reach_the_tables() -> None:
    by_nodes = REPORT.table("summary", metric="nodes", shift=100.0)
    by_time = REPORT.table("summary")
    assert by_nodes.rows[0] != by_time.rows[0]
    with pytest.raises(StoreError, match=r"unknown table 'sumary' .did you mean 'summary'"):
        REPORT.table("sumary")
    with pytest.raises(StoreError, match="unknown metric"):
        REPORT.table("summary", metric="beauty")


@pytest.mark.parametrize("name", ["pareto", "profile", "cactus", "clocks", "spread", "pairs"])
def test_figures_as_svg_and_pdf(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    hostile = build_report(made_up(questions=2, methods=[("dense", None), (HOSTILE, 0.5)]))
    drawn = hostile.figure(name)
    drawn.savefig(tmp_path / "f.svg")
    drawn.savefig(tmp_path / "f.pdf")
    drawing = ElementTree.parse(tmp_path / "f.svg")  # noqa: S314
    texts = [node.text or "" for node in drawing.iter()]
    assert any("script" in text for text in texts)
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")


def test_figures_show_what_the_statistics_say() -> None:
    pytest.importorskip("matplotlib")
    axes = REPORT.figure("cactus").axes[0]
    line = next(line for line in axes.lines if line.get_label() == "dense")
    dense = REPORT.cells.query("series == 'dense' and solved")
    assert line.get_ydata()[-1] == len(dense)
    assert np.sort(dense["total_s"].to_numpy())[0] in line.get_xdata()
    survival = REPORT.figure("cactus", survival=True).axes[0]
    line = next(line for line in survival.lines if line.get_label() == "dense")
    assert line.get_ydata()[0] == 1.0
    bars = REPORT.figure("clocks", clocks="shares").axes[0].patches
    assert max(bar.get_x() + bar.get_width() for bar in bars) == pytest.approx(1.0)
    assert len(REPORT.figure("clocks", clocks="before").axes[0].patches) == 8 * 6


def test_unknown_figures_and_options_are_named() -> None:
    with pytest.raises(StoreError, match=r"unknown figure 'profiles' .did you mean 'profile'"):
        REPORT.figure("profiles")
    with pytest.raises(StoreError, match="unknown option of profile 'survival'"):
        REPORT.figure("profile", survival=True)
    with pytest.raises(StoreError, match="unknown series 'nobody'"):
        REPORT.figure("pairs", pair=("dense", "nobody"))


def test_without_matplotlib_a_figure_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"matplotlib: pip install 'mipnet\[plots\]'"):
        REPORT.figure("profile")


def test_notebooks_show_the_summary() -> None:
    text = REPORT._repr_html_()
    assert "<table>" in text
    assert "flap 0.25" in text
