"""Problem kinds: their answers, and what cells make of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from bench_cases import tiny

from mipnet.bench import data_sources
from mipnet.bench.data import DATA, Data, Raw, split
from mipnet.bench.plan.expand import problem_from
from mipnet.bench.problems.base import (
    PROBLEMS,
    STATUSES,
    Answer,
    Instance,
    Problem,
    Search,
    limit_status,
    options_of,
    register_problem,
)
from mipnet.bench.stages.solve import program_sizes
from mipnet.errors import QueryError, ReadError
from mipnet.network import Affine, Network
from mipnet.network.layers import ReLU, Sigmoid, Tanh
from mipnet.network.layers.base import Layer
from mipnet.network.readers import load
from mipnet.region import ball

HOW = Search(time_limit=20.0, restarts=2, bounds="crown")


@pytest.fixture(scope="module")
def wine() -> Data:
    return split(DATA["wine"](), "wine")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return load(tiny(tmp_path_factory.mktemp("net") / "n.npz", widths=(13, 8, 8, 3)))


def ask(kind: str, network: Network, data: Data | None, **options: Any) -> tuple[Any, ...]:
    problem = PROBLEMS[kind](**options)
    instances = list(problem.instances(data))
    answers = [problem.solve(network, i, data, HOW) for i in instances]
    return problem, instances, answers


def test_adversarial_answers_hold_in_the_network(network: Network, wine: Data) -> None:
    problem, instances, answers = ask("adversarial", network, wine, radius=0.15, items=5)
    assert {a.status for a in answers} == {"optimal", "infeasible"}
    for instance, answer in zip(instances, answers, strict=True):
        centre, label = wine.points([instance.options["row"]])[0], instance.options["label"]
        region = ball(centre, 0.15, "linf", wine.lower, wine.upper)
        if answer.status == "optimal":
            assert region.contains(answer.point)
            assert network(answer.point).argmax() != label
            assert answer.verdict == "witness"
            assert answer.replay_error <= 1e-12
            assert problem.revisit(network, instance, wine, answer) == 1.0
        else:
            assert answer.verdict == "robust"
            samples = region.sample(np.random.default_rng(0), 300)
            assert (network(samples).argmax(axis=1) == label).all()
            assert problem.revisit(network, instance, wine, answer) is None


def test_target_second_is_the_runner_up(network: Network, wine: Data) -> None:
    _, instances, answers = ask("adversarial", network, wine, radius=1.0, items=4, target="second")
    hit = 0
    for instance, answer in zip(instances, answers, strict=True):
        outputs = network(wine.points([instance.options["row"]])[0])
        second = next(k for k in np.argsort(-outputs) if k != instance.options["label"])
        if answer.status == "optimal":
            hit += 1
            assert network(answer.point).argmax() == second
    assert hit


def test_distortion_is_where_robustness_ends(network: Network, wine: Data) -> None:
    _, instances, answers = ask("distortion", network, wine, items=[0, 3], tolerance=1e-3)
    for instance, answer in zip(instances, answers, strict=True):
        assert answer.status == "optimal"
        assert answer.bound <= answer.objective <= 1.002 * answer.bound + 1e-9
        assert answer.replay_error <= 1e-9
        if answer.objective > 0.0:
            inside = PROBLEMS["adversarial"](radius=0.98 * answer.bound, items=1)
            assert inside.solve(network, instance, wine, HOW).status == "infeasible"


def test_maximum_is_above_every_sample(network: Network, wine: Data) -> None:
    problem, instances, (answer,) = ask("maximize", network, wine, output=1)
    samples = np.random.default_rng(0).uniform(wine.lower, wine.upper, (2000, 13))
    assert answer.status == "optimal"
    assert answer.objective >= network(samples)[:, 1].max()
    assert answer.objective == pytest.approx(network(answer.point)[1], abs=1e-9)
    assert problem.revisit(network, instances[0], wine, answer) == pytest.approx(answer.objective)
    _, _, (least,) = ask("maximize", network, wine, weights=(0.0, -1.0, 0.0))
    assert -least.objective <= network(samples)[:, 1].min()
    with pytest.raises(QueryError, match="output 7 does not exist"):
        ask("maximize", network, wine, output=7)


def test_time_limit_is_no_answer(wine: Data, tmp_path: Path) -> None:
    wide = load(tiny(tmp_path / "wide.npz", widths=(13, 40, 40, 3)))
    short = Search(time_limit=0.3, restarts=1, bounds="crown")
    problem = PROBLEMS["maximize"]()
    answer = problem.solve(wide, Instance("domain"), wine, short)
    assert answer.status == "feasible-limit"
    assert answer.objective < answer.bound


def test_vnnlib_instances_and_recorded_verdicts(tmp_path: Path, network: Network) -> None:
    (tmp_path / "fam").mkdir()
    (tmp_path / "fam" / "net.npz").touch()
    lines = [f"(declare-const X_{i} Real)" for i in range(13)]
    lines += [f"(declare-const Y_{k} Real)" for k in range(3)]
    lines += [f"(assert (>= X_{i} 0.0))\n(assert (<= X_{i} 1.0))" for i in range(13)]
    for name, bound in (("easy", -1e3), ("never", 1e4)):
        text = "\n".join([*lines, f"(assert (>= Y_0 {bound}))"])
        (tmp_path / "fam" / f"{name}.vnnlib").write_text(text, encoding="utf-8")
    rows = [
        ("fam", "net.npz", "easy.vnnlib", "5", "sat"),
        ("fam", "net.npz", "never.vnnlib", "5", "sat"),
        ("other", "net.npz", "never.vnnlib", "5", "sat"),
    ]
    with (tmp_path / "all.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("benchmark", "onnx", "vnnlib", "timeout_s", "verdict"))
        writer.writerows(rows)
    problem = PROBLEMS["vnnlib"](instances_file=tmp_path / "all.csv", family="fam")
    instances = list(problem.instances(None))
    assert [i.time_limit for i in instances] == [5.0, 5.0]
    first, second = (problem.solve(network, i, None, HOW) for i in instances)
    assert (first.status, first.verdict) == ("optimal", "sat")
    # Recorded as sat, proven unsat: one of the two is wrong.
    assert (second.status, second.verdict) == ("inconsistent", "unsat")
    with pytest.raises(QueryError, match=r"do not exist: .*other/net.npz, .*other/never.vnnlib"):
        list(PROBLEMS["vnnlib"](instances_file=tmp_path / "all.csv").instances(None))
    one = PROBLEMS["vnnlib"](instances_file=tmp_path / "all.csv", family="fam", sample=1)
    assert len(list(one.instances(None))) == 1
    assert options_of(problem) == {}


@pytest.mark.parametrize("kind", sorted(set(PROBLEMS) - {"vnnlib"}))
def test_options_survive_a_task(kind: str, wine: Data) -> None:
    required = {"radius": 0.25} if kind == "adversarial" else {}
    problem = PROBLEMS[kind](**required)
    again = problem_from(type(problem), options_of(problem))
    for f in fields(problem):
        if not f.metadata.get("selection"):
            assert getattr(again, f.name) == getattr(problem, f.name)


def test_sizes_do_not_depend_on_the_search(network: Network, wine: Data) -> None:
    problem = PROBLEMS["adversarial"](radius=0.3, items=1)
    (instance,) = problem.instances(wine)
    found = program_sizes(problem, network, instance, wine, "big_m")
    assert found == program_sizes(problem, network, instance, wine, "big_m")
    assert found["size_unstable"] + found["inactive"] + found["active"] == 16
    assert found["size_binaries"] == found["size_unstable"] > 0
    assert 0.0 < found["m_min"] <= found["m_median"] <= found["m_max"]
    nowhere = PROBLEMS["distortion"]()
    assert program_sizes(nowhere, network, instance, wine, "big_m") == {}


def test_big_m_constants_are_those_of_kinks(wine: Data) -> None:
    """A curve is written as pieces: its bounds are no constants of the program."""
    rng = np.random.default_rng(0)
    first = Affine(rng.normal(size=(8, 13)), np.zeros(8))
    last = Affine(rng.normal(size=(3, 8)), np.zeros(3))
    wide = Affine(100.0 * np.eye(8), np.zeros(8))
    problem = PROBLEMS["adversarial"](radius=0.1, items=1)
    (instance,) = problem.instances(wine)

    def sizes(*layers: Layer) -> dict[str, Any]:
        return program_sizes(problem, Network.sequential(layers), instance, wine, "big_m")

    kinks = sizes(first, ReLU(), last)
    both = sizes(first, ReLU(), wide, Tanh(), last)
    assert kinks["m_max"] == both["m_max"] > 0.0
    assert kinks["m_median"] == both["m_median"]
    curves = sizes(first, Tanh(), last)
    assert curves["size_binaries"] > 0
    assert {curves[f"m_{what}"] for what in ("min", "median", "max")} == {None}


@pytest.mark.parametrize(
    ("reason", "value", "status"),
    [
        ("time limit reached", False, "no-solution-limit"),
        ("class 3: time_limit", False, "no-solution-limit"),
        ("time limit reached", True, "feasible-limit"),
        ("bounds contradicted by a point of the region: x", False, "inconsistent"),
        ("class 1: the solver excludes a point that exists", True, "inconsistent"),
        ("class 1: the margin is within tolerance of zero", False, "unresolved"),
    ],
)
def test_reasons_become_statuses(reason: str, value: bool, status: str) -> None:
    assert limit_status(reason, value=value) == status
    assert status in STATUSES


def test_what_a_kind_lacks_is_told_at_import() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Half(Problem):
        goal: ClassVar[str] = "decide"

        def instances(self, data: Data | None) -> Iterator[Instance]:
            yield Instance("x")

    with pytest.raises(TypeError, match=r"'half' does not define solve, source"):
        register_problem("half")(Half)
    with pytest.raises(TypeError, match="uses a taken name"):
        register_problem("maximize")(PROBLEMS["maximize"])

    class Bare(Half):
        source: ClassVar[str] = "none"

        def solve(self, *arguments: Any) -> Answer:
            raise NotImplementedError

    with pytest.raises(TypeError, match="is no dataclass"):
        register_problem("bare")(Bare)


class TestData:
    def test_small_sources_are_scaled_and_split(self) -> None:
        for name in ("digits", "wine", "breast_cancer", "diabetes"):
            data = split(DATA[name](), name, seed=3)
            points = data.points(np.concatenate([data.train, data.test]))
            assert points.min() >= 0.0
            assert points.max() <= 1.0
            assert sorted([*data.train, *data.test]) == list(range(len(data.inputs)))
            assert data.fingerprint == split(DATA[name](), name, seed=3).fingerprint
            assert data.fingerprint != split(DATA[name](), name, seed=4).fingerprint

    def test_stored_and_opened_again(self, wine: Data, tmp_path: Path) -> None:
        wine.save(tmp_path / "d")
        again = Data.load(tmp_path / "d")
        assert again.fingerprint == wine.fingerprint
        np.testing.assert_array_equal(again.points([0, 5]), wine.points([0, 5]))
        (tmp_path / "d" / "inputs.npy").write_bytes(b"x")
        with pytest.raises(ValueError, match="delete the folder and run again"):
            Data.load(tmp_path / "d")

    def test_mnist_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("MIPNET_DATA", str(tmp_path))
        with pytest.raises(QueryError, match=r"MIPNET_DATA.* holds neither"):
            data_sources.mnist()
        (tmp_path / "mnist").mkdir()
        (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x09abc")
        with pytest.raises(ReadError, match="cut short"):
            data_sources.mnist()
        (tmp_path / "mnist" / "train-images-idx3-ubyte").write_bytes(b"PK")
        with pytest.raises(ReadError, match="no IDX file"):
            data_sources.mnist()

    def test_object_arrays_are_refused(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "o.npz", X=np.array([{}], dtype=object), y=np.zeros(1))
        with pytest.raises(ReadError, match="no readable"):
            data_sources.from_file(tmp_path / "o.npz")


def test_pieces_of_smooth_layers_leave_a_question_unresolved() -> None:
    """Solved as far as the pieces allow: no answer, no error, value and bound both kept."""
    rng = np.random.default_rng(1)
    smooth = Network.sequential(
        [
            Affine(rng.normal(size=(4, 2)), rng.normal(size=4)),
            Sigmoid(error=0.05),
            Affine(rng.normal(size=(1, 4)), np.zeros(1)),
        ]
    )
    kind = PROBLEMS["maximize"](output=0)
    data = split(Raw(rng.uniform(size=(20, 2)), rng.normal(size=20), "regression"), "made")
    (instance,) = kind.instances(data)
    answer = kind.solve(smooth, instance, data, HOW)
    assert (answer.verdict, answer.status) == ("band", "unresolved")
    assert "pieces" in answer.reason
    assert answer.objective is not None
    assert answer.bound is not None
    assert answer.objective <= answer.bound + 1e-9
