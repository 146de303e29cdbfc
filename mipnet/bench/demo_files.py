"""Results of the demo on disk: tables, settings, and the networks beside them."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mipnet.bench.demo_records import DemoResult, DemoRow, DemoSummary
from mipnet.bench.environment import versions

FORMAT = 1


def write_demo(result: DemoResult, folder: Path) -> tuple[Path, ...]:
    """Write ``results.csv``, ``summary.csv``, ``settings.json``, and ``results.parquet``.

    The Parquet file needs pandas and pyarrow and is left out without them. Floating-point values
    are written so that reading them gives the same numbers; the witness is a JSON list in the CSV
    file and a list column in the Parquet file. Files of the same names are replaced.

    Parameters
    ----------
    result : DemoResult
    folder : Path

    Returns
    -------
    tuple of Path
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "format": FORMAT,
        "data": "sklearn.datasets.load_digits, pixels divided by 16",
        "settings": asdict(result.settings),
        "versions": {name: version for name, version in versions().items() if version},
        "networks": [
            {f.name: getattr(n, f.name) for f in fields(n) if f.name != "network"}
            for n in result.networks
        ],
        "seconds": result.seconds,
    }
    written = [
        _text(folder / "results.csv", _csv(DemoRow, result.rows)),
        _text(folder / "summary.csv", _csv(DemoSummary, result.summary)),
        _text(folder / "settings.json", json.dumps(settings, indent=1, allow_nan=False) + "\n"),
    ]
    parquet = folder / "results.parquet"
    if find_spec("pandas") and find_spec("pyarrow"):
        written.insert(1, _parquet(parquet, result.rows))
    else:
        # One of an earlier run would contradict the tables.
        parquet.unlink(missing_ok=True)
    return tuple(written)


def _csv(kind: type[DemoRow] | type[DemoSummary], rows: Sequence[DemoRow | DemoSummary]) -> str:
    stream = io.StringIO()
    names = [f.name for f in fields(kind)]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, tuple) else value


def _text(path: Path, text: str) -> Path:
    # Written beside and renamed, so that an interrupt leaves no half file.
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
    return path


def _parquet(path: Path, rows: Sequence[DemoRow]) -> Path:
    import pandas as pd

    part = path.with_name(path.name + ".part")
    frame = pd.DataFrame([asdict(row) for row in rows])
    frame["predicted"] = frame["predicted"].astype("Int64")
    frame["margin"] = frame["margin"].astype("Float64")
    frame.to_parquet(part, engine="pyarrow", index=False)
    os.replace(part, path)
    return path
