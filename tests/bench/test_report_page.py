"""The page as a file: what is in it, what cannot be in it, how large it gets."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_cases import HOSTILE, made_up, written

from mipnet.bench import StoreError, build_report, load
from mipnet.bench.report import page
from mipnet.bench.report.payload import embedded
from mipnet.bench.report.report import MOST_BYTES

pd = pytest.importorskip("pandas")


class Outline(HTMLParser):
    """Tags, links and identities of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"href", "src"}:
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)


def data_of(text: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def test_names_do_not_break_out() -> None:
    hostile = made_up(
        questions=2,
        methods=[("dense", None), (HOSTILE, 0.5)],
        networks=[HOSTILE],
        problems=[HOSTILE],
        notes=[HOSTILE],
    )
    text = build_report(hostile, title=HOSTILE).html()
    outline = Outline(text)
    assert outline.tags.count("script") == 2
    assert "img" not in outline.tags
    assert outline.handlers == []
    pack = data_of(text)
    assert pack["networks"] == [HOSTILE]
    assert pack["count"] == len(hostile.cells)


def test_nothing_is_fetched_and_nothing_else_runs() -> None:
    text = build_report(made_up(questions=2)).html()
    outline = Outline(text)
    assert [link for link in outline.links if not link.startswith(("#", "data:"))] == []
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    for tag in ("script", "style"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert inside
        digest = base64.b64encode(hashlib.sha256(inside[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]


def test_identities_are_unique_and_links_lead_somewhere() -> None:
    outline = Outline(build_report(made_up(questions=2)).html())
    assert len(set(outline.ids)) == len(outline.ids)
    inside = {link[1:] for link in outline.links if link.startswith("#")}
    assert inside <= set(outline.ids)
    used = re.findall(r'byId\("([\w-]+)"\)', page.script())
    assert set(used) <= set(outline.ids)


def test_embedded_json_cannot_end_its_element() -> None:
    text = embedded({"a": "</script><!--&\u2028\u2029"})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"a": "</script><!--&\u2028\u2029"}
    with pytest.raises(ValueError, match="JSON compliant"):
        embedded(float("nan"))


def test_ten_thousand_cells_fit() -> None:
    many = made_up(questions=180, seeds=2)
    assert len(many.cells) > 10_000
    text = build_report(many).html()
    assert len(text.encode()) < MOST_BYTES
    assert "are left out of this page" not in text


def test_more_than_fits_gives_up_details_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = build_report(made_up(questions=20))
    whole = found.html()
    pack = data_of(whole)
    assert isinstance(pack["columns"], dict)
    assert "mipnet" in pack["columns"]
    monkeypatch.setattr("mipnet.bench.report.report.MOST_BYTES", len(whole.encode()) - 1)
    less = found.html()
    assert "columns of provenance" in less
    kept = data_of(less)["columns"]
    assert isinstance(kept, dict)
    assert "mipnet" not in kept
    assert "total_s" in kept
    monkeypatch.setattr("mipnet.bench.report.report.MOST_BYTES", 1000)
    with pytest.raises(StoreError, match="--where"):
        found.html()


def test_a_part_of_the_results() -> None:
    results = made_up(questions=3)
    part = build_report(results, where={"problem": "linf", "pruning": ["dense", "flap 0.5"]})
    assert set(part.cells["problem"]) == {"linf"}
    assert part.series == ("dense", "flap 0.5")
    assert data_of(part.html())["command"] == [
        *("results/'made up'".replace("results/'made up'", "'results/made up'"),),
        *("--where", "problem=linf", "--where", "pruning=dense", "--where", "'pruning=flap 0.5'"),
    ]
    keep = build_report(results, where={"keep": "0.25"})
    assert set(keep.cells["keep"]) == {0.25}
    with pytest.raises(StoreError, match=r"unknown problem 'lnf' .did you mean 'linf'"):
        build_report(results, where={"problem": "lnf"})
    with pytest.raises(StoreError, match="unknown column 'objective'"):
        build_report(results, where={"objective": "1"})
    with pytest.raises(StoreError, match=r"nothing fits all of method=dense, keep=0\.5"):
        build_report(results, where={"method": "dense", "keep": "0.5"})


def test_hidden_series_leave_the_rest_computed_anew() -> None:
    found = build_report(made_up(questions=3))
    less = found.without(["dense"])
    assert "dense" not in less.series
    assert less.table("summary").rows[0][0] == "flap 0.5"
    with pytest.raises(StoreError, match="unknown series 'flap'"):
        found.without(["flap"])
    with pytest.raises(StoreError, match="show at least one"):
        found.without(list(found.series))


def test_two_runs_side_by_side(tmp_path: Path) -> None:
    before = written(made_up(questions=4), tmp_path / "before")
    slow = made_up(questions=4)
    slow.cells["total_s"] *= 1.7
    after = written(slow, tmp_path / "after")
    found = build_report(after, against=before)
    assert "before · flap 0.5" in found.series
    assert "after · flap 0.5" in found.series
    text = found.html()
    assert 'id="comparison"' in text
    assert "is slower than" in text
    assert "--against" in str(data_of(text)["command"])
    # Items are the same questions, so that ratios are paired.
    assert (
        found.cells["item"].nunique()
        == load(after).cells.groupby(["network", "problem", "instance", "seed"]).ngroups
    )


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    found = build_report(made_up(questions=1))
    target = tmp_path / "new" / "r.html"
    assert found.write(target) == target
    assert target.read_text(encoding="utf-8").endswith("</html>\n")
    assert [p.name for p in target.parent.iterdir()] == ["r.html"]
    with pytest.raises(StoreError, match="is a folder"):
        found.write(tmp_path)


def test_nothing_finished_is_said(tmp_path: Path) -> None:
    empty = made_up(questions=1, missing=1.1)
    with pytest.raises(StoreError, match="none is finished yet"):
        build_report(empty)
    with pytest.raises(StoreError, match="holds no results"):
        build_report(tmp_path)
