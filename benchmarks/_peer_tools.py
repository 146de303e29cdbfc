"""One solve by one tool: the worker of ``peers.py``, run by whichever Python has the tool.

Reads a request as JSON from its input, prints the answer as JSON. Needs numpy and the packages of
the one tool. What comes before the clock starts favours no one: imports, the licence, the network
in the form the tool reads. On the clock are everything from weights in memory to the answer:
bounds, model, translation, solve.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Gap every tool is asked for, relative to the value; mipnet's own is about the same.
GAP = 1e-6
#: Values from here on are a tool's way of saying that there is none.
NONE_FROM = 1e19


@dataclass(frozen=True)
class Problem:
    """Minimise ``objective . y`` over a box; ReLU after every layer but the last.

    Attributes
    ----------
    weights : list of array, shape (n_out, n_in)
    biases : list of array, shape (n_out,)
    lower, upper : array, shape (n_inputs,)
    objective : array, shape (n_outputs,)
    """

    weights: list[Array]
    biases: list[Array]
    lower: Array
    upper: Array
    objective: Array

    @classmethod
    def read(cls, path: str | Path) -> Problem:
        """Read an npz file with ``W0``, ``b0``, ..., ``lb``, ``ub`` and ``c``."""
        with np.load(path, allow_pickle=False) as stored:
            count = sum(name[0] == "W" and name[1:].isdigit() for name in stored)
            weights = [stored[f"W{k}"].astype(np.float64) for k in range(count)]
            biases = [stored[f"b{k}"].astype(np.float64) for k in range(count)]
            return cls(weights, biases, stored["lb"], stored["ub"], stored["c"])

    def shuffled(self, seed: int) -> Problem:
        """Put the hidden neurons in another order; the function and seed 0 stay as they are.

        A solver's time moves by half with nothing but the order of rows and columns.
        """
        rng = np.random.default_rng(seed)
        weights, biases = list(self.weights), list(self.biases)
        for k in range(len(weights) - 1 if seed else 0):
            order = rng.permutation(len(biases[k]))
            weights[k], biases[k] = weights[k][order], biases[k][order]
            weights[k + 1] = weights[k + 1][:, order]
        return Problem(weights, biases, self.lower, self.upper, self.objective)

    def value(self, point: Array) -> float:
        """Objective at a point, by a forward pass in float64."""
        hidden = point
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = weight @ (np.maximum(hidden, 0.0) if k else hidden) + bias
        return float(self.objective @ hidden)


@dataclass(frozen=True)
class Answer:
    """What a tool says.

    Attributes
    ----------
    status : str
        In the words of the tool.
    value, bound : float or None
        Its objective and lower bound.
    point : array or None
    detail : dict
    """

    status: str
    value: float | None
    bound: float | None
    point: Array | None
    detail: dict[str, Any]


#: From seconds and seed to the answer.
Solve = Callable[[float, int], Answer]


def mipnet_tool(problem: Problem) -> Solve:
    import mipnet
    from mipnet.search import minimize

    def solve(limit: float, seed: int) -> Answer:
        network = mipnet.load((problem.weights, problem.biases))
        box = (problem.lower, problem.upper)
        best = minimize(network, problem.objective, box, time_limit=limit, threads=1, seed=seed)
        detail = {"clocks": vars(best.clocks), "nodes": best.nodes, "message": best.message}
        return Answer(best.status, best.value, best.bound, best.point, detail)

    return solve


def gurobi_ml_tool(problem: Problem) -> Solve:
    import gurobipy as gp
    from gurobi_ml import add_predictor_constr

    predictor = perceptron(problem)
    env = gp.Env(params={"OutputFlag": 0})

    def solve(limit: float, seed: int) -> Answer:
        start = time.perf_counter()
        model = gp.Model(env=env)
        n, m = problem.lower.size, problem.objective.size
        x = model.addMVar((1, n), lb=problem.lower[None], ub=problem.upper[None])
        y = model.addMVar((1, m), lb=-gp.GRB.INFINITY)
        add_predictor_constr(model, predictor, x, y)
        model.setObjective(problem.objective @ y[0, :], gp.GRB.MINIMIZE)
        model.Params.MIPGap, model.Params.Threads, model.Params.Seed = GAP, 1, seed
        model.Params.TimeLimit = left(limit, start)
        model.optimize()
        names = {2: "optimal", 9: "time_limit", 13: "suboptimal"}
        status = names.get(model.Status, f"status {model.Status}")
        found = model.SolCount > 0
        value, point = (model.ObjVal, x.X.reshape(-1)) if found else (None, None)
        return Answer(status, value, model.ObjBound, point, {"nodes": model.NodeCount})

    return solve


def omlt_tool(formulation: str) -> Callable[[Problem], Solve]:
    def prepare(problem: Problem) -> Solve:
        import pyomo.environ as pyo
        from omlt import OmltBlock
        from pyomo.contrib.appsi.solvers import Highs

        definition = omlt_network(problem, formulation)

        def solve(limit: float, seed: int) -> Answer:
            start = time.perf_counter()
            model = pyo.ConcreteModel()
            model.nn = OmltBlock()
            model.nn.build_formulation(definition())
            terms = (c * model.nn.outputs[k] for k, c in enumerate(problem.objective.tolist()))
            model.goal = pyo.Objective(expr=sum(terms))
            solver = Highs()
            solver.config.load_solution = False
            solver.config.time_limit = left(limit, start)
            solver.highs_options = {"threads": 1, "mip_rel_gap": GAP, "random_seed": seed}
            result = solver.solve(model)
            value = result.best_feasible_objective
            point = None
            if value is not None:
                result.solution_loader.load_vars()
                inputs = range(problem.lower.size)
                point = np.array([pyo.value(model.nn.inputs[k]) for k in inputs])
            status = result.termination_condition.name
            return Answer(status, value, result.best_objective_bound, point, {})

        return solve

    return prepare


def omlt_network(problem: Problem, formulation: str) -> Callable[[], Any]:
    """Return what makes the formulation; called on the clock, as OMLT's bounds are made there."""
    from omlt import neuralnet
    from omlt.neuralnet.layer import DenseLayer, InputLayer

    kind = getattr(neuralnet, formulation)
    pairs = zip(problem.lower.tolist(), problem.upper.tolist(), strict=True)
    bounds = dict(enumerate(pairs))

    def make() -> Any:
        definition = neuralnet.NetworkDefinition(scaled_input_bounds=bounds)
        before: Any = InputLayer([problem.lower.size])
        definition.add_layer(before)
        for k, (weight, bias) in enumerate(zip(problem.weights, problem.biases, strict=True)):
            last = k + 1 == len(problem.weights)
            dense = DenseLayer(
                input_size=[weight.shape[1]],
                output_size=[weight.shape[0]],
                activation="linear" if last else "relu",
                weights=weight.T.copy(),
                biases=bias.copy(),
            )
            definition.add_layer(dense)
            definition.add_edge(before, dense)
            before = dense
        return kind(definition)

    return make


def scip_tool(formulation: str) -> Callable[[Problem], Solve]:
    def prepare(problem: Problem) -> Solve:
        from pyscipopt import Model, quicksum
        from pyscipopt_ml.add_predictor import add_predictor_constr

        # The library reads torch modules in float32; a scikit-learn estimator keeps float64.
        predictor = perceptron(problem)

        def solve(limit: float, seed: int) -> Answer:
            start = time.perf_counter()
            model = Model()
            model.hideOutput()
            pairs = zip(problem.lower.tolist(), problem.upper.tolist(), strict=True)
            x = [model.addVar(lb=low, ub=up) for low, up in pairs]
            y = [model.addVar(lb=None, ub=None) for _ in problem.objective]
            rows = np.array([x], dtype=object), np.array([y], dtype=object)
            add_predictor_constr(
                model, predictor, *rows, unique_naming_prefix="net_", formulation=formulation
            )
            terms = (c * v for c, v in zip(problem.objective.tolist(), y, strict=True))
            model.setObjective(quicksum(terms), "minimize")
            model.setParam("limits/gap", GAP)
            model.setParam("randomization/randomseedshift", seed)
            model.setParam("limits/time", left(limit, start))
            model.optimize()
            value, point = None, None
            if model.getNSols():
                best = model.getBestSol()
                value = model.getSolObjVal(best)
                point = np.array([model.getSolVal(best, v) for v in x])
            detail = {"nodes": model.getNNodes()}
            return Answer(model.getStatus(), value, model.getDualbound(), point, detail)

        return solve

    return prepare


def perceptron(problem: Problem) -> Any:
    """scikit-learn estimator with these weights, as if it had been fitted."""
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor([len(b) for b in problem.biases[:-1]], activation="relu")
    model.coefs_ = [weight.T.copy() for weight in problem.weights]
    model.intercepts_ = [bias.copy() for bias in problem.biases]
    model.n_layers_ = len(problem.weights) + 1
    model.n_features_in_ = problem.lower.size
    model.n_outputs_ = problem.objective.size
    model.out_activation_ = "identity"
    return model


def left(limit: float, start: float) -> float:
    """Seconds the solver may take when the model took some already."""
    return max(0.1, limit - (time.perf_counter() - start))


@dataclass(frozen=True)
class Tool:
    """A tool and what it needs.

    Attributes
    ----------
    prepare : callable
        From the problem to what is put on the clock.
    packages : tuple of str
        Distributions.
    words : str
        What runs, for reports.
    """

    prepare: Callable[[Problem], Solve]
    packages: tuple[str, ...]
    words: str


OMLT = ("omlt", "pyomo", "highspy")
SCIP = ("PySCIPOpt-ML", "PySCIPOpt", "scikit-learn")
TOOLS = {
    "mipnet": Tool(mipnet_tool, ("mipnet", "highspy"), "mipnet.minimize, HiGHS"),
    "gurobi-ml": Tool(
        gurobi_ml_tool,
        ("gurobi-machinelearning", "gurobipy", "scikit-learn"),
        "gurobi-machinelearning, Gurobi",
    ),
    "omlt": Tool(omlt_tool("ReluBigMFormulation"), OMLT, "OMLT big-M, HiGHS through appsi"),
    "omlt-partition": Tool(
        omlt_tool("ReluPartitionFormulation"), OMLT, "OMLT partition, HiGHS through appsi"
    ),
    "pyscipopt-ml": Tool(scip_tool("bigm"), SCIP, "PySCIPOpt-ML big-M, SCIP"),
    "pyscipopt-ml-sos": Tool(scip_tool("sos"), SCIP, "PySCIPOpt-ML SOS1 (its default), SCIP"),
}


def installed(packages: list[str]) -> dict[str, str | None]:
    """Versions of distributions; None for those this Python does not have."""
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Solve one problem; ``seconds`` are those from weights in memory to the answer."""
    problem = Problem.read(request["file"]).shuffled(request["seed"])
    solve = TOOLS[request["tool"]].prepare(problem)
    start = time.perf_counter()
    answer = solve(request["limit"], request["seed"])
    seconds = time.perf_counter() - start
    replay = None
    if answer.point is not None:
        replay = problem.value(np.clip(answer.point, problem.lower, problem.upper))
    return {
        "status": answer.status,
        "seconds": seconds,
        "value": finite(replay),
        "claimed": finite(answer.value),
        "bound": finite(answer.bound),
        **answer.detail,
    }


def finite(value: float | None) -> float | None:
    """Return the value, or None where it stands for none."""
    if value is None or not math.isfinite(value) or abs(value) >= NONE_FROM:
        return None
    return float(value)


def main() -> None:
    request = json.load(sys.stdin)
    answer = installed(request["packages"]) if "packages" in request else run(request)
    print(f"\n{json.dumps(answer)}")


if __name__ == "__main__":
    main()
