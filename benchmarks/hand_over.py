"""A dense network in a Pyomo model, handed to HiGHS: arrays beside expressions, in one run.

    python benchmarks/hand_over.py [--widths 784,1000,1000,10] [--repeats 3] [--rows 200]

The same model, a ``NetworkBlock`` over a box of +-0.05 that leaves nearly every neuron unstable, is
handed over

* by ``mipnet.solve``: compiled to arrays and loaded into a HiGHS object (start vectors and the
  solve itself are not on the clock);
* by Pyomo's own interfaces to HiGHS, ``appsi_highs`` and the new ``highs``, up to the same point.

Then memory, over the bytes of the arrays that are handed over: what the block keeps, the peak while
it is built, and the peak of compilation and hand-over with the block still there (HiGHS's own copy
is not seen). And a batch: seconds for each row of ``--rows`` rows.

Seconds are of the processor, so that other work beside it does not count; every figure is a median
over alternating repeats. Needs no extra.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pyomo.environ as pyo

import mipnet
from mipnet.embedding.compile import compile_model
from mipnet.network import Network
from mipnet.network.readers import load
from mipnet.solver.coefficients import prepare
from mipnet.solver.model import load_model


def network(widths: list[int], seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(o, i)) / np.sqrt(i) for i, o in pairwise(widths)]
    return load((weights, [np.zeros(len(w)) for w in weights]))


def model(net: Network) -> pyo.ConcreteModel:
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(net.n_inputs), bounds=(0.45, 0.55))
    m.nn = mipnet.NetworkBlock(net, m.x)
    m.goal = pyo.Objective(expr=m.nn.outputs[0])
    return m


def by_mipnet(m: pyo.ConcreteModel) -> None:
    load_model(prepare(compile_model(m).arrays).arrays)


def by_appsi(m: pyo.ConcreteModel) -> None:
    from pyomo.contrib.appsi.solvers import Highs

    Highs().set_instance(m)


def by_new_interface(m: pyo.ConcreteModel) -> None:
    from pyomo.contrib.solver.solvers.highs import Highs

    Highs().set_instance(m)


def timed(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def memory(net: Network) -> dict[str, float]:
    """Bytes of block and compilation over those of the arrays."""
    gc.collect()
    tracemalloc.start()
    m = model(net)
    built = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    compiled = compile_model(m)
    after = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    load_model(prepare(compiled.arrays).arrays)
    loaded = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    arrays = compiled.arrays
    matrix = arrays.matrix
    parts = (matrix.data, matrix.indices, matrix.indptr, arrays.row_lower, arrays.row_upper)
    raw = sum(p.nbytes for p in (*parts, arrays.lower, arrays.upper, arrays.cost, arrays.integer))
    return {
        "raw_mb": raw / 1e6,
        "block_kept_ratio": built[0] / raw,
        "block_peak_ratio": built[1] / raw,
        "compile_peak_ratio": after[1] / raw,
        "hand_over_peak_ratio": loaded[1] / raw,
    }


def batch_seconds(rows: int) -> dict[str, float]:
    net = network([10, 50, 50, 1])
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(rows), range(10), bounds=(0, 1))
    same = timed(lambda: mipnet.add_network(m, net, m.x))
    m.y = pyo.Var(range(rows), range(10), bounds=(0, 1))
    for k, var in enumerate(m.y.values()):
        var.setub(1 + 1e-3 * k)
    apart = timed(lambda: mipnet.add_network(m, net, m.y))
    return {"row_of_one_box_s": same / rows, "row_of_own_box_s": apart / rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", default="784,1000,1000,10")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=200)
    options = parser.parse_args()
    net = network([int(w) for w in options.widths.split(",")])
    ways = {"mipnet": by_mipnet, "appsi_highs": by_appsi, "highs": by_new_interface}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, work in ways.items():
            # Rows keep expressions once written: every way gets a model of its own.
            fresh = model(net)
            seconds[name].append(timed(lambda m=fresh, w=work: w(m)))
            size = fresh.nn.report()
            del fresh
    median = {name: statistics.median(found) for name, found in seconds.items()}
    report: dict[str, object] = {
        "widths": options.widths,
        "unstable": size.unstable,
        "rows": size.rows,
        "nonzeros": size.nonzeros,
        **{f"{name}_s": value for name, value in median.items()},
        **{f"{name}_ratio": median[name] / median["mipnet"] for name in list(ways)[1:]},
        **memory(net),
        **batch_seconds(options.rows),
        "repeats": options.repeats,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
