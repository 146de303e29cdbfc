"""Where a mask came from."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from mipnet.errors import MaskError


def software_versions() -> dict[str, str]:
    """Versions of mipnet, numpy and Python."""
    try:
        own = version("mipnet")
    except PackageNotFoundError:
        own = "not installed"
    return {"mipnet": own, "numpy": np.__version__, "python": platform.python_version()}


@dataclass(frozen=True)
class Provenance:
    """Where a mask came from.

    Attributes
    ----------
    fingerprint : str
        :attr:`Network.fingerprint` of the network the mask was made for.
    method : str
        Registered name of the method; ``"manual"`` for masks made by hand.
    options : mapping
        Parameters of the method; anything JSON can hold.
    seed : int, optional
        Seed of the random generator.
    data_hash : str, optional
        SHA-256 of the calibration data.
    versions : mapping of str to str
        Versions of the software that made the mask.
    """

    fingerprint: str
    method: str = "manual"
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    data_hash: str | None = None
    versions: Mapping[str, str] = field(default_factory=software_versions)

    def __post_init__(self) -> None:
        for name, types in (
            ("fingerprint", str),
            ("method", str),
            ("options", Mapping),
            ("seed", int | None),
            ("data_hash", str | None),
            ("versions", Mapping),
        ):
            if not isinstance(getattr(self, name), types):
                msg = f"provenance: {name} cannot be {getattr(self, name)!r}"
                raise MaskError(msg)
        object.__setattr__(self, "options", _plain(self.options))
        object.__setattr__(self, "versions", {str(k): str(v) for k, v in self.versions.items()})


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Copy of options as JSON would give it back."""
    try:
        text = json.dumps(dict(options), allow_nan=False, default=_scalar)
    except (TypeError, ValueError) as error:
        msg = f"options must be plain JSON values: {error}"
        raise MaskError(msg) from error
    result: dict[str, Any] = json.loads(text)
    return result


def _scalar(value: object) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    msg = f"{value!r} is of type {type(value).__name__}"
    raise TypeError(msg)
