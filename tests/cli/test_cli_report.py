"""``mipnet report`` from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from mipnet.cli import main
from tests.bench.report_cases import made_up, written

pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(made_up(questions=2), tmp_path_factory.mktemp("cli") / "r")


def test_build_writes_one_file(results: Path, tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    done = CliRunner().invoke(
        main,
        [
            *("report", "build", str(results), "-o", str(target), "--where", "problem=linf"),
            *("--hide", "dense", "--title", "My title"),
        ],
    )
    assert done.exit_code == 0, done.output
    text = target.read_text(encoding="utf-8")
    assert "<title>My title</title>" in text
    assert '"name":"flap 0.5"' in text
    assert '"name":"dense"' not in text
    assert list(tmp_path.iterdir()) == [target]


def test_tables_go_to_standard_output_or_a_file(results: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["report", "table", "sizes", str(results)])
    assert shown.output.startswith("| Network | Series | Units |")
    target = tmp_path / "t.tex"
    CliRunner().invoke(
        main,
        ["report", "table", "summary", str(results), "--format", "latex", "-o", str(target)],
    )
    assert r"\begin{tabular}" in target.read_text(encoding="utf-8")


def test_bad_input_is_one_line_and_costs_nothing(results: Path, tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    target.write_text("mine", encoding="utf-8")
    folder = str(results)
    for words, said in (
        (["build", folder, "--where", "problem"], "is no COLUMN=VALUE"),
        (["build", folder, "--where", "problem=lnf"], "did you mean 'linf'"),
        (["build", folder, "--where", "colour=red"], "unknown column 'colour'"),
        (["build", folder, "--hide", "nobody"], "unknown series 'nobody'"),
        (["build", str(tmp_path)], "holds no results"),
        (["table", "summary", folder, "--baseline", "nobody"], "no series 'nobody'"),
        (["table", "summary", folder, "--metric", "beauty"], "unknown metric 'beauty'"),
        (["figure", "profile", folder, "-o", "f.doc"], "ends in none of .svg, .pdf, .png"),
    ):
        output = ["-o", str(target)] if words[0] == "build" else []
        done = CliRunner().invoke(main, ["report", *words, *output])
        assert done.exit_code == 2, (words, done.output)
        assert said in done.output.replace("\n", " "), (words, done.output)
        assert "Traceback" not in done.output
    assert target.read_text(encoding="utf-8") == "mine"
