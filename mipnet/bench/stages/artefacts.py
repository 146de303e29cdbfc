"""First stage: networks trained or read, masks made; each stored once.

Linear algebra and torch run on one thread: the variables that say so are set before the process
starts, so weights do not depend on the number of cores.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from mipnet.bench.array_cost import array_cost
from mipnet.bench.data import Data
from mipnet.bench.errors import StoreError
from mipnet.bench.provenance import file_hash
from mipnet.bench.stages.place import Place
from mipnet.bench.stages.quality import quality
from mipnet.bench.store.artefacts import MASK, stored_files
from mipnet.bench.tasks import Task
from mipnet.network import Network
from mipnet.network.readers import load
from mipnet.pruning import finetune, prune, train_mlp
from mipnet.pruning.registry import PRUNERS


def make_network(task: Task, place: Place) -> dict[str, Any]:
    """Train a network, or take it from its file.

    Parameters
    ----------
    task : Task
    place : Place

    Returns
    -------
    dict
        Columns, ``file``, the stored network in the folder of the artefact, and ``files``, the
        content hash of every file there.
    """
    data = place.data(task.key["data"])
    start = time.perf_counter()
    folder = place.artefact(task.id)
    if "file" in task.key:
        name = f"network{task.key['suffix']}"
        with place.writing(task.id, name) as part:
            shutil.copyfile(task.files["network"], part)
        if file_hash(folder / name) != task.key["file"]:
            msg = f"{task.files['network']} has changed since the plan was read; run again"
            raise StoreError(msg)
        network = load(folder / name)
        seconds = 0.0
    else:
        network = _train(task, _present(data, task))
        seconds = time.perf_counter() - start
        stored = place.store(network, task.id)
        if stored is None:
            msg = "the trained network cannot be stored"
            raise StoreError(msg)
        name = stored
        network = load(folder / name)
    bounds = None
    if network.input_bounds is None and data is not None and data.lower.size == network.n_inputs:
        bounds = [data.lower.reshape(network.input_shape), data.upper.reshape(network.input_shape)]
    return {
        "file": name,
        "files": stored_files(folder, (name,)),
        "input_bounds": None if bounds is None else [side.tolist() for side in bounds],
        "train_s": seconds,
        **sizes(network),
        **quality(network, data, None),
    }


def make_mask(task: Task, place: Place) -> dict[str, Any]:
    """Prune a network, and fine-tune what is left where the plan asks for it.

    Parameters
    ----------
    task : Task
    place : Place

    Returns
    -------
    dict
        Columns, ``file``, the stored network, None where it is the dense one under the mask, and
        ``files``, the content hash of every file of the artefact.
    """
    key = task.key
    dense = place.network(key["needs"]["network"])
    data = place.data(key["data"])
    method = PRUNERS[key["method"]]
    inputs = data.points(data.train) if data is not None and method.needs else None
    trains = data is not None and "training" in method.needs
    result = prune(
        dense,
        key["method"],
        keep=key["keep"],
        data=inputs,
        y=np.asarray(data.targets[data.train]) if data is not None and trains else None,
        random_state=key["seed"],
        **key["options"],
    )
    network, tuned_s = result.network, 0.0
    if key["finetune"] is not None:
        start = time.perf_counter()
        network = _finetune(network, _present(data, task), key["finetune"], key["seed"])
        tuned_s = time.perf_counter() - start
    with place.writing(task.id, MASK) as part:
        result.mask.save(part)
    stored = place.store(network, task.id)
    if stored is None and key["finetune"] is not None:
        msg = "the fine-tuned network has layers that cannot be stored; leave out finetune"
        raise StoreError(msg)
    # What a cell will be asked about is what is on the disk.
    network = network if stored is None else load(place.artefact(task.id) / stored)
    report = result.report
    bounds = dense.input_bounds
    files = stored_files(place.artefact(task.id), (stored, MASK))
    return {
        "file": stored,
        "files": files,
        "input_bounds": None if bounds is None else [side.tolist() for side in bounds],
        "mask_hash": files[MASK],
        "keep_reached": report.keep_reached,
        "units_before": report.units_before,
        "parameters_before": report.parameters_before,
        "prune_s": report.prune_seconds,
        "compact_s": report.compact_seconds,
        "finetune_s": tuned_s + report.finish_seconds,
        **sizes(network),
        **quality(network, data, dense),
    }


def make_cost(task: Task, place: Place) -> dict[str, Any]:
    """Cost a network and its mask on a systolic array.

    Parameters
    ----------
    task : Task
    place : Place
    """
    subject = task.key["needs"]["network"]
    record = place.record(subject)
    for role, path in task.files.items():
        if file_hash(Path(path)) != task.key["files"][role]:
            msg = f"{path} has changed since the plan was read; run again"
            raise StoreError(msg)
    options = {**task.key["array"], **task.files}
    if record["kind"] == "network":
        return array_cost(place.network(subject), None, options)
    dense = place.network(record["key"]["needs"]["network"])
    return array_cost(dense, place.mask(subject), options)


def sizes(network: Network) -> dict[str, Any]:
    """Count what describes a network.

    Returns
    -------
    dict
        ``units`` (neurons in front of a nonlinear layer), ``parameters``, ``nonzeros``, ``layers``
        (those with parameters), ``fingerprint``.
    """
    units = sum(
        int(np.prod(network.shapes[node.inputs[0]]))
        for node in network.nodes
        if node.layer.nonlinear
    )
    nonzeros = sum(
        int(np.count_nonzero(p)) for node in network.nodes for p in node.layer.parameters
    )
    return {
        "units": units,
        "parameters": network.n_parameters,
        "nonzeros": nonzeros,
        "layers": sum(bool(node.layer.parameters) for node in network.nodes),
        "fingerprint": network.fingerprint,
    }


def _train(task: Task, data: Data) -> Network:
    return train_mlp(
        data.points(data.train),
        np.asarray(data.targets[data.train]),
        task.key["hidden"],
        task=data.task,
        input_bounds=(data.lower, data.upper),
        **task.key["training"],
    )


def _finetune(network: Network, data: Data, options: dict[str, Any], seed: int) -> Network:
    return finetune(
        network,
        data.points(data.train),
        np.asarray(data.targets[data.train]),
        task=data.task,
        seed=seed,
        **options,
    )


def _present(data: Data | None, task: Task) -> Data:
    if data is None:
        msg = f"{task.name} needs data"
        raise StoreError(msg)
    return data
