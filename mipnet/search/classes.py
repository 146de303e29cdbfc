"""Questions about the classes of a classifier: which outputs count as wrong."""

from __future__ import annotations

import numpy as np

from mipnet.errors import QueryError
from mipnet.network import Network
from mipnet.network.layers.base import Array
from mipnet.search.goal import Stack, beats


def checked_class(what: str, value: int, count: int) -> int:
    """Return a class as a plain integer.

    Parameters
    ----------
    what : str
        What it is, for the message.
    value : int
    count : int
        Number of classes.

    Raises
    ------
    QueryError
        When it is no integer from 0 to ``count - 1``.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        msg = f"{what} must be an integer, not {value!r}"
        raise QueryError(msg)
    if not 0 <= value < count:
        msg = f"{what} {value} is out of range; the network has classes 0 to {count - 1}"
        raise QueryError(msg)
    return int(value)


def right_class(network: Network, centre: Array, label: int | None) -> int:
    """Return the label, checked; the class of ``centre`` when it is absent.

    Raises
    ------
    QueryError
        When the label is out of range, or the network has one output.
    """
    if network.n_outputs < 2:
        msg = "the network has one output; classes need at least two"
        raise QueryError(msg)
    own = int(np.argmax(network(centre))) if label is None else label
    return checked_class("label", own, network.n_outputs)


def wrong_classes(
    network: Network, centre: Array, label: int | None, target: int | None
) -> tuple[int, Stack]:
    """Return the label, and a clause for every class that counts as wrong.

    Parameters
    ----------
    network : Network
    centre : array, shape (n_inputs,)
        Its class is the label when ``label`` is None.
    label, target : int or None
        With a target one clause: it beats every other class. Otherwise one for each class that
        beats the label.

    Raises
    ------
    QueryError
        When label or target is out of range or they coincide, or the network has one output.
    """
    right, count = right_class(network, centre, label), network.n_outputs
    if target is None:
        return right, Stack(tuple(beats(k, [right], count) for k in range(count) if k != right))
    goal = checked_class("target", target, count)
    if goal == right:
        msg = f"target {target} is the label itself"
        raise QueryError(msg)
    return right, Stack((beats(goal, [k for k in range(count) if k != goal], count),))
