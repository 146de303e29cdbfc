"""The page in a browser: it opens from a disk, computes what Python computes, can be used."""

from __future__ import annotations

import csv
import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bench_cases import plan_file, tiny
from click.testing import CliRunner
from report_cases import HOSTILE, made_up
from report_cases import written as stored

from mipnet.bench import Report, build_report, load, load_plan, run
from mipnet.bench.report.grid import grid
from mipnet.bench.report.summary import pareto, spreads, summary
from mipnet.bench.statistics import cactus, kaplan_meier, profile, ratios_to_best
from mipnet.cli import main
from tests.browser import chromium, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("pandas")

FIGURES = ("pareto", "profile", "cactus", "clocks", "spread", "pairs")
REAL = """
[plan]
name = "real"
[networks.tiny]
file = "tiny.npz"
data = "digits"
[[masks]]
method = ["magnitude", "random"]
keep = 0.5
[[problems]]
kind = "maximize"
radius = 0.1
items = 2
[[problems]]
kind = "adversarial"
radius = 0.05
items = 1
[solve]
seeds = [0, 1]
[limits]
time = 20
[[hardware]]
array = "4x4"
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run that was really made."""
    folder = tmp_path_factory.mktemp("real")
    tiny(folder / "tiny.npz", widths=(64, 8, 10))
    assert run(load_plan(plan_file(folder, REAL)), folder / "results").ok
    return folder / "results"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path, str]:
    """Report of cells with failures, limits and gaps, its folder, and its address."""
    folder = stored(made_up(questions=8, missing=0.03), tmp_path_factory.mktemp("large") / "r")
    found = build_report(folder)
    return found, folder, found.write(folder.parent / "large.html").as_uri()


def near(found: Any, wanted: Any) -> bool:
    """Equal up to the six digits a page keeps; a page has null for NaN."""
    if wanted is None or (isinstance(wanted, float) and math.isnan(wanted)):
        return found is None
    return found is not None and bool(np.isclose(found, wanted, rtol=2e-5, atol=1e-9))


def test_a_real_run_draws_every_figure(browser: Browser, real: Path, tmp_path: Path) -> None:
    address = build_report(real).write(tmp_path / "real.html").as_uri()
    marks = {
        "pareto": ".point",
        "profile": ".line",
        "cactus": ".line",
        "clocks": ".bar rect.clock",
        "spread": ".seed",
        "pairs": ".pair",
    }
    with opened(browser, address) as page:
        assert page.locator("h1").inner_text() == "real"
        for figure in FIGURES:
            assert page.locator(f"#{figure} .plot > svg {marks[figure]}").count() >= 3, figure
            box = page.locator(f"#{figure} .plot > svg").bounding_box()
            assert box
            assert box["width"] > 500
        for table in ("summary", "sizes", "cells"):
            assert page.locator(f"#{table}-table tbody tr").count() >= 3, table
        assert "ended with an answer" in page.locator("#verdict").inner_text()
        assert page.locator("#provenance-list dt").count() > 10
        # Every cell leads to its log, as a file that is there.
        page.get_by_role("button", name="Every cell").click()
        page.locator("#cells-table tbody button.row").first.click()
        log = page.locator("dialog a").get_attribute("href")
        if log is not None:
            assert (tmp_path / log).resolve().is_file()
        assert "mipnet bench repeat" in page.locator("dialog .command code").inner_text()


@pytest.mark.parametrize("hidden", [[], ["dense"], ["random 0.5", "flap 0.25"]])
def test_numbers_are_those_of_python(
    browser: Browser, large: tuple[Report, Path, str], hidden: list[str]
) -> None:
    whole, _, address = large
    shown = whole.without(hidden) if hidden else whole
    cells = shown.cells
    common, everything = grid(cells).common(), grid(cells)
    ratios = ratios_to_best(np.nan_to_num(common.times, nan=1.0), common.solved, floor=1e-3)
    # Ratios are against the series the page was built with, unless it is hidden.
    baseline = "dense" if "dense" in shown.series else None
    wanted = summary(cells, baseline=baseline)
    with opened(browser, address) as page:
        for name in hidden:
            page.locator("#series").get_by_label(name, exact=True).uncheck()
        found = page.evaluate("mipnet.profileData().curves.map(c => [c.k, c.steps])")
        assert len(found) == len(shown.series)
        for k, (number, steps) in enumerate(found):
            assert whole.series[number] == shown.series[k]
            factors, shares = profile(ratios[common.present[:, k], k])
            assert np.allclose(np.array(steps).reshape(-1, 2), np.stack([factors, shares], 1), 2e-5)
        curves = page.evaluate(
            "mipnet.cactusData().map(d => [d.points, mipnet.kaplanMeier(d.own.times, d.own.solved)"
            ".map(s => [s.time, s.open, s.risk, s.error])])"
        )
        for k, (points, survival) in enumerate(curves):
            here = everything.present[:, k]
            times, solved = everything.times[here, k], everything.solved[here, k]
            assert np.allclose(points, np.stack(cactus(times, solved), 1), 2e-5)
            km = kaplan_meier(times, solved)
            columns = np.stack([km.times, km.open, km.at_risk, km.error], 1)
            assert np.allclose(survival, columns, rtol=1e-4, atol=1e-9)
        rows = page.evaluate("mipnet.summaryRows()")
        names = ["cells", "items", "solved", "limits", "failed", "sgm", "par2", "par10", "regret"]
        names += ["contribution", "spread", "size_binaries", "cycles", "censored"]
        names += ["ratio", "ratio_low", "ratio_high", "p", "wins", "ties", "losses"] * bool(
            baseline
        )
        for row in rows:
            for name in names:
                assert near(row[name], wanted.loc[row["series"], name]), (row["series"], name)
            if not baseline:
                assert "ratio" not in row
        front = pareto(cells)
        points = page.evaluate("mipnet.paretoData().points")
        assert [p["front"] for p in points] == front["front"].tolist()
        for name in ("fidelity", "seconds", "cycles"):
            assert all(near(p[name], v) for p, v in zip(points, front[name], strict=True))
        factors = page.evaluate("mipnet.spreadData().map(d => d.points.map(p => p.factor))")
        for k, own in enumerate(factors):
            assert np.allclose(own, spreads(everything, k), rtol=2e-5)
        clocks = page.evaluate("mipnet.clocksData().map(d => d.parts)")
        columns = wanted[["attack_s", "bound_s", "build_s", "solve_s", "check_s"]].to_numpy()
        assert np.allclose(clocks, columns, rtol=2e-5)


def test_hiding_a_series_changes_the_profile_of_the_others(
    browser: Browser, large: tuple[Report, Path, str]
) -> None:
    with opened(browser, large[2]) as page:
        line = page.locator('#profile .line[data-series="magnitude 0.5"] .ink')
        before = line.get_attribute("d")
        assert page.locator("#profile .line").count() == 6
        page.locator("#series").get_by_label("flap 0.25", exact=True).uncheck()
        assert page.locator("#profile .line").count() == 5
        assert line.get_attribute("d") != before
        page.get_by_role("button", name="show all").click()
        assert line.get_attribute("d") == before
        page.get_by_label("Show only dense").click(force=True)
        assert page.locator("#profile .line").count() == 1
        assert "Show two series" in page.locator("#pairs .plot").inner_text()
        page.locator("#series").get_by_label("dense", exact=True).uncheck()
        assert "No series is shown" in page.locator("#profile .plot").inner_text()


def test_filters_of_the_page(browser: Browser, large: tuple[Report, Path, str]) -> None:
    report, _, address = large
    with opened(browser, address) as page:
        page.locator("#problems").get_by_label("linf", exact=True).uncheck()
        page.locator("#networks").get_by_label("4x25", exact=True).uncheck()
        part = report.cells.query("problem == 'most' and network == '2x50'")
        rows = page.evaluate("mipnet.summaryRows().map(r => r.cells)")
        assert sum(rows) == len(part)
        assert "--where problem=most" in page.locator("#profile .command code").inner_text()
        # The address keeps what was chosen.
        page.reload()
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.evaluate("mipnet.summaryRows().map(r => r.cells)") == rows


def column_of(page: Page, table: str, name: str) -> list[str]:
    heads = page.locator(f"#{table}-table thead button").evaluate_all(
        "nodes => nodes.map(n => n.dataset.field)"
    )
    at = heads.index(name) + 1
    return [
        text.replace("≥", "").replace("\u2009", "").strip()
        for text in page.locator(f"#{table}-table tbody tr > :nth-child({at})").all_inner_texts()
    ]


def test_tables_sort(browser: Browser, large: tuple[Report, Path, str]) -> None:
    with opened(browser, large[2]) as page:
        head = page.locator('#summary-table button[data-field="sgm"]')
        head.click()
        up = [float(v) for v in column_of(page, "summary", "sgm")]
        assert up == sorted(up)
        assert head.locator("xpath=..").get_attribute("aria-sort") == "ascending"
        # The heading keeps the focus, so that the keyboard can turn it round.
        page.keyboard.press("Enter")
        down = [float(v) for v in column_of(page, "summary", "sgm")]
        assert down == sorted(up, reverse=True)
        assert head.locator("xpath=..").get_attribute("aria-sort") == "descending"


def test_tables_filter(browser: Browser, large: tuple[Report, Path, str]) -> None:
    report, _, address = large
    with opened(browser, address) as page:
        field = page.get_by_label("Filter Cells without an answer")
        for text, query in (
            ("status:killed", "status == 'killed'"),
            ("killed dense", "status == 'killed' and series == 'dense'"),
            ("total_s>4", "not solved and total_s > 4"),
            (
                "feasible 2x50 seed:1",
                "status == 'feasible-limit' and network == '2x50' and seed == 1",
            ),
        ):
            field.fill(text)
            wanted = len(report.cells.query(query))
            note = page.locator("#open-table .note").inner_text()
            count = re.search(r"(?:of )?(\d+) rows", note.replace("\u2009", ""))
            assert count
            assert int(count[1]) == wanted, (text, note)
        field.fill("nothing is called that")
        assert page.locator("#open-table tbody tr").count() == 0


def test_failures_come_first(browser: Browser, large: tuple[Report, Path, str]) -> None:
    report, _, address = large
    failed = int(report.cells["status"].isin(["error", "killed", "memory", "inconsistent"]).sum())
    with opened(browser, address) as page:
        assert page.locator("main > section").first.get_attribute("id") == "open"
        assert f"{failed} failed or contradict" in page.locator("#verdict").inner_text()
        first = page.locator("#open-table tbody tr").first.inner_text()
        assert "inconsistent" in first


def test_problem_by_problem(browser: Browser, large: tuple[Report, Path, str]) -> None:
    report, _, address = large
    with opened(browser, address) as page:
        page.locator("#tabs").get_by_role("button", name="most").click()
        part = grid(report.cells.query("problem == 'most'"))
        note = page.locator("#cells-table .note").inner_text()
        assert f"of {len(part.items)} rows" in note
        page.get_by_role("button", name="Show more").last.click()
        texts = column_of(page, "cells", "dense")
        for text, seconds, solved in zip(texts, part.times[:, 0], part.solved[:, 0], strict=True):
            assert (text == "–") == bool(np.isnan(seconds))
            assert text.startswith(">") == bool(not solved and not np.isnan(seconds))
        page.get_by_role("button", name="Every cell").click()
        cells = len(report.cells.query("problem == 'most'"))
        assert f"of {cells} rows" in page.locator("#cells-table .note").inner_text()


def test_every_figure_gives_its_data(
    browser: Browser, large: tuple[Report, Path, str], tmp_path: Path
) -> None:
    # A page may save ten files before the browser asks its reader about more.
    for names in (FIGURES, ("open", "summary", "sizes", "progress", "cells")):
        with opened(browser, large[2]) as page:
            for name in names:
                with page.expect_download() as download:
                    page.locator(f"#{name} button.csv").click()
                assert download.value.suggested_filename == f"{name}.csv"
                download.value.save_as(tmp_path / f"{name}.csv")
                with (tmp_path / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
                    rows = list(csv.reader(stream))
                assert len(rows) > 3, name
                assert {len(row) for row in rows} == {len(rows[0])}, name
    with opened(browser, large[2]) as page:
        with page.expect_download() as download:
            page.locator("#profile button.svg").click()
        download.value.save_as(tmp_path / "profile.svg")
        drawn = (tmp_path / "profile.svg").read_text(encoding="utf-8")
        assert drawn.startswith("<svg")
        assert "var(--" not in drawn
        factors = {row[0] for row in csv.reader((tmp_path / "profile.csv").open(encoding="utf-8"))}
        assert factors == {"series", *large[0].series}


def test_commands_remake_what_is_shown(
    browser: Browser, large: tuple[Report, Path, str], tmp_path: Path, monkeypatch: Any
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    with opened(browser, large[2]) as page:
        page.locator("#series").get_by_label("random 0.5", exact=True).uncheck()
        page.get_by_role("button", name="Still open").click()
        page.get_by_role("button", name="With preparation").click()
        page.get_by_label("Shift of means").select_option("0.1")
        page.get_by_label("Ratios against").select_option(label="flap 0.5")
        commands = page.locator(".tools .command code").all_inner_texts()
        ratios = page.evaluate("mipnet.summaryRows().map(r => [r.series, r.ratio])")
    assert len(commands) == 11
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "mipnet"
        done = CliRunner().invoke(main, words[1:])
        assert done.exit_code == 0, (command, done.output)
        if words[2] == "figure":
            assert (tmp_path / words[-1]).stat().st_size > 5000
        elif words[3] == "summary":
            assert "random 0.5" not in done.output
            words[-1] = "csv"
            rows = csv.DictReader(CliRunner().invoke(main, words[1:]).output.splitlines())
            assert [(r["series"], pytest.approx(float(r["ratio"]), 2e-5)) for r in rows] == [
                tuple(pair) for pair in ratios
            ]


def test_usable_by_keyboard(browser: Browser, large: tuple[Report, Path, str]) -> None:
    with opened(browser, large[2]) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
        page.keyboard.press("Enter")
        page.locator("#profile .plot > svg").focus()
        page.keyboard.press("ArrowDown")
        assert "dense, fastest on" in page.locator("#live").inner_text()
        assert page.locator("#profile .line.on").get_attribute("data-series") == "dense"
        page.keyboard.press("ArrowDown")
        assert page.locator("#profile .line.on").get_attribute("data-series") != "dense"
        page.keyboard.press("Escape")
        assert page.locator("#profile .line.on").count() == 0
        page.locator("#series input").first.focus()
        page.keyboard.press("Space")
        assert page.locator("#profile .line").count() == 5
        page.locator("#open-table tbody button.row").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("dialog").get_attribute("open") is not None
        page.keyboard.press("Escape")
        assert page.locator("dialog").get_attribute("open") is None


@pytest.mark.parametrize("width", [360, 768])
def test_narrow(browser: Browser, large: tuple[Report, Path, str], width: int) -> None:
    with opened(browser, large[2], width=width, has_touch=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for figure in FIGURES:
            box = page.locator(f"#{figure} .plot > svg").bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        assert not page.locator("#panel-body").is_visible()
        page.locator("#panel-toggle").click()
        page.locator("#series").get_by_label("dense", exact=True).uncheck()
        assert page.locator("#profile .line").count() == 5
        assert page.locator("#panel-toggle").get_attribute("aria-expanded") == "true"
        # Back to a wide window: figures are drawn anew for it.
        page.set_viewport_size({"width": 1280, "height": 900})
        page.wait_for_function("document.querySelector('#profile svg').viewBox.baseVal.width > 600")


def test_print(browser: Browser, large: tuple[Report, Path, str]) -> None:
    with opened(browser, large[2]) as page:
        page.emulate_media(media="print")
        for gone in ("#panel", "#profile .tools button", ".search", ".options"):
            assert not page.locator(gone).first.is_visible(), gone
        for kept in ("#profile .plot > svg", "#summary-table table", "#formulas", ".command code"):
            assert page.locator(kept).first.is_visible(), kept
        paper = page.pdf(format="A4", prefer_css_page_size=True)
        assert paper.startswith(b"%PDF")
        assert paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page>") >= 3


def test_hostile_names_are_text(browser: Browser, tmp_path: Path) -> None:
    hostile = made_up(
        questions=2,
        methods=[("dense", None), (HOSTILE, 0.5), ("=1+1", 0.5)],
        networks=[HOSTILE, "b"],
        problems=[HOSTILE, "c"],
        notes=[HOSTILE],
    )
    address = build_report(hostile, title=HOSTILE).write(tmp_path / "h.html").as_uri()
    with opened(browser, address) as page:
        assert page.locator("img").count() == 0
        assert page.locator("h1").inner_text().startswith("</script><img src=x")
        page.get_by_role("button", name="Every cell").click()
        page.locator("#cells-table tbody button.row").first.click()
        page.keyboard.press("Escape")
        page.locator("#profile .plot > svg").focus()
        page.keyboard.press("ArrowDown")
        assert page.locator("#profile .line").count() == 3


def test_plans_without_arrays_accuracy_or_seeds(browser: Browser, tmp_path: Path) -> None:
    bare = made_up(questions=2, seeds=1)
    for name in ("accuracy", "agreement", "r2", "cycles", "tiles", "m_min", "m_median", "m_max"):
        bare.cells[name] = np.nan
    address = build_report(bare).write(tmp_path / "bare.html").as_uri()
    with opened(browser, address) as page:
        assert "No network has a value" in page.locator("#pareto .plot").inner_text()
        assert "no question" in page.locator("#spread .plot").inner_text().lower()
        assert page.locator("#profile .line").count() == 6


def test_two_runs(browser: Browser, tmp_path: Path) -> None:
    before = stored(made_up(questions=3), tmp_path / "before")
    after = stored(made_up(questions=3), tmp_path / "after")
    address = build_report(after, against=before).write(tmp_path / "two.html").as_uri()
    with opened(browser, address) as page:
        assert page.locator("#profile .line").count() == 12
        assert "is not slower" in page.locator("#comparison").inner_text()
    assert len(load(after).cells) == len(load(before).cells)
