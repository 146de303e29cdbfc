"""From arrays to a solver-ready model: mipnet beside OMLT, in one run.

    python benchmarks/build_time.py [NET.npz] [--repeats 5]

Figures, each the median over alternating repeats in this process:

* hand-over: OMLT builds its block and Pyomo's HiGHS interface hands it over, against mipnet from
  weight arrays to a loaded HiGHS object, CROWN bounds included;
* block: OMLT's Pyomo block against ``mipnet.NetworkBlock``, CROWN bounds included; once as it
  comes (rows write their expressions on first use) and once with every expression written out;
* import: seconds of ``import mipnet`` in a fresh interpreter.

Needs the ``peers`` extra (OMLT). The network is an npz with W0, b0, ... (y = W x + b) and the
bounds lb, ub; without a file a random 784-256-256-10 network is used.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyomo.environ as pyo

import mipnet
from mipnet.bounds import compute_bounds
from mipnet.encode import encode
from mipnet.network import Affine, Network
from mipnet.network.readers import load
from mipnet.region import Box
from mipnet.solver.coefficients import prepare
from mipnet.solver.model import load_model


def read(path: str | None) -> Network:
    if path is not None:
        return load(path)
    rng = np.random.default_rng(0)
    sizes = (784, 256, 256, 10)
    weights = [rng.normal(size=(o, i)) / np.sqrt(i) for i, o in pairwise(sizes)]
    network = load((weights, [np.zeros(len(w)) for w in weights]))
    centre = rng.uniform(size=784)
    return network.with_input_bounds(np.clip(centre - 0.03, 0, 1), np.clip(centre + 0.03, 0, 1))


def omlt_block(network: Network) -> pyo.ConcreteModel:
    from omlt import OmltBlock
    from omlt.neuralnet import NetworkDefinition, ReluBigMFormulation
    from omlt.neuralnet.layer import DenseLayer, InputLayer

    lower, upper = network.input_bounds
    bounds = {i: (float(lower[i]), float(upper[i])) for i in range(network.n_inputs)}
    definition = NetworkDefinition(scaled_input_bounds=bounds)
    previous = InputLayer([network.n_inputs])
    definition.add_layer(previous)
    affines = [n.layer for n in network.nodes if isinstance(n.layer, Affine)]
    for k, layer in enumerate(affines):
        dense = DenseLayer(
            input_size=[layer.weight.shape[1]],
            output_size=[layer.weight.shape[0]],
            activation="relu" if k + 1 < len(affines) else "linear",
            weights=layer.weight.T.copy(),
            biases=layer.bias.copy(),
        )
        definition.add_layer(dense)
        definition.add_edge(previous, dense)
        previous = dense
    model = pyo.ConcreteModel()
    model.nn = OmltBlock()
    model.nn.build_formulation(ReluBigMFormulation(definition))
    model.goal = pyo.Objective(expr=model.nn.outputs[0])
    return model


def omlt_hand_over(network: Network) -> None:
    from pyomo.contrib.appsi.solvers import Highs

    model = omlt_block(network)
    solver = Highs()
    solver.set_instance(model)


def mipnet_block(network: Network) -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    model.nn = mipnet.NetworkBlock(network)
    model.goal = pyo.Objective(expr=model.nn.outputs[0])
    return model


def mipnet_block_written(network: Network) -> None:
    """Build the block and write the expression of every row, which it otherwise does on use."""
    model = mipnet_block(network)
    for row in model.component_data_objects(pyo.Constraint, active=True):
        _ = row.expr


def mipnet_hand_over(weights: list[np.ndarray], biases: list[np.ndarray], box: Box) -> None:
    network = load((weights, biases))
    known = compute_bounds(network, box)
    arrays = encode(network, box, known.intervals).arrays(np.eye(network.n_outputs)[0])
    load_model(prepare(arrays).arrays)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def import_seconds() -> float:
    command = "import time; t = time.perf_counter(); import mipnet; print(time.perf_counter() - t)"
    run = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, check=True, text=True
    )
    return float(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", nargs="?")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    logging.getLogger("pyomo").setLevel(logging.ERROR)
    network = read(options.net)
    affines = [n.layer for n in network.nodes if isinstance(n.layer, Affine)]
    weights, biases = [a.weight for a in affines], [a.bias for a in affines]
    box = Box(*network.input_bounds)
    seconds: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        for name, work in {
            "omlt_hand_over": lambda: omlt_hand_over(network),
            "mipnet_hand_over": lambda: mipnet_hand_over(weights, biases, box),
            "omlt_block": lambda: omlt_block(network),
            "mipnet_block": lambda: mipnet_block(network),
            "mipnet_block_written": lambda: mipnet_block_written(network),
            "import_mipnet": import_seconds,
        }.items():
            value = work() if name == "import_mipnet" else timed(work)
            seconds.setdefault(name, []).append(float(value))
    report = {name: statistics.median(values) for name, values in seconds.items()}
    report["hand_over_ratio"] = report["omlt_hand_over"] / report["mipnet_hand_over"]
    report["block_ratio"] = report["omlt_block"] / report["mipnet_block"]
    report["block_written_ratio"] = report["omlt_block"] / report["mipnet_block_written"]
    report["network"] = Path(options.net).name if options.net else "random 784-256-256-10"
    report["repeats"] = options.repeats
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
