"""Second stage: one question put to one network in one way."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mipnet.bench.data import Data
from mipnet.bench.plan.expand import problem_from
from mipnet.bench.problems.base import PROBLEMS, Answer, Instance, Problem, Search
from mipnet.bench.solvers import SOLVERS
from mipnet.bench.solvers.listen import Event, Listener, listening
from mipnet.bench.stages.channel import Channel
from mipnet.bench.stages.place import Place
from mipnet.bench.tasks import Task
from mipnet.bounds import compute_bounds
from mipnet.encode import encode
from mipnet.errors import MipnetError
from mipnet.network import Network


def solve_cell(task: Task, place: Place, channel: Channel, log: TextIO | None) -> dict[str, Any]:
    """Answer a question, and look at the answer from the outside.

    Parameters
    ----------
    task : Task
    place : Place
    channel : Channel
        Receives incumbent and bound while the solver runs.
    log : text file, optional

    Returns
    -------
    dict
        Columns of the cell.
    """
    key = task.key
    kind = PROBLEMS[key["problem"]["kind"]]
    problem = problem_from(kind, key["problem"])
    files = {role: Path(path) for role, path in task.files.items()}
    instance = Instance(str(task.labels["instance"]), key["instance"], files=files)
    data = place.data(key["data"])
    network = place.network(key["needs"]["network"])
    how = Search(
        time_limit=key["time_limit"],
        formulation=key["formulation"],
        bounds=key["bounds"],
        restarts=key["restarts"],
        threads=key["threads"],
        seed=key["seed"],
    )
    listener = _listener(task, kind, channel, log)
    cpu = time.process_time()
    start = time.perf_counter()
    listener.begin = start
    with listening(listener):
        answer = problem.solve(network, instance, data, how)
    total = time.perf_counter() - start
    cpu = time.process_time() - cpu
    revisited = None
    if answer.point is not None:
        # What the decision is worth in the network the pruned one came from.
        original = place.network(key["needs"].get("original", key["needs"]["network"]))
        revisited = problem.revisit(original, instance, data, answer)
    return {
        **_columns(answer),
        "goal": kind.goal,
        "total_s": total,
        "cpu_s": cpu,
        "solves": listener.solves,
        "network_fingerprint": network.fingerprint,
        "original_value": revisited,
        **program_sizes(problem, network, instance, data, key["formulation"]),
    }


def program_sizes(
    problem: Problem, network: Network, instance: Instance, data: Data | None, formulation: str
) -> dict[str, Any]:
    r"""Size of the program of a question under CROWN bounds, which depend on no clock.

    Returns
    -------
    dict
        ``size_unstable``, ``size_binaries``, ``size_rows``, ``size_columns``, ``size_nonzeros``,
        ``m_min``, ``m_median``, ``m_max`` (the constants of unstable neurons of layers with a kink
        at zero, :math:`\max(-l, u)`; curves are written as pieces and have none), ``inactive``,
        ``active``; nothing where there is no one region.
    """
    region = problem.region(network, instance, data)
    if region is None:
        return {}
    try:
        bounds = compute_bounds(network, region, "crown")
        encoding = encode(network, region, bounds.intervals, formulation_name=formulation)
    except MipnetError as error:
        return {"size_reason": str(error)}
    arrays = encoding.arrays()
    constants = np.concatenate(
        [np.zeros(0)]
        + [
            np.maximum(-low, high)[(low < 0.0) & (high > 0.0)]
            for node in network.nodes
            if node.layer.hinged
            for box in [bounds.intervals[node.inputs[0]]]
            for low, high in [(box.lower.reshape(-1), box.upper.reshape(-1))]
        ]
    )
    spread = np.quantile(constants, [0.0, 0.5, 1.0]).tolist() if constants.size else [None] * 3
    return {
        "size_unstable": sum(layer.unstable for layer in encoding.layers),
        "size_binaries": int(np.count_nonzero(arrays.integer)),
        "size_rows": arrays.n_rows,
        "size_columns": arrays.n_columns,
        "size_nonzeros": arrays.n_nonzeros,
        "inactive": sum(layer.inactive for layer in encoding.layers),
        "active": sum(layer.active for layer in encoding.layers),
        "m_min": spread[0],
        "m_median": spread[1],
        "m_max": spread[2],
    }


def _listener(task: Task, kind: type[Problem], channel: Channel, log: TextIO | None) -> Listener:
    sign, callers = kind.trajectory or (1.0, frozenset())

    def send(event: Event) -> None:
        number, seconds, incumbent, bound, nodes, scaled = event
        values = [None if v is None else sign * v for v in (incumbent, bound)]
        channel.send({"event": [number, seconds, *values, nodes, scaled]})

    chosen = task.key["solver"]
    return Listener(
        SOLVERS[chosen["name"]],
        chosen["profile"],
        chosen["options"],
        task.key["permute"],
        callers,
        send,
        lambda number, factor: channel.send({"factor": [number, factor]}),
        log,
    )


def _columns(answer: Answer) -> dict[str, Any]:
    found = {
        name: getattr(answer, name)
        for name in Answer.__dataclass_fields__
        if name not in {"point", "clocks"}
    }
    clocks = {f"{name}_s": value for name, value in asdict(answer.clocks).items()}
    del clocks["prune_s"]
    point = None if answer.point is None else [float(v) for v in answer.point.reshape(-1)]
    return {**found, **clocks, "point": point}
