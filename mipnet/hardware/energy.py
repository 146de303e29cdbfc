"""Energy tables: what an operation and an access cost, in which unit, and who says so.

A table is a TOML file::

    name = "mine"
    base = "horowitz45"          # optional: entries not listed here come from there

    [mac]                        # entries a multiply-accumulate of each precision adds up
    int8 = ["int8_multiply", "int32_add"]

    [entries.sram_32k]
    kind = "sram"                # arithmetic, register, hop, mux, sram, dram or leakage
    value = 20.0
    unit = "pJ/access"           # fJ, pJ, nJ or MAC, per op, access, word, bit, byte or cycle
    width_bits = 64              # of one access, or of the operands; "unrecorded" needs a note
    capacity_bytes = 32768       # sram only
    direction = "read"           # optional: an entry for each direction
    node_nm = 45                 # "unrecorded" needs a note that says why
    voltage = 0.9                # optional, like note
    source = "..."
    year = 2014

Energies are counts times values of one dimension: operations times energy per operation, bits
over the width of an access times energy per access. ``MAC`` is the energy of one
multiply-accumulate: tables in it are relative and never mixed with the others.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from mipnet.errors import ReadError

#: What each kind of entry may be counted in.
KINDS = {
    "arithmetic": ("op",),
    "mux": ("op",),
    "register": ("access", "word", "bit", "byte"),
    "hop": ("access", "word", "bit", "byte"),
    "sram": ("access", "word", "bit", "byte"),
    "dram": ("access", "word", "bit", "byte"),
    "leakage": ("cycle",),
}
#: Energies in pJ; ``MAC`` is a dimension of its own.
ENERGIES = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3, "MAC": 1.0}
DIRECTIONS = ("read", "write", "both")
_REQUIRED = ("kind", "value", "unit", "width_bits", "node_nm", "source", "year")
_OPTIONAL = ("capacity_bytes", "direction", "voltage", "note")
_NUMBERS = ("value", "width_bits", "node_nm", "year", "capacity_bytes", "voltage")
_MAY_BE_UNRECORDED = ("width_bits", "node_nm")
#: Written where a source does not say.
UNRECORDED = "unrecorded"
_FOLDER = files("mipnet.hardware") / "tables"


@dataclass(frozen=True)
class Entry:
    """One line of a table.

    Attributes
    ----------
    name, kind : str
    value : float
        In ``energy`` per ``per``.
    energy, per : str
        The two halves of the unit.
    width_bits : int, optional
        Bits of one access, or of the operands; None when the source does not say.
    node_nm : float, optional
        Technology node; None when the source does not say.
    source : str
    year : int
    capacity_bytes : int, optional
    direction : {"read", "write", "both"}
    voltage : float, optional
    note : str
    """

    name: str
    kind: str
    value: float
    energy: str
    per: str
    width_bits: int | None
    node_nm: float | None
    source: str
    year: int
    capacity_bytes: int | None = None
    direction: str = "both"
    voltage: float | None = None
    note: str = ""

    @property
    def unit(self) -> str:
        """Unit as text."""
        return f"{self.energy}/{self.per}"

    @property
    def picojoules(self) -> float:
        """Value in pJ, or in MACs for a relative entry."""
        return self.value * ENERGIES[self.energy]

    def word(self, bits: int) -> float:
        """Energy of moving one word of so many bits.

        A word narrower than the access takes its share of it: neighbouring words are assumed to
        travel together.
        """
        width = self.width_bits or bits
        count = {"word": 1.0, "bit": float(bits), "byte": bits / 8, "access": bits / width}
        return self.picojoules * count[self.per]


@dataclass(frozen=True)
class EnergyTable:
    """A checked table.

    Attributes
    ----------
    name, title : str
    entries : mapping of str to Entry
    macs : mapping of str to tuple of str
        Entries that add up to one multiply-accumulate, by precision; ``any`` serves all.
    path : str, optional
        File of a table that does not come with mipnet.
    """

    name: str
    title: str
    entries: Mapping[str, Entry]
    macs: Mapping[str, tuple[str, ...]]
    path: str | None = None

    @cached_property
    def unit(self) -> str:
        """Unit of totals: ``pJ``, or ``MAC`` for a relative table."""
        return "MAC" if any(e.energy == "MAC" for e in self.entries.values()) else "pJ"

    def prices(self, precision: str) -> bool:
        """Whether the table has a multiply-accumulate of that precision."""
        return precision in self.macs or "any" in self.macs

    def mac(self, precision: str) -> float:
        """Energy of one multiply-accumulate.

        Raises
        ------
        ReadError
            When the table has none of that precision.
        """
        names = self.macs.get(precision, self.macs.get("any"))
        if names is None:
            msg = f"energy table {self.name!r} has no MAC of precision {precision!r}; it has "
            msg += f"{', '.join(self.macs)}: choose one of these, add it under [mac], or take "
            msg += f"a table that prices it: {', '.join(pricing(precision)) or 'none is shipped'}"
            raise ReadError(msg)
        return sum(self.entries[name].picojoules for name in names)

    def word(
        self, kind: str, bits: int, *, direction: str = "read", capacity: int | None = None
    ) -> float | None:
        """Energy of moving one word; None when the table does not price that kind.

        Between the capacities of the table SRAM energy is interpolated linearly in the square
        root of the capacity, beyond them it grows with that root. This is an approximation.

        Parameters
        ----------
        kind : {"register", "hop", "sram", "dram"}
        bits : int
        direction : {"read", "write"}
        capacity : int, optional
            Bytes of the SRAM.
        """
        entries = [
            e
            for e in self.entries.values()
            if e.kind == kind and e.direction in {direction, "both"}
        ]
        if not entries:
            return None
        sized = sorted(
            (e for e in entries if e.capacity_bytes), key=lambda e: e.capacity_bytes or 0
        )
        if capacity is None or len(sized) < 2:
            return entries[0].word(bits)
        roots = [math.sqrt(e.capacity_bytes or 0) for e in sized]
        values = [e.word(bits) for e in sized]
        at = math.sqrt(capacity)
        if at <= roots[0]:
            return values[0] * at / roots[0]
        if at >= roots[-1]:
            return values[-1] * at / roots[-1]
        i = next(i for i, root in enumerate(roots) if at < root)
        share = (at - roots[i - 1]) / (roots[i] - roots[i - 1])
        return values[i - 1] + share * (values[i] - values[i - 1])

    def each(self, kind: str) -> float | None:
        """Energy of one event of kind ``mux`` or ``leakage`` (per PE and cycle), summed."""
        values = [e.picojoules for e in self.entries.values() if e.kind == kind]
        return sum(values) if values else None


def energy_tables() -> tuple[str, ...]:
    """Names of the tables that come with mipnet."""
    names = (file.name for file in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def pricing(precision: str) -> tuple[str, ...]:
    """Names of the shipped tables with a multiply-accumulate of that precision."""
    return tuple(name for name in energy_tables() if _shipped(name).prices(precision))


def energy_table(source: object) -> EnergyTable:
    """Read a table by its name, or from a TOML file.

    Parameters
    ----------
    source : str, path or EnergyTable

    Raises
    ------
    ReadError
        When there is no such table, or an entry lacks its unit or anything else.

    Examples
    --------
    >>> table = energy_table("horowitz45")
    >>> table.mac("int8"), table.word("sram", 8, capacity=32 * 1024)
    (0.30000000000000004, 2.5)
    """
    if isinstance(source, EnergyTable):
        return source
    if isinstance(source, str) and source in energy_tables():
        return _shipped(source)
    if not isinstance(source, str | os.PathLike):
        msg = f"an energy table is a name, a .toml file or an EnergyTable, not {source!r}"
        raise ReadError(msg)
    path = Path(source)
    if path.suffix != ".toml" or not path.is_file():
        msg = f"no energy table {os.fspath(source)!r}: give a .toml file or one of "
        msg += ", ".join(energy_tables())
        raise ReadError(msg)
    return replace(_read(path.read_bytes(), str(path)), path=str(path))


@cache
def _shipped(name: str) -> EnergyTable:
    return _read((_FOLDER / f"{name}.toml").read_bytes(), name)


def _read(data: bytes, where: str) -> EnergyTable:
    try:
        plain = tomllib.loads(data.decode("utf-8"))
        return _table(plain, where)
    except (ReadError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"cannot read energy table {where!r}: {error}"
        raise ReadError(msg) from error


def _table(plain: Mapping[str, Any], where: str) -> EnergyTable:
    _refuse_unknown(plain, ("name", "title", "base", "mac", "entries"), "it")
    listed, macs = plain.get("entries", {}), plain.get("mac", {})
    if not isinstance(listed, Mapping) or not listed:
        msg = "it has no [entries.NAME]"
        raise ReadError(msg)
    base = None
    if "base" in plain:
        if plain["base"] not in energy_tables():
            msg = f"base {plain['base']!r} is none of {', '.join(energy_tables())}"
            raise ReadError(msg)
        base = _shipped(plain["base"])
    own = {name: _entry(name, fields) for name, fields in listed.items()}
    replaced = {e.kind for e in own.values()} - {"arithmetic"}
    kept = base.entries if base else {}
    entries = {n: e for n, e in kept.items() if e.kind not in replaced} | own
    table = EnergyTable(
        name=str(plain.get("name", Path(where).stem)),
        title=str(plain.get("title", "")),
        entries=entries,
        macs=(dict(base.macs) if base else {}) | _macs(macs, entries),
    )
    _check_whole(table)
    return table


def _entry(name: str, plain: Any) -> Entry:
    if not isinstance(plain, Mapping):
        msg = f"entry {name!r} is no table of fields"
        raise ReadError(msg)
    _refuse_unknown(plain, (*_REQUIRED, *_OPTIONAL), f"entry {name!r}")
    missing = [field for field in _REQUIRED if field not in plain]
    if missing:
        example = ', for example unit = "pJ/access"' if "unit" in missing else ""
        msg = f"entry {name!r} has no {', '.join(missing)}{example}"
        raise ReadError(msg)
    kind, unit = plain["kind"], str(plain["unit"])
    energy, slash, per = unit.partition("/")
    if kind not in KINDS:
        msg = f"entry {name!r}: kind {kind!r} is none of {', '.join(KINDS)}"
        raise ReadError(msg)
    if not slash or energy not in ENERGIES or per not in KINDS[kind]:
        msg = f"entry {name!r}: unit {unit!r} does not fit kind {kind!r}; write an energy "
        msg += (
            f"({', '.join(ENERGIES)}) per {' or '.join(KINDS[kind])}, such as pJ/{KINDS[kind][0]}"
        )
        raise ReadError(msg)
    fields = {f: v for f, v in plain.items() if v != UNRECORDED or f not in _MAY_BE_UNRECORDED}
    for field in {*_NUMBERS} & {*fields}:
        value = fields[field]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        least = 0.0 if field == "value" else math.ulp(0.0)
        if not number or not least <= value < math.inf:
            msg = f"entry {name!r}: {field} is {value!r}, not a positive number"
            raise ReadError(msg)
    if per == "access" and "width_bits" not in fields:
        msg = f"entry {name!r}: {unit} needs width_bits, the bits of one access"
        raise ReadError(msg)
    blank = [field for field in _MAY_BE_UNRECORDED if field not in fields]
    if blank and not str(fields.get("note", "")).strip():
        msg = f"entry {name!r}: {' and '.join(blank)} unrecorded; say why in its note"
        raise ReadError(msg)
    direction = plain.get("direction", "both")
    if direction not in DIRECTIONS:
        msg = f"entry {name!r}: direction {direction!r} is none of {', '.join(DIRECTIONS)}"
        raise ReadError(msg)
    rest: dict[str, Any] = {f: fields.get(f) for f in _MAY_BE_UNRECORDED}
    rest |= {f: fields[f] for f in (*_OPTIONAL, "source", "year") if f in fields}
    return Entry(name=name, kind=kind, value=float(fields["value"]), energy=energy, per=per, **rest)


def _macs(plain: Any, entries: Mapping[str, Entry]) -> dict[str, tuple[str, ...]]:
    if not isinstance(plain, Mapping):
        msg = "[mac] lists the entries of one multiply-accumulate for each precision"
        raise ReadError(msg)
    macs = {}
    for precision, names in plain.items():
        parts = tuple(names) if isinstance(names, list) else (names,)
        bad = [n for n in parts if n not in entries or entries[n].kind != "arithmetic"]
        if bad or not parts:
            msg = f"[mac] {precision}: {bad} are no arithmetic entries of this table"
            raise ReadError(msg)
        macs[precision] = parts
    return macs


def _check_whole(table: EnergyTable) -> None:
    if len({entry.energy == "MAC" for entry in table.entries.values()}) > 1:
        relative = [e.name for e in table.entries.values() if e.energy == "MAC"]
        msg = f"entries {relative} are relative to a MAC, the others are not; they cannot be added"
        raise ReadError(msg)
    kinds = {entry.kind for entry in table.entries.values()}
    missing = [kind for kind in ("sram", "dram") if kind not in kinds]
    if missing or not table.macs:
        what = [*missing, *([] if table.macs else ["[mac]"])]
        msg = f'it prices no {" and no ".join(what)}; add entries, or base = "horowitz45"'
        raise ReadError(msg)


def _refuse_unknown(plain: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    unknown = sorted(set(plain) - set(known))
    if unknown:
        msg = f"{where} has unknown fields {unknown}; known are {', '.join(known)}"
        raise ReadError(msg)
