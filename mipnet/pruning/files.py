"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path to write to; it takes the place of ``path`` when the block ends well.

    The ending of the name stays, for writers that go by it.
    """
    final = Path(path)
    draft = final.with_name(f".{secrets.token_hex(6)}-{final.name}")
    try:
        yield draft
        draft.replace(final)
    finally:
        draft.unlink(missing_ok=True)
