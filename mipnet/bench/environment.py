"""What is installed, and whether the solver answers a question whose answer is known.

Importing this module needs the standard library only: it has to work where packages are missing.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from mipnet.errors import MipnetError

#: Distribution name to module name, of what mipnet cannot do without.
REQUIRED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pyomo": "pyomo",
    "highspy": "highspy",
    "networkx": "networkx",
    "scikit-learn": "sklearn",
    "safetensors": "safetensors",
    "joblib": "joblib",
    "click": "click",
    "rich": "rich",
}
#: Distribution name to the extra that brings it.
OPTIONAL = {
    "torch": "torch",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "pandas": "report",
    "pyarrow": "report",
    "psutil": "bench",
}
#: Variables that set the number of threads of numerical libraries.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

#: Largest value of the test network of :func:`smoke_test`.
KNOWN_OPTIMUM = 0.9375


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes
    ----------
    name : str
    ok : bool
    detail : str
    """

    name: str
    ok: bool
    detail: str


def versions() -> dict[str, str | None]:
    """Versions of Python, mipnet and its packages; None for those not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("mipnet", *REQUIRED, *OPTIONAL):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def threads() -> dict[str, int | str | None]:
    """Cores of the machine, cores this process may use, and thread variables."""
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity else os.cpu_count()
    variables = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    return {"cores": os.cpu_count(), "usable": usable, **variables}


def examine() -> Iterator[Check]:
    """Check every package and the solver, one finding at a time."""
    found = versions()
    yield Check("python", True, str(found["python"]))
    yield from (_package(name, module, found[name], None) for name, module in REQUIRED.items())
    yield from (_package(name, name, found[name], extra) for name, extra in OPTIONAL.items())
    try:
        from mipnet.solver import highs_version

        yield Check("HiGHS", True, highs_version())
    except (MipnetError, ImportError) as error:
        yield Check("HiGHS", False, str(error))
        return
    # Another number of threads than in the run before is what trips the solver's thread pool.
    for count in (1, 2, 1):
        yield smoke_test(count)


def _package(name: str, module: str, found: str | None, extra: str | None) -> Check:
    if found is None:
        remedy = "pip install " + (f"'mipnet[{extra}]'" if extra else name)
        return Check(name, extra is not None, f"not installed ({remedy})")
    try:
        # A broken package may raise anything.
        import_module(module)
    except Exception as error:
        return Check(name, False, f"{found} is installed but does not import: {error!r}")
    return Check(name, True, found)


def smoke_test(threads: int = 1) -> Check:
    """Maximise a small network by a MIP and compare value, bound and replay with what is known.

    The network is ``t(t(x)) - x / 4`` on [0, 1] with the tent map ``t(x) = 1 - |2 x - 1|``. Its
    peaks lie at 1/4 and 3/4, so the optimum is ``1 - 1/16``. All weights are exact in binary.

    Parameters
    ----------
    threads : int
        Threads of the solver.
    """
    import numpy as np

    from mipnet.bounds import compute_bounds
    from mipnet.encode import encode
    from mipnet.network import Affine, Network, ReLU
    from mipnet.region import Box
    from mipnet.solver import Limits, Status, solve

    name = f"smoke test, {threads} thread{'s' if threads > 1 else ''}"
    tent = Affine(np.array([[1.0], [1.0]]), np.array([0.0, -0.5]))
    twice = np.array([[2.0, -4.0], [2.0, -4.0], [1.0, 0.0]])
    second = Affine(twice, np.array([0.0, -0.5, 0.0]))
    last = Affine(np.array([[2.0, -4.0, -0.25]]), np.zeros(1))
    network = Network.sequential([tent, ReLU(), second, ReLU(), last])
    region = Box(0.0, 1.0)
    try:
        bounds = compute_bounds(network, region, "interval")
        encoding = encode(network, region, bounds.intervals)
        # Straight to the solver: the searches above it may well decide so small a question first.
        found = solve(encoding.arrays(np.array([-1.0])), limits=Limits(time=60.0), threads=threads)
    except MipnetError as error:
        return Check(name, False, str(error))
    if found.values is None or found.objective is None:
        return Check(name, False, f"no solution: {found.status.value}, {found.message}")
    replay = float(network(found.values[encoding.inputs])[0])
    answers = (-found.objective, -found.bound, replay)
    detail = (
        f"optimum {answers[0]:.9g}, bound {answers[1]:.9g}, replay {replay:.9g} "
        f"(known: {KNOWN_OPTIMUM}), {encoding.n_binaries} binaries, {found.status.value}, "
        f"{found.seconds:.2f} s"
    )
    right = max(abs(answer - KNOWN_OPTIMUM) for answer in answers) <= 1e-6
    ok = right and found.status is Status.OPTIMAL and encoding.n_binaries > 0
    return Check(name, ok, detail if right else f"wrong answer: {detail}")
