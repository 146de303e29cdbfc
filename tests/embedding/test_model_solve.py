import pickle
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyomo.environ as pyo
import pytest

from formulations import formulations
from mipnet.embedding import NetworkBlock, solve
from mipnet.errors import EmbeddingError, MipnetWarning, SolverError
from mipnet.network import Network
from mipnet.network.layers import Affine
from mipnet.network.readers import load
from mipnet.solver import Status
from mipnet.solver import solve as solve_arrays
from tests import oracle
from tests.core_cases import FAMILIES, make

EXACT = formulations(deciding=True)
BOXES = [name for name in FAMILIES if not name.startswith("l1")]


def model_with(net, bounds=(-1, 1), sense=pyo.maximize, **options):
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(net.n_inputs), bounds=bounds)
    m.nn = NetworkBlock(net, m.x, **options)
    m.obj = pyo.Objective(expr=m.nn.outputs[0], sense=sense)
    return m


def point(m):
    return np.array([v.value for v in m.nn.inputs.values()])


# By default HiGHS lets rows be off by 1e-6, which a comparison to 1e-6 must not see.
TIGHT = {
    "mip_feasibility_tolerance": 1e-9,
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
    "mip_rel_gap": 0.0,
}


def with_appsi(m):
    pyo.SolverFactory("appsi_highs").solve(m, options=TIGHT)


def with_contrib(m):
    pyo.SolverFactory("highs").solve(m, solver_options=TIGHT)


INTERFACES = {"mipnet": solve, "appsi": with_appsi, "contrib": with_contrib}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("family", BOXES)
def test_minimum_agrees_with_enumeration(family, seed):
    case = make(family, seed)
    truth = oracle.minimum(case.weights, case.biases, case.box, case.objective)
    m = pyo.ConcreteModel()
    name = EXACT[seed % len(EXACT)]
    m.nn = NetworkBlock(case.network, lower=case.lower, upper=case.upper, formulation=name)
    m.obj = pyo.Objective(expr=pyo.sum_product(dict(enumerate(case.objective)), m.nn.outputs))
    result = solve(m)
    tolerance = 1e-6 * (1 + abs(truth.value))
    assert result.status is Status.OPTIMAL
    assert result.objective == pytest.approx(truth.value, abs=tolerance)
    assert result.bound == pytest.approx(truth.value, abs=tolerance)
    assert pyo.value(m.obj) == pytest.approx(result.objective, abs=1e-9)
    assert m.nn.error() == result.replay_errors["nn"] <= tolerance


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
def test_every_interface_gives_the_same_optimum(make_net, sense, own):
    net = make_net(3, 6, 4, 2, seed=int(own))
    m = model_with(net, sense=sense)
    if own:
        m = pyo.ConcreteModel()
        m.nn = NetworkBlock(net, lower=-1, upper=1)
        m.obj = pyo.Objective(expr=m.nn.outputs[0], sense=sense)
    least = float(net(np.zeros(3))[1])
    m.extra = pyo.Constraint(expr=m.nn.outputs[1] + m.nn.inputs[0] >= least)
    found = {}
    for name, run in INTERFACES.items():
        run(m)
        assert m.nn.error() <= 1e-6
        found[name] = pyo.value(m.obj)
    assert max(found.values()) - min(found.values()) <= 1e-6, found
    assert m.nn.outputs[1].value + m.nn.inputs[0].value >= least - 1e-6


@pytest.mark.parametrize("run", INTERFACES.values(), ids=INTERFACES)
def test_fixed_inputs_reproduce_the_forward_pass(make_net, run):
    net = make_net(3, 6, 5, 2)
    m = model_with(net)
    for x in np.random.default_rng(0).uniform(-1, 1, size=(3, 3)):
        for i, value in enumerate(x):
            m.x[i].fix(value)
        run(m)
        found = [v.value for v in m.nn.outputs.values()]
        assert found == pytest.approx(net(x).tolist(), abs=1e-6)


@pytest.mark.parametrize("suffix", ["lp", "mps"])
def test_written_files_hold_the_same_model(make_net, tmp_path, suffix):
    highspy = pytest.importorskip("highspy")
    m = model_with(make_net(3, 6, 4, 2), sense=pyo.minimize)
    path = str(tmp_path / f"model.{suffix}")
    m.write(path)
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.readModel(path)
    highs.run()
    expected = solve(m).objective
    assert highs.getInfo().objective_function_value == pytest.approx(expected, abs=1e-5)


def test_integer_and_binary_inputs(make_net):
    net = make_net(2, 6, 1, seed=4)
    m = pyo.ConcreteModel()
    m.i = pyo.Var(domain=pyo.Integers, bounds=(-2, 2))
    m.b = pyo.Var(domain=pyo.Binary)
    m.nn = NetworkBlock(net, [m.i, m.b])
    m.obj = pyo.Objective(expr=m.nn.outputs[0])
    best = min(net([i, b])[0] for i in range(-2, 3) for b in (0, 1))
    assert solve(m).objective == pytest.approx(best, abs=1e-6)
    assert m.i.value == round(m.i.value)
    with_appsi(m)
    assert pyo.value(m.obj) == pytest.approx(best, abs=1e-6)


def test_two_networks_one_feeding_the_other(make_net):
    first, second = make_net(2, 4, 2, seed=1), make_net(2, 4, 1, seed=2)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.a = NetworkBlock(first, m.x)
    m.b = NetworkBlock(second, m.a.outputs)
    m.obj = pyo.Objective(expr=m.b.outputs[0], sense=pyo.maximize)
    result = solve(m)
    assert result.started
    x = np.array([m.x[i].value for i in range(2)])
    assert second(first(x))[0] == pytest.approx(result.objective, abs=1e-6)
    with_appsi(m)
    assert pyo.value(m.obj) == pytest.approx(result.objective, abs=1e-6)
    samples = np.random.default_rng(0).uniform(-1, 1, size=(2000, 2))
    assert second(first(samples)).max() <= result.objective + 1e-6


def test_expressions_numbers_and_repeated_inputs(make_net):
    net = make_net(4, 5, 1, seed=3)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.nn = NetworkBlock(net, [m.x[0], 0.25, 2 * m.x[0] - m.x[1], m.x[0]])
    m.obj = pyo.Objective(expr=m.nn.outputs[0], sense=pyo.maximize)
    result = solve(m)
    a, b = m.x[0].value, m.x[1].value
    assert net([a, 0.25, 2 * a - b, a])[0] == pytest.approx(result.objective, abs=1e-6)
    with_contrib(m)
    assert pyo.value(m.obj) == pytest.approx(result.objective, abs=1e-6)


def test_constraints_and_bounds_on_hidden_columns(make_net):
    m = model_with(make_net(3, 6, 1))
    free = solve(m).objective
    on = next(z for z in m.nn.binaries.values() if z.value == 1)
    m.off = pyo.Constraint(expr=on == 0)
    tighter = solve(m).objective
    assert tighter < free
    m.off.deactivate()
    on.setub(0)
    assert solve(m).objective == pytest.approx(tighter, abs=1e-6)
    on.setub(1)
    on.fix(0)
    assert solve(m).objective == pytest.approx(tighter, abs=1e-6)
    with_appsi(m)
    assert pyo.value(m.obj) == pytest.approx(tighter, abs=1e-6)


@pytest.mark.parametrize("run", INTERFACES.values(), ids=INTERFACES)
def test_widening_a_variable_later_does_not_leave_the_region(make_net, run, recwarn):
    m = model_with(make_net(2, 6, 1))
    inside = solve(m).objective
    for i in m.x:
        m.x[i].setlb(-50)
        m.x[i].setub(50)
    run(m)
    assert pyo.value(m.obj) == pytest.approx(inside, abs=1e-6)
    assert m.nn.error() <= 1e-6
    del recwarn


@pytest.mark.filterwarnings("default::mipnet.errors.MipnetWarning")
def test_widening_is_said(make_net):
    m = model_with(make_net(2, 6, 1), lower=-0.5)
    solve(m)
    m.x[1].setub(5)
    with pytest.warns(MipnetWarning, match=r"1 input\(s\).*x\[1\] in \[-1, 5\], built for"):
        solve(m)
    m.x[1].setub(0.5)
    assert m.nn.widened_inputs() == []
    m.x[0].fix(-0.75)
    with pytest.warns(MipnetWarning, match=r"x\[0\] = -0.75"):
        result = solve(m)
    assert result.status is Status.INFEASIBLE


def test_clone_and_pickle_solve_on_their_own(make_net):
    m = model_with(make_net(3, 5, 1))
    copies = [m.clone(), pickle.loads(pickle.dumps(m))]  # noqa: S301
    expected = solve(m).objective
    for copy in copies:
        assert copy.x[0].value is None
        copy.extra = pyo.Constraint(expr=copy.nn.outputs[0] <= expected - 0.25)
        assert solve(copy).objective == pytest.approx(expected - 0.25, abs=1e-6)
    assert pyo.value(m.obj) == pytest.approx(expected)


def test_constant_network():
    net = Network.sequential([Affine(np.zeros((1, 2)), np.array([3.0]))])
    m = model_with(net)
    result = solve(m)
    assert result.objective == pytest.approx(3)
    assert all(-1 <= v.value <= 1 for v in m.x.values())


def test_deactivated_block_does_not_count(make_net):
    m = model_with(make_net(2, 3, 1))
    m.nn.deactivate()
    m.obj.deactivate()
    m.other = pyo.Objective(expr=m.x[0])
    result = solve(m)
    assert (result.columns, result.rows, result.replay_errors) == (1, 0, {})
    assert result.objective == -1
    m.nn.activate()
    assert solve(m).rows == len(m.nn.rows)


def test_deactivated_and_replaced_rows_are_honoured(make_net):
    m = model_with(make_net(2, 1))
    m.nn.rows[0].deactivate()
    with pytest.warns(MipnetWarning, match="nn: the loaded outputs"):
        free = solve(m)
    assert free.objective == pytest.approx(m.nn.outputs[0].ub)
    m.nn.rows[0].activate()
    honest = solve(m)
    assert honest.replay_error <= 1e-6
    m.nn.rows[0].set_value(m.nn.outputs[0] == 0.25 * m.nn.outputs[0].ub)
    with pytest.warns(MipnetWarning, match="do not trust"):
        changed = solve(m)
    assert changed.objective == pytest.approx(0.25 * m.nn.outputs[0].ub)


def test_relaxed_binaries_are_relaxed(make_net):
    m = model_with(make_net(3, 6, 6, 1))
    exact = solve(m).objective
    pyo.TransformationFactory("core.relax_integer_vars").apply_to(m)
    with pytest.warns(MipnetWarning, match="do not trust"):
        relaxed = solve(m)
    assert relaxed.binaries == 0
    assert relaxed.objective > exact + 1e-3


def test_model_of_other_parts(make_net):
    """Parameters, named expressions, ranges, constants, offsets, sub-blocks and fixed variables."""
    m = model_with(make_net(2, 4, 1))
    m.del_component("obj")
    m.p = pyo.Param(initialize=2.0, mutable=True)
    m.t = pyo.Var(domain=pyo.NonNegativeReals)
    m.k = pyo.Var(domain=pyo.NonNegativeIntegers, bounds=(None, 7.5))
    m.f = pyo.Var()
    m.f.fix(1.5)
    m.e = pyo.Expression(expr=m.p * m.t + m.f)
    m.sub = pyo.Block()
    m.sub.c = pyo.Constraint(expr=(-1, m.e - m.nn.outputs[0], 4))
    m.sub.d = pyo.Constraint(expr=m.k + 0.5 <= m.p * 3)
    m.idle = pyo.Block()
    m.idle.c = pyo.Constraint(expr=m.k <= -1)
    m.idle.deactivate()
    m.obj = pyo.Objective(expr=m.e + m.k + 10 + m.f * m.t, sense=pyo.maximize)
    result = solve(m)
    loaded = pyo.value(m.obj)
    assert result.objective == pytest.approx(loaded)
    assert m.k.value == 5
    assert m.f.value == 1.5
    with_appsi(m)
    assert pyo.value(m.obj) == pytest.approx(loaded, abs=1e-6)
    m.p.set_value(1.0)
    assert solve(m).objective != pytest.approx(loaded)


def test_no_objective_gives_a_feasible_point(make_net):
    m = model_with(make_net(2, 4, 1))
    m.del_component("obj")
    least = float(m.nn.network(np.array([0.1, 0.2]))[0])
    m.nn.outputs[0].setlb(least)
    assert solve(m).status is Status.OPTIMAL
    assert m.nn.network(point(m))[0] >= least - 1e-6


def test_infeasible_and_unbounded_load_nothing(make_net):
    m = model_with(make_net(2, 4, 1))
    m.c = pyo.Constraint(expr=m.nn.outputs[0] >= m.nn.outputs[0].ub + 1)
    result = solve(m)
    assert (result.status, result.objective, result.gap) == (Status.INFEASIBLE, None, np.inf)
    assert m.x[0].value is None
    m = pyo.ConcreteModel()
    m.x = pyo.Var()
    m.obj = pyo.Objective(expr=m.x)
    assert solve(m).status in {Status.UNBOUNDED, Status.INFEASIBLE_OR_UNBOUNDED}
    assert m.x.value is None


def test_trivially_wrong_constraint_is_infeasible():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.x.fix(1)
    m.c = pyo.Constraint(expr=m.x <= 0)
    assert solve(m).status is Status.INFEASIBLE
    m.y = pyo.Var(bounds=(0, 1))
    m.obj = pyo.Objective(expr=m.y)
    assert solve(m).status is Status.INFEASIBLE
    m.c.deactivate()
    assert solve(m).status is Status.OPTIMAL


def test_models_without_variables():
    m = pyo.ConcreteModel()
    assert solve(m).status is Status.OPTIMAL
    m.obj = pyo.Objective(expr=3.0, sense=pyo.maximize)
    result = solve(m)
    assert (result.objective, result.bound, result.gap) == (3, 3, 0)


def test_time_limit_keeps_a_valid_bound(make_net):
    m = model_with(make_net(8, 30, 30, 1))
    result = solve(m, time_limit=0.3)
    assert result.status is Status.TIME_LIMIT
    samples = np.random.default_rng(0).uniform(-1, 1, size=(500, 8))
    assert result.bound >= m.nn.network(samples).max()
    assert result.started
    assert result.objective is not None
    assert result.gap > 0
    assert m.nn.error() <= 1e-6


def test_loaded_values_are_the_start_of_the_next_solve(make_net):
    m = model_with(make_net(3, 8, 8, 1))
    first = solve(m)
    second = solve(m)
    assert (first.profile, second.profile) == ("explore", "improve")
    assert second.objective == pytest.approx(first.objective, abs=1e-6)
    assert not solve(m, start=False).started


def test_stale_flags_and_untouched_variables(make_net):
    m = model_with(make_net(2, 3, 1))
    m.unused = pyo.Var(initialize=7.0)
    solve(m)
    assert not m.x[0].stale
    assert m.unused.stale
    assert m.unused.value == 7.0


def test_log_and_options_reach_the_solver(make_net):
    lines = []
    m = model_with(make_net(3, 6, 1))
    result = solve(m, log=lines.append, seed=3, gap=0.5)
    assert "HiGHS" in "".join(lines)
    assert result.gap <= 0.5
    assert result.clocks.solve > 0
    assert result.version


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: setattr(m, "c", pyo.Constraint(expr=m.x[0] ** 2 <= 1)), "c is not linear"),
        (
            lambda m: setattr(
                m, "c", pyo.Constraint([1, 2], rule=lambda m, i: pyo.exp(m.x[0]) <= i)
            ),
            r"c\[1\] is not linear",
        ),
        (lambda m: setattr(m, "two", pyo.Objective(expr=m.x[0])), "several.*obj.*two"),
        (lambda m: setattr(m, "s", pyo.SOSConstraint(var=m.x, sos=1)), r"s \(SOSConstraint\)"),
        (lambda m: (setattr(m, "v", pyo.Var(domain=pyo.Set(initialize=[1, 5]))), use(m)), "domain"),
        (lambda m: (setattr(m, "v", pyo.Var()), m.v.fix(), use(m)), "without a value"),
        (lambda m: m.nn.binaries[0].fix(None), "has no value"),
        (lambda m: (setattr(m, "v", pyo.Var()), use(m, float("nan"))), "NaN"),
        (lambda m: m.deactivate(), "deactivated"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_name(make_net, spoil, message):
    m = model_with(make_net(2, 3, 1))
    spoil(m)
    with pytest.raises(EmbeddingError, match=message):
        solve(m)


def use(m, coefficient=1.0):
    m.uses = pyo.Constraint(expr=m.nn.outputs[0] + coefficient * m.v <= 100)


def test_nonlinear_objective_is_refused(make_net):
    m = model_with(make_net(2, 3, 1))
    m.obj.set_value(m.nn.outputs[0] * m.x[0])
    with pytest.raises(EmbeddingError, match="obj is not linear"):
        solve(m)


def test_disjunctions_are_refused_until_transformed(make_net):
    gdp = pytest.importorskip("pyomo.gdp")
    nets = [make_net(2, 3, 1, seed=s) for s in range(2)]
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(2), bounds=(-1, 1))
    m.t = pyo.Var(bounds=(-50, 50))
    m.choice = gdp.Disjunct([0, 1])
    for i, net in enumerate(nets):
        m.choice[i].nn = NetworkBlock(net, m.x)
        m.choice[i].t = pyo.Constraint(expr=m.t == m.choice[i].nn.outputs[0])
    m.either = gdp.Disjunction(expr=list(m.choice.values()))
    m.obj = pyo.Objective(expr=m.t, sense=pyo.maximize)
    with pytest.raises(EmbeddingError, match=r"either \(Disjunction\)"):
        solve(m)
    pyo.TransformationFactory("gdp.bigm").apply_to(m)
    best = max(solve(model_with(net)).objective for net in nets)
    assert solve(m).objective == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("thing", [None, "model", pyo.AbstractModel(), pyo.Block([1, 2])])
def test_what_is_no_model(thing):
    with pytest.raises(EmbeddingError, match="expected a constructed"):
        solve(thing)


def test_wrong_answers_are_not_accepted_silently(make_net, monkeypatch):
    module = sys.modules["mipnet.embedding.solve"]
    m = model_with(make_net(2, 4, 1))
    honest = module.solve_arrays

    def lie(arrays, **options):
        solution = honest(arrays, **options)
        values = solution.values.copy()
        values[-1] += 0.125
        return replace(solution, values=values)

    monkeypatch.setattr(module, "solve_arrays", lie)
    with pytest.warns(MipnetWarning) as said:
        result = solve(m)
    assert [("nn: " in str(w.message), "violates" in str(w.message)) for w in said] == [
        (True, False),
        (False, True),
    ]
    assert result.replay_error == pytest.approx(0.125)

    def fail(arrays, **options):
        return replace(honest(arrays, **options), status=Status.ERROR, values=None)

    monkeypatch.setattr(module, "solve_arrays", fail)
    with pytest.raises(SolverError, match="failed"):
        solve(m)


@pytest.mark.parametrize("seed", range(10))
def test_badly_scaled_networks(seed):
    """Hidden neurons from 1e-6 to 1e3: the same function as the moderate network."""
    rng = np.random.default_rng(seed)
    sizes = (3, 7, 6, 2)
    weights = [rng.normal(size=(o, i)) for i, o in pairwise(sizes)]
    biases = [0.3 * rng.normal(size=o) for o in sizes[1:]]
    answers = []
    for spread in (False, True):
        if spread:
            for k in range(2):
                scale = 10.0 ** rng.uniform(-6, 3, size=sizes[k + 1])
                weights[k], biases[k] = weights[k] * scale[:, None], biases[k] * scale
                weights[k + 1] = weights[k + 1] / scale
        m = pyo.ConcreteModel()
        m.nn = NetworkBlock(load((weights, biases)), lower=-1.0, upper=1.0)
        m.obj = pyo.Objective(expr=m.nn.outputs[0] - 0.5 * m.nn.outputs[1], sense=pyo.maximize)
        answers.append(solve(m).objective)
        for interface in (with_appsi, with_contrib):
            interface(m)
            assert pyo.value(m.obj) == pytest.approx(answers[-1], abs=1e-5)
    assert answers[1] == pytest.approx(answers[0], abs=1e-6)


@pytest.mark.parametrize("lie", ["infeasible", "bound"])
def test_answers_that_a_known_point_contradicts_are_refused(monkeypatch, make_net, lie):
    m = model_with(make_net(3, 6, 1))

    def wrong(arrays, **keywords):
        honest = solve_arrays(arrays, **keywords)
        if lie == "infeasible":
            return replace(honest, status=Status.INFEASIBLE, values=None, bound=np.inf)
        return replace(honest, bound=honest.bound + 1e3)

    monkeypatch.setattr(sys.modules["mipnet.embedding.solve"], "solve_arrays", wrong)
    with pytest.raises(SolverError, match="feasible point"):
        solve(m)
