"""The section of a page that sets two runs side by side."""

from __future__ import annotations

import html

from mipnet.bench.comparison import Comparison, Part
from mipnet.bench.report.metrics import written

_HEAD = ("Part", "Pairs", "Ratio", "95 % interval", "p", "Faster", "Ties", "Slower", "Cut short")


def section(found: Comparison, first: str, second: str) -> str:
    """HTML of a comparison.

    Parameters
    ----------
    found : Comparison
        Of the first run with the second.
    first, second : str
        Names of the runs.
    """
    verdict = f"{found.verdict(first, second)}."
    lines = [
        *(f"left out: {count} {reason}" for reason, count in found.dropped.items()),
        *found.notes,
        *found.changed,
        *(f"failed in {second} only: {line}" for line in found.broken),
        *(f"missing in {second}: {line}" for line in found.lost),
    ]
    if any(found.solved):
        one, two = found.solved
        lines.append(f"solved only by {first}: {one}; only by {second}: {two}")
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    head = "".join(
        f'<th scope="col"{" class=n" if k else ""}>{html.escape(name)}</th>'
        for k, name in enumerate(_HEAD)
    )
    rows = "".join(map(_row, (found.whole, *found.parts)))
    return (
        '<section id="comparison" aria-labelledby="comparison-h">'
        '<h2 id="comparison-h">Two runs</h2>'
        f'<p class="lede{"" if found.ok else " bad"}">{html.escape(verdict)} '
        f"<a href='#f-ratio'>Ratios</a> are those of {html.escape(second)} over "
        f"{html.escape(first)}, by {html.escape(found.metric)}.</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Two runs"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        + (f'<ul class="notes">{items}</ul>' if items else "")
        + "</section>"
    )


def _row(part: Part) -> str:
    ratio = part.ratio
    cells = [
        written(ratio.pairs, "count"),
        written(ratio.ratio, "ratio"),
        f"{written(ratio.low, 'ratio')} – {written(ratio.high, 'ratio')}",
        written(part.test.p, "p"),
        *(str(n) for n in (part.wins, part.ties, part.losses, part.censored)),
    ]
    numbers = "".join(f'<td class="n">{html.escape(cell)}</td>' for cell in cells)
    return f'<tr><th scope="row">{html.escape(part.name)}</th>{numbers}</tr>'
