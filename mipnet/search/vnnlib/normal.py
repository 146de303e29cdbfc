"""From a formula to input boxes, each with its clauses over the outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mipnet.errors import UnsupportedError
from mipnet.search.vnnlib.exact import Range
from mipnet.search.vnnlib.formula import Comparison, Formula, Junction
from mipnet.search.vnnlib.syntax import Text

#: Most disjuncts, and most comparisons visited, while a formula is multiplied out.
DISJUNCTS, STEPS = 100_000, 10_000_000

#: Clauses of outputs: each a conjunction.
Clauses = list[tuple[Comparison, ...]]


@dataclass
class Normal:
    """A formula as a disjunction: some box of inputs and one of its clauses.

    Attributes
    ----------
    base : dict of int to Range
        Bounds that hold in every disjunct.
    boxes : list of (dict of int to Range, Clauses)
        Bounds in which the box differs from the base, and its clauses; no box comes twice and
        none is empty.
    """

    base: dict[int, Range] = field(default_factory=dict)
    boxes: list[tuple[dict[int, Range], Clauses]] = field(default_factory=list)


def normalise(formulas: list[Junction], text: Text) -> Normal:
    """Multiply out a conjunction of formulas.

    Raises
    ------
    UnsupportedError
        When comparisons are no bounds of one input and no comparisons of outputs, or the formula
        has too many disjuncts.
    """
    _refuse(formulas, text)
    result = Normal()
    common: list[Comparison] = []
    choices: list[Formula] = []
    for formula in formulas:
        for part in formula.parts:
            if isinstance(part, Comparison):
                common.append(part)
            else:
                choices.append(part)
    always = _narrow({}, result.base, common)
    if always is None:
        return result
    result.base = always
    always_outputs = tuple(c for c in common if c.outputs)
    boxes: dict[Any, tuple[dict[int, Range], Clauses]] = {}
    for chosen in _disjuncts(choices, text):
        changes = _narrow(result.base, {}, chosen)
        if changes is not None:
            key = tuple(sorted(changes.items()))
            clause = (*(c for c in chosen if c.outputs), *always_outputs)
            boxes.setdefault(key, (changes, []))[1].append(clause)
    result.boxes = list(boxes.values())
    return result


def _narrow(
    base: dict[int, Range], changes: dict[int, Range], comparisons: list[Comparison]
) -> dict[int, Range] | None:
    """Bounds that differ from the base once the comparisons hold; None when they cannot."""
    for c in comparisons:
        if c.outputs:
            continue
        if not c.inputs:
            if not c.holds_always:
                return None
            continue
        [(i, factor)] = c.inputs.items()
        old = changes.get(i) or base.get(i, Range())
        end = -c.constant / factor
        new = old.above(end, c.strict) if factor > 0 else old.below(end, c.strict)
        if new.empty:
            return None
        if new is not old:
            changes[i] = new
    return changes


def _disjuncts(choices: list[Formula], text: Text) -> list[list[Comparison]]:
    """All ways to satisfy every choice; stacks of linked pairs share what they have in common."""
    agenda: Any = None
    for choice in reversed(choices):
        agenda = (choice, agenda)
    found: list[list[Comparison]] = []
    todo: list[tuple[Any, Any]] = [(agenda, None)]
    steps = 0
    while todo:
        agenda, taken = todo.pop()
        # Every entry of the stack ends in at least one disjunct.
        if len(found) + len(todo) >= DISJUNCTS or steps > STEPS:
            listed = f"more than {DISJUNCTS} disjuncts once multiplied out; split the file"
            raise UnsupportedError(text.name, [listed])
        while agenda is not None:
            part, agenda = agenda
            steps += 1
            if isinstance(part, Comparison):
                taken = (part, taken)
            elif part.all:
                for inner in reversed(part.parts):
                    agenda = (inner, agenda)
                steps += len(part.parts)
            else:
                steps += len(part.parts)
                todo.extend(((inner, agenda), taken) for inner in reversed(part.parts[1:]))
                agenda = (part.parts[0], agenda)
        chosen = []
        while taken is not None:
            comparison, taken = taken
            chosen.append(comparison)
        steps += len(chosen)
        found.append(chosen[::-1])
    return found


def _refuse(formulas: list[Junction], text: Text) -> None:
    """List everything outside the supported fragment."""
    refused: dict[str, None] = {}
    todo: list[Formula] = list(reversed(formulas))
    while todo:
        part = todo.pop()
        if isinstance(part, Junction):
            todo.extend(reversed(part.parts))
            continue
        reason = ""
        if part.inputs and part.outputs:
            reason = f"links inputs with outputs ({_names(part)})"
        elif len(part.inputs) > 1:
            reason = f"links several inputs ({_names(part)}); only bounds of one input are read"
        elif part.outputs and part.scaled is None:
            reason = f"the constants beside {_names(part)} cannot be written as floats"
        if reason:
            refused[f"line {part.line}: {reason}"] = None
    if refused:
        raise UnsupportedError(text.name, list(refused))


def _names(comparison: Comparison) -> str:
    names = [f"X_{i}" for i in sorted(comparison.inputs)]
    names += [f"Y_{j}" for j in sorted(comparison.outputs)]
    return ", ".join(names if len(names) <= 6 else [*names[:5], f"and {len(names) - 5} more"])
